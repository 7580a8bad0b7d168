package config

import (
	"errors"
	"testing"
)

// FuzzFile feeds the readers of both formats. Whatever the bytes, there is a
// valid Config or a reason.
func FuzzFile(f *testing.F) {
	for _, seed := range []string{
		`{"server": true, "retry_join": ["a"], "ports": {"http": 1}, "node_meta": {"a": "b"}}`,
		`{"service": {"name": "x"}, "acl": {"enabled": true}, "tls": {"defaults": {"ca_file": "x"}}}`,
		"server = true\nports {\n  http = -1\n}\nservice \"a\" {\n  name = \"b\"\n}\n",
		"node_meta = { a = \"b\" } # c\nretry_join = [\"x\", <<EOF\ny\nEOF\n]",
		`bind_addr = "{{ GetPrivateIP }}" encrypt = "AAAA" replicate { prefix = "a" }`,
		`a "b" "c" {} = []`, `ports = [[{}]]`, `telemetry { prefix_filter = [["a"]] }`, `gossip_lan { gossip_nodes = 1e400 }`,
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, text []byte, isHCL bool) {
		src := source{"fuzz", "json", text}
		if isHCL {
			src.format = "hcl"
		}
		d := newDraft(true)
		errs := d.read(src)
		c, _, err := d.finish(errs)
		if (c == nil) == (err == nil) {
			t.Fatalf("config %v beside error %v", c, err)
		}
		if err == nil && len(errs) > 0 {
			t.Fatalf("loaded in spite of %v", errors.Join(errs...))
		}
		if c != nil {
			if err := c.Validate(); err != nil {
				t.Fatalf("what was loaded is not valid: %v", err)
			}
		}
	})
}
