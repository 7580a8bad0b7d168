package agent

import (
	"strings"
	"testing"

	"github.com/hanse-project/hanse/config"
)

func TestMistakesAboutTheMeshAreNamedTogether(t *testing.T) {
	cfg := &config.Config{
		Connect: config.Connect{CAProvider: "vault"},
		BootstrapEntries: []config.Definition{
			{Source: "a.hcl", Body: map[string]any{"kind": "mesh"}},
			{Source: "a.hcl", Body: map[string]any{"kind": "nope", "name": "x"}},
		},
	}
	entries, err := ReadMesh(cfg)
	if len(entries) != 1 || err == nil {
		t.Fatalf("got %v, %v", entries, err)
	}
	for _, want := range []string{`the CA provider "vault" is not supported: use "consul"`, "a.hcl: config_entries.bootstrap[1]: invalid config entry kind: nope"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	cfg.Connect = config.Connect{CAConfig: map[string]any{"leaf_cert_ttl": "1m"}}
	if _, err := ReadMesh(cfg); err == nil || !strings.Contains(err.Error(), "leaf cert TTL") {
		t.Errorf("got %v", err)
	}
}
