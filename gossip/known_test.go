package gossip

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestMembersOfTheLastRunAreRemembered(t *testing.T) {
	const lines = `alive: me 127.0.0.1:8301
alive: a 127.0.0.2:8301
alive: b c 127.0.0.3:8301
alive: d.e 127.0.0.4:8301
clock: 7
not-alive: a
garbage
alive:
`
	for name, c := range map[string]struct {
		lines  string
		rejoin bool
		want   []string
	}{
		"those still alive":               {lines, false, []string{"b c/127.0.0.3:8301", "d.e/127.0.0.4:8301"}},
		"none after a leave":              {lines + "leave\n", false, nil},
		"all after a leave, if so wished": {lines + "leave\n", true, []string{"b c/127.0.0.3:8301", "d.e/127.0.0.4:8301"}},
		"those met after a leave":         {lines + "leave\nalive: f 127.0.0.5:8301\n", false, []string{"f/127.0.0.5:8301"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.MkdirAll(filepath.Join(dir, "serf"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "serf", "local.snapshot"), []byte(c.lines), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg := Config{Name: "me", Files: "local", Options: Options{DataDir: dir, RejoinAfterLeave: c.rejoin}}
			if got := cfg.remembered(); !slices.Equal(got, c.want) {
				t.Errorf("remembered %q, want %q", got, c.want)
			}
		})
	}
}
