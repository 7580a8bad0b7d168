package main

import (
	"os"
	"strings"
	"testing"
)

func TestValidateReadsFilesAsAnAgentDoes(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, content := range map[string]string{
		"good/a.json":  `{"data_dir": "d", "datacenter": "shanghai", "server": true, "bind_addr": "127.0.0.1"}`,
		"good/b.hcl":   `node_name = "n1"`,
		"warn.json":    `{"data_dir": "d", "bind_addr": "127.0.0.1", "ui_dir": "/x"}`,
		"plain":        `{"data_dir": "d", "bind_addr": "127.0.0.1"}`,
		"unknown.json": `{"data_dir": "d", "bind_addr": "127.0.0.1", "datacentre": "x"}`,
		"bad.json":     `{"data_dir": `,
		"invalid.hcl":  `datacenter = "dc 1"`,
		"watch.hcl":    `datacenter = "dc 1" watches { type = "key" args = ["true"] }`,
		"both.hcl":     `datacenter = "dc 1" service { name = "web" port = "many" }`,
	} {
		if err := os.MkdirAll("good", 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name, args     string
		exit           int
		stdout, stderr string
	}{
		{"a folder", "good", 0, "Configuration is valid!\n", ""},
		{"two paths, quietly", "-quiet good good/b.hcl", 0, "", ""},
		{"a setting that is ignored", "warn.json", 0, "Configuration is valid!\n", "ui_dir"},
		{"a file whose name says nothing", "-config-format=json plain", 0, "Configuration is valid!\n", ""},
		{"an unknown key names the nearest", "unknown.json", 1, "", "datacenter"},
		{"a file that does not parse", "bad.json", 1, "", "Config validation failed: bad.json"},
		{"a bad value", "invalid.hcl", 1, "", "datacenter"},
		{"a bad watch beside a bad value", "watch.hcl", 1, "", "watch.hcl: watches[0]: Must specify a single key to watch"},
		{"a bad service beside a bad value", "both.hcl", 1, "", "service: port: use a whole number"},
		{"a missing file", "missing", 1, "", "no such file or directory"},
		{"no file", "", 1, "", "Must specify at least one config file or directory\n\nUsage: "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			stdout, stderr, exit := hanse(t, "", append([]string{"validate"}, strings.Fields(tc.args)...)...)
			if exit != tc.exit || stdout != tc.stdout || !strings.Contains(stderr, tc.stderr) || (tc.stderr == "" && stderr != "") {
				t.Errorf("exit %d, stdout %q, stderr %q", exit, stdout, stderr)
			}
			if exit == 1 && tc.args != "" && !strings.HasPrefix(stderr, "Config validation failed: ") {
				t.Errorf("stderr %q", stderr)
			}
		})
	}
}
