//go:build linux

package calls

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hanse-project/hanse/test/lab"
)

// steady says what every answer to a query must have for clients that follow it.
func steady(a answer) error {
	if index := a.Header.Get("X-Consul-Index"); index == "" || index == "0" {
		return fmt.Errorf("the index is %q", index)
	}
	if a.Header.Get("X-Consul-KnownLeader") != "true" || a.Header.Get("X-Consul-LastContact") == "" {
		return errors.New("the answer does not say where it stands")
	}
	return nil
}

func TestRequestsOfExistingClients(t *testing.T) {
	fed := lab.Start(t, lab.Servers("shanghai", 1), lab.Clients("shanghai", 1), lab.Servers("beijing", 1))
	n := fed.Node("shanghai-c1")
	web := func(id string, port int) call {
		return call{method: "PUT", path: "/v1/agent/service/register", body: fmt.Sprintf(
			`{"ID":%q,"Name":"web","Tags":["v1",%q],"Port":%d,"Meta":{"team":"a"},"Check":{"TTL":"1h","Status":"passing","DeregisterCriticalServiceAfter":"90m"}}`, id, id, port)}
	}
	talk(t, n, web("web-1", 80), web("web-2", 81),
		call{path: "/v1/health/service/web?passing", until: true, check: list(2)})

	for name, calls := range map[string][]call{
		"consul-template": {
			{method: "PUT", path: "/v1/kv/template/a", body: "1", is: "true"},
			{path: "/v1/kv/template/a?stale=&wait=60000ms", has: []string{"0.Value", "0.Flags", "0.ModifyIndex"}, check: steady, keep: []string{"index=X-Consul-Index"}},
			{path: "/v1/kv/template/?recurse=&stale=&wait=60000ms", has: []string{"0.Key"}, check: steady},
			{path: "/v1/kv/template/?keys=&separator=%2F&stale=", is: `["template/a"]`},
			{path: "/v1/kv/template/nothing", status: 404, check: steady},
			{path: "/v1/catalog/datacenters", is: `["shanghai","beijing"]`},
			{path: "/v1/catalog/services?dc=beijing&stale=&wait=60000ms", has: []string{"consul"}, check: steady},
			{path: "/v1/catalog/services?dc=nowhere", status: 500, begins: "No path to datacenter"},
			{path: "/v1/catalog/nodes?near=_agent&stale=", until: true, has: []string{"0.Node", "0.Address", "0.TaggedAddresses.lan"}, check: steady},
			{path: "/v1/catalog/node/${node}?stale=", has: []string{"Node.Node", "Services.web-1.Service"}, check: steady},
			{path: "/v1/catalog/node/nobody", is: "null"},
			{path: "/v1/catalog/service/web?tag=v1&near=_agent&stale=", check: list(2)},
			{path: "/v1/health/service/web?passing=1&tag=web-1&near=_agent&stale=&wait=60000ms", check: list(1)},
			{path: "/v1/health/connect/web?passing=1", is: "[]"},
			{path: "/v1/peerings?wait=60000ms", is: "[]", check: steady, keep: []string{"peers=X-Consul-Index"}},
			{path: "/v1/peerings?index=${peers}&wait=300ms", is: "[]", after: 300 * time.Millisecond},
			{path: "/v1/exported-services?stale=&partition=default", is: "[]", check: steady, keep: []string{"exports=X-Consul-Index"}},
			{path: "/v1/exported-services?index=${exports}&wait=300ms", is: "[]", after: 300 * time.Millisecond},
			{path: "/v1/health/service/web?ns=default&partition=default", check: list(2)},
			{path: "/v1/health/service/web?peer=other", is: "[]", check: steady},
			// An index that a restore took away: the answer is what there is, after the wait.
			{path: "/v1/kv/template/a?index=99999999&wait=300ms", has: []string{"0.Value"}, after: 300 * time.Millisecond, check: steady},
			{path: "/v1/agent/self", has: []string{"Config.Datacenter", "Member.Name"}},
		},
		"Traefik, catalog": {
			{path: "/v1/catalog/services?stale=&cached=", has: []string{"web"}},
			{path: "/v1/health/service/web?stale=&cached=", has: []string{"0.Checks.0.Status", "0.Node.Address", "0.Service.Tags.0"}, check: steady, keep: []string{"index=X-Consul-Index"}},
			{path: "/v1/health/service/web?consistent=", check: list(2)},
			{path: "/v1/health/connect/web?stale=", is: "[]"},
			{path: "/v1/health/state/any?index=1&wait=60s", has: []string{"0.CheckID", "0.Status"}, check: steady},
			{path: "/v1/catalog/services?index=1&wait=60s&dc=shanghai&ns=", has: []string{"web"}},
			{path: "/v1/agent/connect/ca/roots", has: []string{"ActiveRootID", "TrustDomain", "Roots.0.RootCert"}, check: steady, keep: []string{"index=X-Consul-Index"}},
			{path: "/v1/agent/connect/ca/roots?index=${index}&wait=300ms", after: 300 * time.Millisecond},
			{path: "/v1/agent/connect/ca/leaf/traefik", has: []string{"CertPEM", "PrivateKeyPEM", "ValidBefore"}, keep: []string{"index=X-Consul-Index"}},
			{path: "/v1/agent/connect/ca/leaf/traefik?index=${index}&wait=300ms", after: 300 * time.Millisecond},
		},
		"Traefik, keys": {
			{path: "/v1/kv/traefik?recurse=&consistent=", status: 404},
			{method: "PUT", path: "/v1/kv/traefik/a?flags=3304740253564472344", body: "1", is: "true"},
			{path: "/v1/kv/traefik/a?consistent=", holds: `"Flags":3304740253564472344`, keep: []string{"at=0.ModifyIndex", "index=X-Consul-Index"}},
			{path: "/v1/kv/traefik/a?consistent=&index=${index}&wait=300ms", after: 300 * time.Millisecond},
			{method: "PUT", path: "/v1/kv/traefik/a?cas=0", body: "2", is: "false"},
			{method: "PUT", path: "/v1/kv/traefik/a?cas=${at}", body: "2", is: "true"},
			{method: "PUT", path: "/v1/session/create", body: `{"LockDelay":"1ms","Behavior":"delete","TTL":"20s"}`, keep: []string{"session=ID"}},
			{method: "PUT", path: "/v1/kv/traefik/lock?acquire=${session}&flags=3304740253564472344", body: "me", is: "true"},
			{method: "PUT", path: "/v1/session/renew/${session}", holds: `"LockDelay":1000000,`},
			{method: "PUT", path: "/v1/kv/traefik/lock?release=${session}&flags=3304740253564472344", body: "me", is: "true"},
			{method: "PUT", path: "/v1/session/destroy/${session}", is: "true"},
			{method: "DELETE", path: "/v1/kv/traefik?recurse=", is: "true"},
		},
		"Prometheus": {
			{path: "/v1/agent/self", has: []string{"Config.Datacenter"}},
			{method: "PUT", path: "/v1/catalog/register", body: `{"Node":"ext","Address":"10.0.0.1","NodeMeta":{"rack":"r1","os":"linux"},"Service":{"Service":"extern","Tags":["a","b"],"Port":9100}}`, is: "true"},
			{path: "/v1/catalog/services?stale=&dc=shanghai&node-meta=rack%3Ar1&node-meta=os%3Alinux&wait=120000ms", is: `{"extern":["a","b"]}`, check: steady},
			{path: "/v1/catalog/services?stale=&node-meta=rack%3Ar1&node-meta=os%3Absd", is: `{}`},
			{path: "/v1/catalog/services?stale=&filter=" + "NodeMeta.rack%20%3D%3D%20r1", is: `{"extern":["a","b"]}`},
			{path: "/v1/health/service/extern?stale=&tag=a&tag=b&wait=120000ms", has: []string{"0.Node.Meta.rack", "0.Service.Port"}, check: steady},
			{path: "/v1/health/service/extern?stale=&tag=a&tag=c", is: "[]"},
			{path: "/v1/health/service/extern?filter=Service.Port+%3D%3D+9100", check: list(1)},
			{method: "PUT", path: "/v1/catalog/deregister", body: `{"Node":"ext"}`, is: "true"},
		},
		"Vault": {
			{path: "/v1/agent/self", has: []string{"Member.Addr"}},
			{method: "PUT", path: "/v1/txn", body: ops(128, `{"KV":{"Verb":"set","Key":"vault/N","Value":"eA=="}}`), has: []string{"Results.127.KV.Key"}},
			{method: "PUT", path: "/v1/txn", body: ops(129, `{"KV":{"Verb":"set","Key":"vault/N","Value":"eA=="}}`), status: 413, holds: "is too large"},
			{method: "PUT", path: "/v1/txn", body: `[{"KV":{"Verb":"get-or-empty","Key":"vault/none"}},{"KV":{"Verb":"get","Key":"vault/1"}}]`,
				has: []string{"Results.0.KV.Key", "Results.1.KV.Value"}, holds: `"Value":null`},
			{method: "PUT", path: "/v1/kv/vault/big", body: strings.Repeat("x", 512<<10+1), status: 413, holds: "is too large"},
			{method: "PUT", path: "/v1/session/create", body: `{"Name":"Vault Lock","TTL":"15s"}`, keep: []string{"session=ID"}},
			{method: "PUT", path: "/v1/kv/vault/core/lock?acquire=${session}&flags=3304740253564472344", body: "id", is: "true"},
			{method: "PUT", path: "/v1/txn", body: `[{"KV":{"Verb":"check-session","Key":"vault/core/lock","Session":"${session}"}},{"KV":{"Verb":"set","Key":"vault/x","Value":"eA=="}},{"KV":{"Verb":"delete","Key":"vault/2"}}]`,
				has: []string{"Results.0.KV.Session", "Results.1.KV.Key"}},
			// Fenced out: the error is that of the first operation.
			{method: "PUT", path: "/v1/txn", body: `[{"KV":{"Verb":"check-session","Key":"vault/core/lock","Session":"00000000-0000-4000-8000-00000000dead"}},{"KV":{"Verb":"set","Key":"vault/y","Value":"eA=="}}]`,
				status: 409, holds: `"OpIndex":0`},
			{path: "/v1/kv/vault/y", status: 404},
			{path: "/v1/kv/vault/core/?keys=&separator=%2F&consistent=", is: `["vault/core/lock"]`},
			{method: "PUT", path: "/v1/session/destroy/${session}", is: "true"},
			{method: "DELETE", path: "/v1/kv/vault/?recurse=", is: "true"},
		},
		"Nomad": {
			{path: "/v1/agent/self", has: []string{
				"Config.Server", "Config.Version", "Config.Revision", "Config.NodeName", "Config.Datacenter", "Member.Tags.build", "Member.Tags.dc",
				"DebugConfig.ConnectEnabled", "DebugConfig.GRPCPort", "DebugConfig.GRPCTLSPort", "DebugConfig.DNSPort", "DebugConfig.DNSAddrs",
			}, check: func(a answer) error {
				version, err := lead(a.body, "Config.Version")
				if err != nil || !strings.HasPrefix(fmt.Sprint(version), "1.21.") {
					return fmt.Errorf("version %v, %v", version, err)
				}
				return nil
			}},
			{method: "PUT", path: "/v1/agent/service/register?replace-existing-checks=true", body: `{"Kind":"","ID":"_nomad-task-1","Name":"job","Tags":["t"],"Port":9000,"Address":"10.0.0.9","TaggedAddresses":{"lan_ipv4":{"Address":"10.0.0.9","Port":9000}},"Weights":null,"EnableTagOverride":false,"Meta":{"external-source":"nomad"},"Check":null,"Checks":null}`},
			{method: "PUT", path: "/v1/agent/check/register", body: `{"ID":"_nomad-check-1","Name":"c","ServiceID":"_nomad-task-1","Interval":"10s","Timeout":"2s","TCP":"127.0.0.1:1"}`},
			{path: "/v1/agent/services?filter=" + "Meta%5B%22external-source%22%5D%20%3D%3D%20%22nomad%22", holds: `"_nomad-task-1"`},
			{path: "/v1/agent/services?ns=default", has: []string{"_nomad-task-1.Meta"}},
			{path: "/v1/agent/checks", has: []string{"_nomad-check-1.Status"}},
			{path: "/v1/catalog/service/job?stale=", until: true, check: list(1)},
			{path: "/v1/acl/token/self", status: 401, is: "ACL support disabled"},
			{method: "PUT", path: "/v1/agent/check/deregister/_nomad-check-1"},
			{method: "PUT", path: "/v1/agent/service/deregister/_nomad-task-1"},
		},
		"Patroni": {
			{method: "PUT", path: "/v1/session/create", body: `{"name":"batman-postgresql0","checks":[],"lockdelay":"0.001s","behavior":"delete","ttl":"15.0s"}`, keep: []string{"session=ID"}},
			{method: "PUT", path: "/v1/session/create", body: `{"behavior":"delete","ttl":"1.0s"}`, status: 500, begins: "Invalid Session TTL"},
			{method: "PUT", path: "/v1/kv/service/batman/leader?acquire=${session}", body: "postgresql0", is: "true"},
			{method: "PUT", path: "/v1/kv/service/batman/leader?acquire=00000000-0000-4000-8000-00000000dead", body: "x", status: 500, begins: "invalid session"},
			{method: "PUT", path: "/v1/kv/service/batman/initialize?cas=0", body: "1", is: "true"},
			{method: "PUT", path: "/v1/kv/service/batman/initialize?cas=0", body: "2", is: "false"},
			{path: "/v1/kv/service/batman/?recurse=1&consistent=1", has: []string{"1.Session"}, check: list(2)},
			// One key's index is its own.
			{path: "/v1/kv/service/batman/leader", keep: []string{"at=0.ModifyIndex", "index=X-Consul-Index"}},
			{path: "/v1/kv/service/batman/leader?index=${at}&wait=0.29s", after: 290 * time.Millisecond},
			{method: "PUT", path: "/v1/session/renew/${session}", has: []string{"0.ID"}},
			{method: "PUT", path: "/v1/session/renew/00000000-0000-4000-8000-00000000dead", status: 404},
			{path: "/v1/agent/self", has: []string{"Config.Datacenter", "Member.Addr"}},
			{method: "PUT", path: "/v1/agent/service/register", body: `{"ID":"batman/postgresql0","Name":"batman","Address":"10.0.0.1","Port":5432,"Tags":["master"],"Check":{"http":"http://127.0.0.1:1/master","interval":"5s","deregistercriticalserviceafter":"150.0s"},"EnableTagOverride":true}`},
			{method: "PUT", path: "/v1/agent/service/deregister/batman/postgresql0"},
			{method: "DELETE", path: "/v1/kv/service/batman/?recurse=1", is: "true"},
			{method: "PUT", path: "/v1/session/destroy/${session}", is: "true"},
		},
		"Spring Cloud": {
			{path: "/v1/status/leader", begins: `"`, header: token},
			{path: "/v1/status/peers", has: []string{"0"}, header: token},
			{path: "/v1/kv/config/application/?recurse=&index=-1&wait=2s", status: 400, holds: "Invalid index", header: token},
			{path: "/v1/kv/config/application/?recurse=&token=", status: 404, check: steady, header: token},
			{method: "PUT", path: "/v1/kv/config/application/data", body: "a: 1", is: "true"},
			{path: "/v1/kv/config/application/?recurse=", has: []string{"0.Value"}, header: token},
			{path: "/v1/catalog/datacenters", has: []string{"0"}},
			{path: "/v1/catalog/services?wait=2s&index=", has: []string{"web"}, check: steady},
			{path: "/v1/catalog/service/web", has: []string{"0.ServicePort", "0.ServiceMeta.team"}},
			{path: "/v1/catalog/nodes", until: true, has: []string{"0.Meta"}},
			{path: "/v1/health/checks/web", has: []string{"0.ServiceID"}},
			{path: "/v1/health/service/web?passing=true&tag=v1&tag=web-2", check: list(1)},
			{path: "/v1/health/service/web?passing=", check: list(2)},
			{method: "PUT", path: "/v1/agent/service/register", body: `{"ID":"boot-1","Name":"boot","Tags":["secure=false"],"Address":"10.0.0.7","Meta":{"secure":"false"},"Port":8080,"Check":{"Interval":"10s","HTTP":"http://127.0.0.1:1/actuator/health","Header":{}}}`},
			{method: "PUT", path: "/v1/agent/service/maintenance/boot-1?enable=true&reason=because"},
			{path: "/v1/agent/services", has: []string{"boot-1.Port"}},
			{method: "PUT", path: "/v1/agent/check/pass/service:web-1?note=fine"},
			{method: "PUT", path: "/v1/agent/check/warn/service:web-1"},
			{method: "PUT", path: "/v1/agent/check/fail/service:web-1"},
			{method: "PUT", path: "/v1/agent/check/pass/service:web-1"},
			{method: "PUT", path: "/v1/event/fire/springCloudBus", body: "payload", has: []string{"ID", "Name", "Payload"}},
			{path: "/v1/event/list", until: true, holds: "springCloudBus"},
			{method: "PUT", path: "/v1/agent/service/deregister/boot-1"},
		},
		"fabio": {
			{path: "/v1/health/state/any?consistent=", has: []string{"0.CheckID", "0.ServiceTags", "0.Status"}, check: steady, keep: []string{"index=X-Consul-Index"}},
			{path: "/v1/health/state/any?index=1&wait=60s", has: []string{"0.Node"}, check: steady},
			{path: "/v1/catalog/service/web?stale=", has: []string{"0.ServiceAddress", "0.ServiceTags.0"}},
			{path: "/v1/agent/self", has: []string{"Config.NodeName", "Config.Datacenter"}},
			{path: "/v1/agent/services", has: []string{"web-1.ID"}},
			{method: "PUT", path: "/v1/agent/check/update/service:web-1", body: `{"Status":"passing","Output":"fine"}`},
			{method: "PUT", path: "/v1/kv/fabio/config?cas=0", body: "route add", is: "true"},
			{path: "/v1/kv/fabio/?recurse=", keep: []string{"at=0.ModifyIndex"}},
			{method: "DELETE", path: "/v1/kv/fabio/config?cas=${at}", is: "true"},
		},
		"registrator": {
			{path: "/v1/status/leader", begins: `"`},
			{method: "PUT", path: "/v1/agent/service/register", body: `{"ID":"host:redis:6379","Name":"redis","Tags":[],"Port":6379,"Address":"10.0.0.3","EnableTagOverride":false,"Check":{"Args":null,"TTL":"30s","DeregisterCriticalServiceAfter":"10m"},"Checks":null}`},
			{path: "/v1/agent/services", has: []string{"host:redis:6379.Port"}},
			{method: "PUT", path: "/v1/agent/service/deregister/host:redis:6379"},
			{method: "PUT", path: "/v1/kv/redis/host:redis:6379", body: "10.0.0.3:6379", is: "true"},
			{method: "DELETE", path: "/v1/kv/redis/host:redis:6379", is: "true"},
		},
		"kratos": {
			{path: "/v1/catalog/datacenters", has: []string{"1"}},
			{path: "/v1/health/service/web?index=0&passing=1&wait=55000ms", check: list(2)},
			{path: "/v1/health/service/web?dc=beijing&index=0&passing=1&wait=55000ms", is: "[]"},
			{method: "PUT", path: "/v1/agent/check/update/service:web-1", body: `{"Status":"passing","Output":"pass"}`},
			{path: "/v1/kv/kratos?recurse=", status: 404},
		},
		"go-micro": {
			{path: "/v1/agent/host", has: []string{"Memory.total", "Host.hostname", "CollectionTime"}}, // its ping
			{method: "PUT", path: "/v1/agent/service/register", body: `{"ID":"micro-1","Name":"micro","Port":9090,"Address":"10.0.0.8","Check":{"TTL":"60s","DeregisterCriticalServiceAfter":"1m5s"},"Checks":null}`},
			{method: "PUT", path: "/v1/agent/check/update/service:micro-1", body: `{"Status":"passing","Output":"pass"}`},
			{method: "PUT", path: "/v1/agent/service/deregister/micro-1"},
			{path: "/v1/health/service/web?stale=", check: list(2)},
			{path: "/v1/health/connect/web", is: "[]"},
			{path: "/v1/health/checks/web", check: list(2)},
			{path: "/v1/catalog/services?stale=&wait=60000ms", has: []string{"web.0"}},
		},
		"grpc-consul-resolver": {
			{path: "/v1/health/service/web?near=_agent&passing=1&tag=v1&dc=shanghai&stale=&index=0&wait=300000ms", has: []string{"0.Node.Address", "0.Service.Port"}, check: steady},
			{path: "/v1/health/service/web?near=_agent&passing=1&consistent=", check: list(2)},
		},
		"Envoy planes": {
			{path: "/v1/catalog/datacenters", has: []string{"0"}},
			{path: "/v1/catalog/services?dc=beijing&consistent=", has: []string{"consul"}, check: steady},
			{path: "/v1/catalog/service/consul?dc=beijing&stale=", has: []string{"0.ServicePort"}, check: steady},
			{path: "/v1/catalog/connect/web?dc=shanghai", is: "[]", check: steady},
		},
		"consul_exporter": {
			{path: "/v1/status/leader", begins: `"`}, {path: "/v1/status/peers", has: []string{"0"}},
			{path: "/v1/agent/members", has: []string{"0.Status", "0.Name"}}, {path: "/v1/agent/members?wan=1", is: "null"},
			{path: "/v1/catalog/services?stale=", has: []string{"web"}},
			{path: "/v1/health/service/web?stale=", has: []string{"0.Checks.0.CheckID"}},
			{path: "/v1/health/state/any?stale=", has: []string{"0.Status"}},
		},
		"orchestrator": {
			{method: "PUT", path: "/v1/kv/orchestrator/a?dc=beijing", body: "1", is: "true"},
			{method: "PUT", path: "/v1/txn?dc=beijing", body: `[{"KV":{"Verb":"set","Key":"orchestrator/b","Value":"eA=="}}]`, has: []string{"Results.0.KV.Key"}},
			{path: "/v1/kv/orchestrator/?keys&dc=beijing", is: `["orchestrator/a","orchestrator/b"]`},
			{path: "/v1/kv/orchestrator/?keys", status: 404},
			{method: "DELETE", path: "/v1/kv/orchestrator?recurse&dc=beijing", is: "true"},
		},
	} {
		t.Run(name, func(t *testing.T) { talk(t, n, calls...) })
	}
}

// token is sent by clients that have one, and by Spring even without.
var token = map[string]string{"X-Consul-Token": ""}

// ops are n operations of a transaction, with N in each one's text numbered.
func ops(n int, one string) string {
	all := make([]string, n)
	for i := range all {
		all[i] = strings.Replace(one, "N", fmt.Sprint(i), 1)
	}
	return "[" + strings.Join(all, ",") + "]"
}
