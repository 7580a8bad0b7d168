package agent

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/hanse-project/hanse/config"
)

func TestReloadNamesWhatNeedsARestart(t *testing.T) {
	old, next := &config.Config{}, &config.Config{}
	if got := needsRestart(old, next); len(got) != 0 {
		t.Errorf("nothing changed, and %v need a restart", got)
	}
	next.Log.Level = "DEBUG"
	next.Definitions = []config.Definition{{Kind: "service"}}
	if got := needsRestart(old, next); len(got) != 0 {
		t.Errorf("a reload takes over all of that, and %v need a restart", got)
	}
	next.Log.File = "x.log"
	next.Ports.HTTP = 1
	next.Ports.SerfLAN = 1
	next.HTTPAddrs = []string{"127.0.0.1:1"}
	next.BootstrapExpect = 3
	next.TLS.InternalRPC.CAFile = "ca.pem"
	next.TLS.HTTPS.MinVersion = "TLSv1_3"
	next.Limits.HTTPMaxConnsPerClient = 3
	next.RetryJoinLAN.Addrs = []string{"a"}
	next.Raft.HeartbeatTimeout, next.Raft.ElectionTimeout = 1, 1
	next.Raft.SnapshotThreshold = 1
	next.HTTP.ResponseHeaders = map[string]string{"a": "b"}
	next.NodeMeta = map[string]string{"a": "b"}
	next.EncryptKey = []byte("secret")
	want := []string{
		"addresses.http", "bootstrap_expect", "encrypt", "http_config.response_headers", "limits.http_max_conns_per_client", "log_file", "node_meta",
		"performance.raft_multiplier", "ports.http", "ports.serf_lan", "raft_snapshot_threshold", "retry_join",
		"tls.https.tls_min_version", "tls.internal_rpc.ca_file",
	}
	if got := needsRestart(old, next); !slices.Equal(got, want) {
		t.Errorf("need a restart: %v\nwant %v", got, want)
	}
}

// The names that are written down by hand must still belong to fields.
func TestSettingsHaveFields(t *testing.T) {
	fields := map[string]bool{}
	var walk func(path string, of reflect.Type)
	walk = func(path string, of reflect.Type) {
		for field := range of.Fields() {
			if fields[path+field.Name] = true; field.Type.Kind() == reflect.Struct {
				fields[path+field.Name+"."] = true
				walk(path+field.Name+".", field.Type)
			}
		}
	}
	walk("", reflect.TypeFor[config.Config]())
	for path := range settings {
		if !fields[path] {
			t.Errorf("the configuration has no field %s", path)
		}
	}
	for path := range reloadable {
		if !fields[path] {
			t.Errorf("the configuration has no field %s", path)
		}
	}
	for path := range fields {
		if name := settingOf(strings.TrimSuffix(path, ".")); name != strings.ToLower(name) || strings.ContainsAny(name, " ") {
			t.Errorf("the setting of %s is called %q", path, name)
		}
	}
}
