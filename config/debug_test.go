package config

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestDebugHidesSecretsAndHasWhatClientsRead(t *testing.T) {
	const secret = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="
	c, _ := load(t, "-dev", "-node", "n", "-encrypt", secret, "-hcl", `
		tls { internal_rpc { cert_file = "/c.pem" key_file = "/secret-key.pem" } }
		dns_config { allow_stale = true service_ttl { web = "5s" } soa { retry = 1 } }`)
	text, err := json.Marshal(c.Debug())
	if err != nil {
		t.Fatal(err)
	}
	for _, hidden := range []string{secret, "secret-key", string(c.EncryptKey)} {
		if strings.Contains(string(text), hidden) {
			t.Errorf("%q is in %s", hidden, text)
		}
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"ConnectEnabled": true, "GRPCPort": -1, "GRPCTLSPort": -1, "DNSPort": 8600, "DNSAddrs": []any{"tcp://127.0.0.1:8600", "udp://127.0.0.1:8600"},
		"DNSServiceTTL": map[string]any{"web": "5s"}, "DNSSOA": map[string]any{"Refresh": 3600, "Retry": 1, "Expire": 86400, "Minttl": 0},
		"EncryptKey": "hidden", "ServerMode": true, "DevMode": true, "HTTPPort": 8500,
		"HTTPAddrs": []any{"tcp://127.0.0.1:8500"}, "GossipLANProbeInterval": "100ms", "DNSDomain": "consul.",
		"SerfBindAddrWAN": "tcp://127.0.0.1:8302", "RetryJoinLAN": []any{}, "KVMaxValueSize": 512 << 10,
	} {
		if fmt.Sprint(got[name]) != fmt.Sprint(want) || got[name] == nil {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
}

func TestTLSInterfacesInherit(t *testing.T) {
	c, _ := load(t, "-dev", "-node", "n", "-hcl", `
		ca_file = "/old-ca" cert_file = "/old-cert" key_file = "/old-key" tls_min_version = "tls13"
		verify_incoming = false verify_incoming_rpc = true verify_server_hostname = true
		tls_cipher_suites = "TLS_A, TLS_B"
		tls {
			defaults { ca_file = "/ca" verify_outgoing = false }
			https { ca_file = "/https-ca" verify_incoming = true tls_min_version = "TLSv1_2" }
		}
		ports { https = 8501 } server_name = "me"`)
	suites := []string{"TLS_A", "TLS_B"}
	want := TLS{
		InternalRPC: TLSInterface{"/ca", "", "/old-cert", "/old-key", "TLSv1_3", suites, true, true, true},
		HTTPS:       TLSInterface{"/https-ca", "", "/old-cert", "/old-key", "TLSv1_2", suites, true, false, false},
		GRPC:        TLSInterface{"/ca", "", "/old-cert", "/old-key", "TLSv1_3", suites, false, false, false},
		ServerName:  "me",
	}
	if fmt.Sprintf("%+v", c.TLS) != fmt.Sprintf("%+v", want) {
		t.Errorf("got  %+v\nwant %+v", c.TLS, want)
	}
}

func TestReadmeStyleConfigurationIsAccepted(t *testing.T) {
	c, _ := load(t, "-hcl", `
		datacenter = "east-aws"
		data_dir = "/opt/hanse"
		node_name = "foobar"
		bind_addr = "127.0.0.1"
		addresses = { https = "0.0.0.0" }
		watches = [{ type = "checks" handler = "/usr/bin/health-check-handler.sh" }]
		telemetry { statsite_address = "127.0.0.1:2180" }
		audit { enabled = true sink "My sink" { type = "file" } }
		http_config { response_headers { Access-Control-Allow-Origin = "*" } }`)
	if c.HTTP.ResponseHeaders["Access-Control-Allow-Origin"] != "*" || c.Datacenter != "east-aws" {
		t.Errorf("loaded %+v", c)
	}
}
