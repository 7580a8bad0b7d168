package pages

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hanse-project/hanse/config"
)

func TestConfigurationsShownAreTaken(t *testing.T) {
	var blocks []string
	for _, name := range []string{"docs/agent.md", "docs/replication.md"} {
		page, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		found := strings.Split(string(page), "```hcl\n")[1:]
		if len(found) == 0 {
			t.Fatalf("no configurations in %s", name)
		}
		blocks = append(blocks, found...)
	}
	for _, b := range blocks {
		text, _, _ := strings.Cut(b, "```")
		// What is said for every machine depends on this one.
		text = strings.ReplaceAll(text, "{{ GetPrivateIP }}", "127.0.0.1")
		dir := t.TempDir()
		for name, text := range map[string]string{"1.hcl": "data_dir = \"/tmp\"\nbind_addr = \"127.0.0.1\"", "2.hcl": text} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, warnings, err := config.Load(dir)
		if err != nil {
			t.Errorf("%v in\n%s", err, text)
		}
		for _, w := range warnings {
			t.Errorf("a warning, %s, for\n%s", w, text)
		}
	}
}
