package local

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/hanse-project/hanse/config"
)

// reference are definitions in the forms that Consul's reference and tutorials have: the
// services and checks in them, as "id name port" and "id type service interval".
var reference = []struct{ name, body, services, checks string }{
	{"a name is enough", `{"name":"web"}`, "web web 0", ""},
	{"every key of a service", `{"id":"redis1","name":"redis","tags":["primary"],"address":"10.0.0.5","port":8000,"meta":{"meta":"for my service"},
		"tagged_addresses":{"lan":{"address":"192.168.0.55","port":8000},"wan":{"address":"198.18.0.23","port":80}},"token":"233b604b-b92e-48c8-a253-5f11514e4b50",
		"enable_tag_override":false,"weights":{"passing":5,"warning":1},"kind":"","socket_path":"","locality":{"region":"us-west-1","zone":"us-west-1a"},
		"namespace":"default","partition":"default","checks":[]}`, "redis1 redis 8000", ""},
	{"a script", `{"name":"redis","port":80,"check":{"args":["/usr/local/bin/check_redis.py"],"interval":"10s"}}`, "redis redis 80", "service:redis script redis 10s"},
	{"a script by its other name", `{"name":"redis","check":{"script_args":["true"],"interval":"10s","timeout":"5s"}}`, "redis redis 0", "service:redis script redis 10s"},
	{"a check with an ID of its own", `{"name":"web","check":{"id":"api","name":"HTTP API on port 5000","http":"https://localhost:5000/health","method":"POST",
		"header":{"Content-Type":["application/json"]},"body":"{\"method\":\"health\"}","disable_redirects":true,"tls_server_name":"server.dc1.consul","tls_skip_verify":false,
		"interval":"10s","timeout":"1s","output_max_size":4096}}`, "web web 0", "api http web 10s"},
	{"a check_id", `{"name":"web","check":{"check_id":"c","ttl":"30s","notes":"a note","status":"passing"}}`, "web web 0", "c ttl web "},
	{"several checks without IDs", `{"id":"w","name":"web","checks":[{"ttl":"1s"},{"tcp":"localhost:22","interval":"10s","timeout":"1s","tcp_use_tls":true}]}`,
		"w web 0", "service:w:1 ttl w , service:w:2 tcp w 10s"},
	{"check beside checks", `{"name":"web","check":{"ttl":"1s"},"checks":[{"id":"second","ttl":"1s"}]}`, "web web 0", "second ttl web , service:web:1 ttl web "},
	{"udp", `{"name":"dns","check":{"udp":"localhost:53","interval":"10s"}}`, "dns dns 0", "service:dns udp dns 10s"},
	{"grpc", `{"name":"rpc","check":{"grpc":"127.0.0.1:12345/my_service","grpc_use_tls":true,"interval":"10s"}}`, "rpc rpc 0", "service:rpc grpc rpc 10s"},
	{"h2ping", `{"name":"h2","check":{"h2ping":"localhost:22222","interval":"10s","h2ping_use_tls":false}}`, "h2 h2 0", "service:h2 h2ping h2 10s"},
	{"docker", `{"name":"box","check":{"docker_container_id":"f972c95ebf0e","shell":"/bin/bash","args":["/usr/local/bin/check_mem.py"],"interval":"10s"}}`,
		"box box 0", "service:box docker box 10s"},
	{"os_service", `{"name":"svc","check":{"os_service":"myco-svctype-svcname-001","interval":"10s"}}`, "svc svc 0", "service:svc os_service svc 10s"},
	{"alias", `{"name":"web","check":{"id":"web-alias","alias_service":"db","alias_node":"other"}}`, "web web 0", "web-alias alias web "},
	{"counts in a row", `{"name":"web","check":{"tcp":"localhost:80","interval":"10s","success_before_passing":3,"failures_before_warning":1,"failures_before_critical":3,
		"deregister_critical_service_after":"90m"}}`, "web web 0", "service:web tcp web 10s"},
	{"a native service", `{"name":"web","port":1,"connect":{"native":true}}`, "web web 1", ""},
	{"a sidecar", `{"name":"web","port":8080,"connect":{"sidecar_service":{"proxy":{"upstreams":[{"destination_type":"prepared_query","destination_name":"db",
		"datacenter":"dc2","local_bind_address":"127.0.0.1","local_bind_port":9191,"local_bind_socket_mode":"0600","config":{"a":null},"mesh_gateway":{"mode":"remote"}}]}}}}`,
		"web web 8080, web-sidecar-proxy web-sidecar-proxy 21000",
		"service:web-sidecar-proxy:1 tcp web-sidecar-proxy 10s, service:web-sidecar-proxy:2 alias web-sidecar-proxy "},
	{"a sidecar with a port and no more", `{"name":"web","connect":{"sidecar_service":{"port":20000}}}`,
		"web web 0, web-sidecar-proxy web-sidecar-proxy 20000",
		"service:web-sidecar-proxy:1 tcp web-sidecar-proxy 10s, service:web-sidecar-proxy:2 alias web-sidecar-proxy "},
	{"every key of a proxy", `{"name":"redis-proxy","kind":"connect-proxy","port":8181,"proxy":{"destination_service_name":"redis","destination_service_id":"redis1",
		"local_service_address":"127.0.0.1","local_service_port":9090,"local_service_socket_path":"/tmp/redis.sock","mode":"transparent",
		"transparent_proxy":{"outbound_listener_port":15001,"dialed_directly":true},"config":{"handshake_timeout_ms":10000,"list":[null,{"x":null}]},
		"upstreams":[{"destination_peer":"cloud","destination_namespace":"default","destination_partition":"default","destination_name":"db","local_bind_socket_path":"/tmp/db.sock"}],
		"mesh_gateway":{"mode":"local"},"expose":{"checks":true,"paths":[{"path":"/healthz","local_path_port":8080,"listener_port":21500,"protocol":"http2"}]},
		"mutual_tls_mode":"permissive","access_logs":{"enabled":true,"type":"file","path":"/log","disable_listener_logs":true,"json_format":"","text_format":"x"},
		"envoy_extensions":[{"name":"builtin/lua","required":true,"arguments":{"script":"x"},"consul_version":">= 1.15","envoy_version":">= 1.25"}]}}`,
		"redis-proxy redis-proxy 8181", ""},
	{"a gateway", `{"name":"mesh-gateway","kind":"mesh-gateway","port":8443,"proxy":{"config":{"envoy_mesh_gateway_no_default_bind":true}}}`, "mesh-gateway mesh-gateway 8443", ""},
	{"nothing instead of something", `{"name":"web","tags":null,"meta":null,"weights":null,"check":null,"checks":[null],"proxy":null,"connect":null}`, "web web 0", ""},
}

