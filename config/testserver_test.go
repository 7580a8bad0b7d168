package config

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/hashicorp/consul/sdk/testutil"
)

// TestTestServerKeysAreKnown fills every field that Consul's own test server
// can write to its configuration file, and loads that file.
func TestTestServerKeysAreKnown(t *testing.T) {
	var cfg testutil.TestServerConfig
	fill(reflect.ValueOf(&cfg).Elem())
	cfg.NodeName, cfg.NodeID, cfg.Datacenter = "n1", "8c0e3f2a-1b7d-4c55-9a3e-0f6d2b1c4e7a", "dc1"
	cfg.PrimaryDatacenter, cfg.ACLDatacenter = "dc1", "dc1"
	cfg.Bind, cfg.LogLevel, cfg.RaftProtocol = "127.0.0.1", "debug", 3
	cfg.Encrypt, cfg.Addresses.HTTP = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s=", "127.0.0.1"
	cfg.DataDir = t.TempDir()
	cfg.Ports = &testutil.TestPortConfig{DNS: 1, HTTP: 2, HTTPS: 3, SerfLan: 4, SerfWan: 5, Server: 6, GRPC: 7, GRPCTLS: 8, ProxyMinPort: 9, ProxyMaxPort: 10}
	cfg.Autopilot.ServerStabilizationTime = "10s"
	cfg.Connect = map[string]any{"enabled": true}

	text, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	got, warnings, err := Load(file)
	if err != nil {
		t.Fatalf("loading %s: %v", text, err)
	}
	if got.Ports.SerfWAN != 5 || got.NodeName != "n1" || !got.Server || !got.Bootstrap || got.Limits.KVMaxValueSize == 0 {
		t.Errorf("loaded %+v", got)
	}
	if len(warnings) == 0 {
		t.Error("a file that turns on ACLs gave no warning")
	}
}

// fill sets every field that goes to JSON to something other than its zero.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Tag.Get("json") != "-" {
				fill(v.Field(i))
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		elem := reflect.New(v.Type().Elem()).Elem()
		fill(elem)
		v.SetMapIndex(reflect.ValueOf("key"), elem)
	case reflect.Interface:
		v.Set(reflect.ValueOf("value"))
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint:
		v.SetUint(1)
	}
}
