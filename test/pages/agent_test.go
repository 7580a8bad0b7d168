package pages

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hanse-project/hanse/config"
)

func TestConfigurationsShownAreTaken(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/agent.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```hcl\n")[1:]
	if len(blocks) == 0 {
		t.Fatal("no configurations in docs/agent.md")
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