// camel spells the keys of a definition as requests do. Those of free maps stay.
func camel(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, value := range v {
			name := ""
			for part := range strings.SplitSeq(key, "_") {
				name += strings.ToUpper(part[:1]) + part[1:]
			}
			switch key {
			case "meta", "header", "config", "arguments":
			case "tagged_addresses":
				all := map[string]any{}
				for tag, address := range value.(map[string]any) {
					all[tag] = camel(address)
				}
				value = all
			default:
				value = camel(value)
			}
			out[name] = value
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = camel(item)
		}
		return out
	}
	return v
}

// content is what a state has, in the form of [reference].
func (s *State) content() (services, checks string) {
	var all []string
	rows := s.Services()
	for _, id := range slices.Sorted(maps.Keys(rows)) {
		all = append(all, fmt.Sprintf("%s %s %d", id, rows[id].Service, rows[id].Port))
	}
	var made []string
	for _, c := range s.Checks() {
		made = append(made, fmt.Sprintf("%s %s %s %s", c.CheckID, c.Type, c.ServiceID, c.Interval))
	}
	slices.Sort(made)
	return strings.Join(all, ", "), strings.Join(made, ", ")
}

func TestDefinitionsOfTheReferenceAreTaken(t *testing.T) {
	for _, c := range reference {
		t.Run(c.name, func(t *testing.T) {
			fields := map[string]any{}
			if err := json.Unmarshal([]byte(c.body), &fields); err != nil {
				t.Fatal(err)
			}
			asRequest, err := json.Marshal(camel(fields))
			if err != nil {
				t.Fatal(err)
			}
			var rows []string
			for how, take := range map[string]func(*State) error{
				"over HTTP":                  func(s *State) error { return s.registerJSON(string(asRequest)) },
				"over HTTP, spelt as a file": func(s *State) error { return s.registerJSON(c.body) },
				"from a file": func(s *State) error {
					return s.Load([]config.Definition{{Kind: "service", Source: "f", Body: fields}})
				},
			} {
				s := newState(t, func(c *Config) { c.RemoteScripts = true })
				if err := take(s); err != nil {
					t.Errorf("%s: %v", how, err)
					continue
				}
				if services, checks := s.content(); services != c.services || checks != c.checks {
					t.Errorf("%s: services %q, checks %q; want %q, %q", how, services, checks, c.services, c.checks)
				}
				rows = append(rows, string(text(s.Services()))+string(text(s.Checks())))
			}
			if slices.Sort(rows); len(rows) > 0 && rows[0] != rows[len(rows)-1] {
				t.Errorf("it is not the same each time:\n%s\n%s", rows[0], rows[len(rows)-1])
			}
		})
	}
}
