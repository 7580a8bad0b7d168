package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheMeshIsConfigured(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	hcl := write("a.hcl", `
data_dir = "/tmp/x"
bind_addr = "127.0.0.1"
connect {
  ca_provider = "consul"
  ca_config { leaf_cert_ttl = "24h" private_key_bits = 384 }
  enable_mesh_gateway_wan_federation = true
}
config_entries {
  bootstrap {
    kind = "proxy-defaults"
    name = "global"
    config { local_connect_timeout_ms = 1000 }
  }
  bootstrap { kind = "mesh" }
}`)
	json := write("b.json", `{"connect":{"enabled":false,"ca_config":{"private_key_bits":521}},"config_entries":{"bootstrap":[{"kind":"service-defaults","name":"web"}]}}`)
	cfg, warnings, err := Load(hcl, json)
	if err != nil {
		t.Fatal(err)
	}
	if c := cfg.Connect; c.Enabled || c.CAProvider != "consul" || c.CAConfig["leaf_cert_ttl"] != "24h" || fmt.Sprint(c.CAConfig["private_key_bits"]) != "521" {
		t.Errorf("connect is %+v", c)
	}
	if len(cfg.BootstrapEntries) != 3 || cfg.BootstrapEntries[2].Body["name"] != "web" || cfg.BootstrapEntries[2].Source != json {
		t.Errorf("the entries are %+v", cfg.BootstrapEntries)
	}
	if all := strings.Join(warnings, "\n"); !strings.Contains(all, "connect.enable_mesh_gateway_wan_federation was ignored") {
		t.Errorf("warnings: %s", all)
	}
	if cfg, _, err := Load(write("c.hcl", `data_dir = "/tmp/x"
bind_addr = "127.0.0.1"`)); err != nil || !cfg.Connect.Enabled {
		t.Errorf("without a word about it: %v, %v", cfg, err)
	}
	for text, want := range map[string]string{
		`connect { nope = 1 }`:         `connect.nope: unknown key`,
		`connect { ca_config = 5 }`:    "connect.ca_config: is 5",
		`connect { enabled = "x" }`:    "connect.enabled: is",
		`config_entries { other = 1 }`: "unknown key",
	} {
		if _, _, err := Load(write("d.hcl", text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
