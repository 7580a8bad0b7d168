package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// Each mistake stands alone in an otherwise right configuration, and its error
// has to name the key and say what is asked for.
func TestMistakesNameKeyAndFix(t *testing.T) {
	file := filepath.Join(write(t, map[string]string{"f": ""}), "f")
	meta := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "k%d = \"v\"\n", i)
		}
		return "node_meta {\n" + b.String() + "}"
	}
	for _, c := range []struct{ hcl, key, want string }{
		{`datacenter = "new york"`, "datacenter", "letters"},
		{`datacenter = ""`, "datacenter", "name for a datacenter"},
		{`primary_datacenter = "a.b"`, "primary_datacenter", "letters"},
		{`node_name = ""`, "node_name", "cannot be empty"},
		{`node_name = "my node"`, "node_name", "spaces"},
		{`node_name = "a/b"`, "node_name", "slashes"},
		{`node_name = "` + strings.Repeat("n", 129) + `"`, "node_name", "at most 128"},
		{`node_id = "1234"`, "node_id", "not a UUID"},
		{meta(65), "node_meta", "65 pairs"},
		{`node_meta { "` + strings.Repeat("k", 129) + `" = "v" }`, "node_meta", "at most 128"},
		{`node_meta { k = "` + strings.Repeat("v", 513) + `" }`, "node_meta", "at most 512"},
		{`node_meta { consul-x = "v" }`, "node_meta", "reserved"},
		{`node_meta { "a b" = "v" }`, "node_meta", "dashes and underscores"},
		{`node_meta { "" = "v" }`, "node_meta", "blank"},
		{`node_meta { k = ["v"] }`, "node_meta", "string"},
		{`domain = "."`, "domain", "cannot be empty"},
		{`server = false bootstrap = true`, "bootstrap", "requires 'server = true'"},
		{`server = false bootstrap_expect = 3`, "bootstrap_expect", "requires 'server = true'"},
		{`bootstrap = true bootstrap_expect = 3`, "bootstrap_expect", "mutually exclusive"},
		{`bootstrap_expect = -1`, "bootstrap_expect", "negative"},
		{`server = false read_replica = true`, "read_replica", "requires 'server = true'"},
		{`read_replica = true bootstrap = true`, "read_replica", "cannot bootstrap"},
		{`data_dir = ""`, "data_dir", "cannot be empty"},
		{`data_dir = "` + file + `"`, "data_dir", "is a file"},
		{`server = false retry_join_wan = ["x"]`, "retry_join_wan", "only servers"},
		{`server = false start_join_wan = ["x"]`, "start_join_wan", "only servers"},
		{`retry_join_wan = ["x"] ports { serf_wan = -1 }`, "retry_join_wan", "WAN pool is off"},
		{`retry_join = [""]`, "retry_join", "empty address"},
		{`retry_join = ["provider=aws tag_key=x"]`, "retry_join", "cloud provider"},
		{`retry_join = [1]`, "retry_join", "list of strings"},
		{`retry_join = 1`, "retry_join", "list of strings"},
		{`protocol = 1`, "protocol", "use 2 or 3"},
		{`raft_protocol = 2`, "raft_protocol", "only 3"},
		{`ports { sidecar_min_port = 22000 }`, "ports.sidecar_min_port", "22000 to 21255"},
		{`ports { sidecar_max_port = 70000 }`, "ports.sidecar_min_port", "use 1 to 65535"},
		{`bind_addr = "localhost"`, "bind_addr", "not an IP address"},
		{`bind_addr = "10.0.0.1:8300"`, "bind_addr", "not an IP address"},
		{`bind_addr = "10.0.0.1 10.0.0.2"`, "bind_addr", "exactly one"},
		{`bind_addr = "unix:///x"`, "bind_addr", "socket"},
		{`bind_addr = ""`, "bind_addr", "is empty"},
		{`bind_addr = "{{ NoSuchFunction }}"`, "bind_addr", "fails"},
		{`bind_addr = "{{ GetAllInterfaces | include \"name\" \"^nosuch$\" | attr \"address\" }}"`, "bind_addr", "template"},
		{`client_addr = "x"`, "client_addr", "not an IP address"},
		{`addresses { http = "x" }`, "addresses.http", "not an IP address"},
		{`serf_lan = "x"`, "serf_lan", "not an IP address"},
		{`serf_wan = "x"`, "serf_wan", "not an IP address"},
		{`advertise_addr = "0.0.0.0"`, "advertise_addr", "nobody can reach"},
		{`advertise_addr_wan = "::"`, "advertise_addr_wan", "nobody can reach"},
		{`recursors = ["dns.example"]`, "recursors", "not an IP address"},
		{`recursors = ["192.0.2.1:0"]`, "recursors", "no port from 1"},
		{`recursors = ["0.0.0.0"]`, "recursors", "nobody to ask"},
		{`domain = "a..b"`, "domain", "is no domain"},
		{`alt_domain = "consul."`, "alt_domain", "is the domain itself"},
		{`alt_domain = "a b"`, "alt_domain", "is no domain"},
		{`dns_config { recursor_strategy = "luck" }`, "dns_config.recursor_strategy", "use \"sequential\" or \"random\""},
		{`dns_config { recursor_timeout = "0s" }`, "dns_config.recursor_timeout", "positive"},
		{`dns_config { node_ttl = "-1s" }`, "dns_config.node_ttl", "use 0s"},
		{`dns_config { service_ttl { web = "-1s" } }`, "dns_config.service_ttl", "\"web\" is -1s"},
		{`dns_config { service_ttl { web = 5 } }`, "dns_config.service_ttl", "unit"},
		{`dns_config { service_ttl { "*web" = "1s" } }`, "dns_config.service_ttl", "only at the end"},
		{`dns_config { max_stale = "-1s" }`, "dns_config.max_stale", "negative"},
		{`dns_config { cache_max_age = "-1s" }`, "dns_config.cache_max_age", "negative"},
		{`dns_config { udp_answer_limit = -1 }`, "dns_config.udp_answer_limit", "negative"},
		{`dns_config { a_record_limit = -1 }`, "dns_config.a_record_limit", "negative"},
		{`dns_config { soa { min_ttl = -1 } }`, "dns_config.soa.min_ttl", "in seconds"},
		{`dns_config { onlypassing = true }`, "dns_config.onlypassing", "only_passing"},
		{`http_config { allow_write_http_from = ["10.0.0.1"] }`, "http_config.allow_write_http_from", "10.0.0.0/8"},
		{`ports { http = 65536 }`, "ports.http", "65535"},
		{`ports { server = -1 }`, "ports.server", "use 1 to 65535"},
		{`ports { serf_lan = 0 }`, "ports.serf_lan", "use 1 to 65535"},
		{`ports { serf_wan = -2 }`, "ports.serf_wan", "-1 for off"},
		{`ports { http = 8300 }`, "ports.http", "taken by ports.server"},
		{`ports { http = "many" }`, "ports.http", "whole number"},
		{`ports { http = 1.5 }`, "ports.http", "whole number"},
		{`ports = 5`, "ports", "object"},
		{`client_addr = "0.0.0.0" ports { dns = 8301 }`, "ports.dns", "taken by ports.serf_lan"},
		{`server = "maybe"`, "server", "true or false"},
		{`retry_interval = "0s"`, "retry_interval", "positive"},
		{`retry_interval = 30`, "retry_interval", "unit"},
		{`retry_max = -1`, "retry_max", "negative"},
		{`reconnect_timeout = "1h"`, "reconnect_timeout", "8h"},
		{`reconnect_timeout_wan = "-9h"`, "reconnect_timeout_wan", "8h"},
		{`performance { raft_multiplier = 11 }`, "performance.raft_multiplier", "1 (quick) to 10"},
		{`performance { rpc_hold_timeout = "-7s" }`, "performance.rpc_hold_timeout", "positive"},
		{`max_query_time = "25h"`, "max_query_time", "at most 24h"},
		{`default_query_time = "0s"`, "default_query_time", "positive"},
		{`session_ttl_min = "25h"`, "session_ttl_min", "at most 24h"},
		{`session_ttl_min = "-1s"`, "session_ttl_min", "negative"},
		{`performance { leave_drain_time = "-1s" }`, "performance.leave_drain_time", "negative"},
		{`cache { entry_fetch_rate = -1 }`, "cache.entry_fetch_rate", "per second"},
		{`cache { entry_fetch_rate = "often" }`, "cache.entry_fetch_rate", "use a number"},
		{`cache { entry_fetch_max_burst = 0 }`, "cache.entry_fetch_max_burst", "at least 1"},
		{`limits { kv_max_value_size = 0 }`, "limits.kv_max_value_size", "at least 1"},
		{`limits { rpc_max_conns_per_client = -5 }`, "limits.rpc_max_conns_per_client", "negative"},
		{`gossip_lan { gossip_nodes = 0 }`, "gossip_lan.gossip_nodes", "at least 1"},
		{`gossip_wan { probe_timeout = "0s" }`, "gossip_wan.probe_timeout", "positive"},
		{`raft_snapshot_threshold = 0`, "raft_snapshot_threshold", "at least 1"},
		{`tombstone_ttl = "0s"`, "tombstone_ttl", "positive"},
		{`log_level = "loud"`, "log_level", "use trace"},
		{`log_rotate_duration = "-1h"`, "log_rotate_duration", "negative"},
		{`telemetry { metrics_prefix = "1 2" }`, "telemetry.metrics_prefix", "letters"},
		{`telemetry { prefix_filter = ["+consul.raft", "consul.rpc"] }`, "telemetry.prefix_filter", "consul.rpc"},
		{`encrypt = "not base64!"`, "encrypt", "not base64"},
		{`encrypt = "c2hvcnQ="`, "encrypt", "is 5 bytes"},
		{`verify_incoming = true`, "tls.internal_rpc.verify_incoming", "ca_file"},
		{`tls { internal_rpc { verify_outgoing = true } }`, "tls.internal_rpc.verify_outgoing", "ca_file"},
		{`cert_file = "x"`, "tls.internal_rpc", "belong together"},
		{`tls { defaults { tls_min_version = "SSLv3" } }`, "tls.internal_rpc.tls_min_version", "TLSv1_2"},
		{`service = "web"`, "service", "object"},
		{`replicate = "config/"`, "replicate", "object"},
	} {
		base := `server = true node_name = "n" bind_addr = "127.0.0.1" data_dir = "/nowhere/hanse" `
		f, err := parse("-hcl", base, "-hcl", c.hcl)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := f.Load()
		if err == nil {
			t.Errorf("%s: loaded", c.hcl)
			continue
		}
		if got != nil {
			t.Errorf("%s: a Config beside an error", c.hcl)
		}
		m, ok := errors.AsType[*Mistake](err)
		if !ok || m.Key != c.key || !strings.Contains(m.Says, c.want) {
			t.Errorf("%s: error %v, want key %s and %q", c.hcl, err, c.key, c.want)
		}
	}
}

