package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	uuid "github.com/hashicorp/go-uuid"

	"github.com/hanse-project/hanse/config"
)

func mustNodeID(t *testing.T, cfg *config.Config) string {
	t.Helper()
	id, err := nodeID(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := uuid.ParseUUID(id); err != nil {
		t.Fatalf("node ID %q: %v", id, err)
	}
	return id
}

func TestNodeIDStaysWithTheDataDirectory(t *testing.T) {
	dir := t.TempDir()
	cfg := &config.Config{DataDir: dir, DisableHostNodeID: true}
	first := mustNodeID(t, cfg)
	if again := mustNodeID(t, cfg); again != first {
		t.Errorf("the ID is %s after %s", again, first)
	}
	if other := mustNodeID(t, &config.Config{DataDir: t.TempDir(), DisableHostNodeID: true}); other == first {
		t.Error("two data directories have the same ID")
	}
	const given = "11111111-2222-4333-8444-555555555555"
	if got := mustNodeID(t, &config.Config{DataDir: dir, NodeID: given}); got != given {
		t.Errorf("the configured ID is %s, the agent has %s", given, got)
	}
	if got := mustNodeID(t, cfg); got != given {
		t.Errorf("the ID is %s, want the one configured last", got)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 || files[0].Name() != nodeIDFile {
		t.Errorf("the directory holds %v (%v)", files, err)
	}
}

func TestNodeIDWithoutADataDirectoryIsNew(t *testing.T) {
	cfg := &config.Config{DisableHostNodeID: true}
	if a, b := mustNodeID(t, cfg), mustNodeID(t, cfg); a == b {
		t.Error("two agents have the same ID")
	}
}

func TestNodeIDOfTheHostIsTheSameAfterALoss(t *testing.T) {
	if _, ok := hostNodeID(); !ok {
		t.Skip("this machine has no /etc/machine-id")
	}
	a, b := mustNodeID(t, &config.Config{DataDir: t.TempDir()}), mustNodeID(t, &config.Config{DataDir: t.TempDir()})
	if a != b {
		t.Errorf("the host's ID is %s and %s", a, b)
	}
	if text, err := os.ReadFile("/etc/machine-id"); err == nil && strings.Contains(strings.ReplaceAll(a, "-", ""), strings.TrimSpace(string(text))) {
		t.Error("the machine's own ID is shown to others")
	}
}

func TestNodeIDThatIsNoneStopsTheStart(t *testing.T) {
	for _, text := range []string{"", "garbage", "11111111-2222-4333-8444-55555555555", "11111111-2222-4333-8444-55555555555g", strings.Repeat("x", 1<<20)} {
		dir := t.TempDir()
		path := filepath.Join(dir, nodeIDFile)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := nodeID(&config.Config{DataDir: dir})
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "remove the file") || len(err.Error()) > 1000 {
			t.Errorf("%.20q: error is %.200v", text, err)
		}
		if left, err := os.ReadFile(path); err != nil || string(left) != text {
			t.Errorf("the file was changed (%v)", err)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, nodeIDFile), []byte(" 11111111-2222-4333-8444-55555555555A\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := mustNodeID(t, &config.Config{DataDir: dir}); got != "11111111-2222-4333-8444-55555555555a" {
		t.Errorf("an ID written by hand is read as %q", got)
	}
}
