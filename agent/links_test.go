package agent

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hanse-project/hanse/config"
	"github.com/hanse-project/hanse/replicate"
	"github.com/hanse-project/hanse/replicate/link"
)

// draftOf reads a file as an agent would.
func draftOf(t *testing.T, name, text string) (*config.Config, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	return cfg, file
}

const aServer = `server = true bind_addr = "127.0.0.1" data_dir = "/nowhere/hanse" datacenter = "beijing"
`

func TestLinksOfTheFilesAreRead(t *testing.T) {
	want := link.Defaults()
	want.Name, want.SourceDatacenter, want.Prefix, want.DestinationPrefix = "first", "shanghai", "config/", "copy/"
	want.Exclude, want.Token, want.RateLimit = []string{"config/private/"}, "secret", 100
	want.MaxDeleteFraction, want.Repair, want.Conflict, want.Prune, want.Delete, want.Enabled = 0.25, false, replicate.ReportOnly, true, false, false
	want.VerifyInterval = 60 * 1e9
	hcl := aServer + `
replicate { name = "first" source_datacenter = "shanghai" prefix = "config/" destination_prefix = "copy/" exclude = ["config/private/"]
  token = "secret" delete = false max_delete_fraction = 0.25 rate_limit = 100 verify_interval = "1m" repair = false
  conflict = "report" prune = true enabled = false }
replicate { source_datacenter = "osaka" prefix = "app/" }
`
	json := `{"server": true, "bind_addr": "127.0.0.1", "data_dir": "/nowhere/hanse", "datacenter": "beijing", "replicate": [
{"name": "first", "source_datacenter": "shanghai", "prefix": "config/", "destination_prefix": "copy/", "exclude": ["config/private/"],
 "token": "secret", "delete": false, "max_delete_fraction": 0.25, "rate_limit": 100, "verify_interval": "1m", "repair": false,
 "conflict": "report", "prune": true, "enabled": false}, {"source_datacenter": "osaka", "prefix": "app/"}]}`
	for name, text := range map[string]string{"a.hcl": hcl, "a.json": json} {
		cfg, _ := draftOf(t, name, text)
		links, err := ReadLinks(cfg)
		if err != nil || len(links) != 2 {
			t.Fatalf("%s: %+v, %v", name, links, err)
		}
		if got := links[0]; !slices.Equal(got.Exclude, want.Exclude) || got.Token != want.Token || time.Duration(got.VerifyInterval) != time.Minute ||
			got.MaxDeleteFraction != 0.25 || got.RateLimit != 100 || got.Delete || got.Enabled || got.Repair || !got.Prune || got.Conflict != replicate.ReportOnly {
			t.Errorf("%s: read %+v", name, got)
		}
		if got := links[1]; got.Name != "osaka-app" || got.DestinationPrefix != "app/" || !got.Enabled || got.MaxDeleteFraction != 0.5 {
			t.Errorf("%s: read %+v", name, got)
		}
	}
}

func TestMistakesInLinksNameFileKeyAndFix(t *testing.T) {
	for stanza, want := range map[string]string{
		`source_datacenter = "shanghai"`:              `prefix is missing`,
		`prefix = "a/"`:                               `source_datacenter is missing`,
		`source_datacenter = "shanghai" prefx = "a/"`: `did you mean "prefix"?`,
		`source_datacenter = "shanghai" prefix = "a/" verify_interval = "soon"`:                                                      `verify_interval is "soon": use a duration`,
		`source_datacenter = "shanghai" prefix = "a/" max_delete_fraction = 2`:                                                       `max_delete_fraction is 2: use a number from 0 to 1`,
		`source_datacenter = "shanghai" prefix = "a/" rate_limit = -1`:                                                               `rate_limit is -1`,
		`source_datacenter = "shanghai" prefix = "a/" rate_limit = 1.5`:                                                              `rate_limit is 1.5: use a whole number`,
		`source_datacenter = "shanghai" prefix = "a/" exclude = "a/b"`:                                                               `exclude is "a/b": use a list`,
		`source_datacenter = "shanghai" prefix = "a/" delete = "maybe"`:                                                              `delete is "maybe": use true or false`,
		`source_datacenter = "beijing" prefix = "a/" destination_prefix = "a/b/"`:                                                    `loop inside beijing`,
		`source_datacenter = "shanghai" prefix = "a/" } replicate { source_datacenter = "osaka" prefix = "a/b/"`:                     `both write below "a/b/"`,
		`name = "x" source_datacenter = "shanghai" prefix = "a/" } replicate { name = "x" source_datacenter = "osaka" prefix = "b/"`: `two links called "x"`,
	} {
		cfg, file := draftOf(t, "a.hcl", aServer+"replicate { "+stanza+" }")
		_, err := ReadLinks(cfg)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), file+": replicate[") {
			t.Errorf("%s: %v, want %q", stanza, err, want)
		}
	}
}

func TestAnEmptyPrefixHasToBeMeant(t *testing.T) {
	cfg, _ := draftOf(t, "a.hcl", aServer+`replicate { source_datacenter = "shanghai" prefix = "" }`)
	links, err := ReadLinks(cfg)
	if err != nil || len(links) != 1 || links[0].Prefix != "" || links[0].Name != "shanghai-all" {
		t.Errorf("read %+v, %v", links, err)
	}
}