func TestMistakesTellWhereTheyAre(t *testing.T) {
	dir := write(t, map[string]string{"a.hcl": `bootstrap_expect = 3`, "b.hcl": `log_level = "loud"`})
	f, err := parse("-config-dir", dir, "-bootstrap", "-server", "-bind", "127.0.0.1", "-data-dir", "/nowhere/hanse")
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = f.Load()
	for _, want := range []string{filepath.Join(dir, "a.hcl") + ": bootstrap_expect: ", filepath.Join(dir, "b.hcl") + ": log_level: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestUnknownKeysNameTheNearest(t *testing.T) {
	for hcl, want := range map[string]string{
		`datacentre = "x"`:            `datacentre: unknown key: did you mean "datacenter"?`,
		`boostrap_expect = 3`:         `boostrap_expect: unknown key: did you mean "bootstrap_expect"?`,
		`ports { htpp = 1 }`:          `ports.htpp: unknown key: did you mean "ports.http"?`,
		`prts { http = 1 }`:           `prts: unknown key: did you mean "ports"?`,
		`raft_multiplier = 1`:         `raft_multiplier: unknown key: did you mean "performance.raft_multiplier"?`,
		`rpc_hold_timout = "1s"`:      `rpc_hold_timout: unknown key: did you mean "performance.rpc_hold_timeout"?`,
		`limits { kv_max_value = 1}`:  `limits.kv_max_value: unknown key: did you mean "limits.kv_max_value_size"?`,
		`tls { defaults { ca = "" }}`: `tls.defaults.ca: unknown key: did you mean "tls.defaults.ca_`,
	} {
		f, err := parse("-dev", "-hcl", hcl)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err = f.Load(); err == nil || !strings.Contains(err.Error(), "-hcl (number 1): "+want) {
			t.Errorf("%s: error %v, want %q", hcl, err, want)
		}
	}
	f, err := parse("-dev", "-hcl", `whatever = "x"`)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err = f.Load(); err == nil || !strings.HasSuffix(err.Error(), "whatever: unknown key") {
		t.Errorf("a key that is like none: error %v", err)
	}
}
