package deploy

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// read returns a file of this folder, or one beside it.
func read(t *testing.T, path string) string {
	t.Helper()
	out, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, path)), into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func queries(t *testing.T) []Query {
	t.Helper()
	out, err := Queries("1m")
	if err != nil {
		t.Fatal(err)
	}
	if len(out) == 0 {
		t.Fatal("the dashboard asks nothing")
	}
	return out
}

type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	Annotations map[string]string `yaml:"annotations,omitempty"`
	Labels      map[string]string `yaml:"labels,omitempty"`
}

type ruleFile struct {
	Groups []struct {
		Name  string `yaml:"name"`
		Rules []rule `yaml:"rules"`
	} `yaml:"groups"`
}

func alerts(t *testing.T) []rule {
	t.Helper()
	var f ruleFile
	readYAML(t, "prometheus/alerts.yml", &f)
	var out []rule
	for _, g := range f.Groups {
		out = append(out, g.Rules...)
	}
	if len(out) == 0 {
		t.Fatal("no alerts")
	}
	return out
}

// metric matches the names that Hanse makes, wherever they stand in an expression.
var metric = regexp.MustCompile(`\b(?:hanse|consul)_[a-zA-Z0-9_]+`)

// documented returns the names in the tables of docs/metrics.md, each with its type.
func documented(t *testing.T) map[string]string {
	t.Helper()
	row := regexp.MustCompile("(?m)^\\| `([a-zA-Z0-9_]+)` \\| ([a-z]+)")
	out := make(map[string]string)
	for _, m := range row.FindAllStringSubmatch(read(t, "../docs/metrics.md"), -1) {
		out[m[1]] = m[2]
	}
	if len(out) == 0 {
		t.Fatal("docs/metrics.md documents nothing")
	}
	return out
}

// isDocumented knows the names that Prometheus makes of a histogram and a summary.
func isDocumented(docs map[string]string, name string) bool {
	if _, ok := docs[name]; ok {
		return true
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if base, ok := strings.CutSuffix(name, suffix); ok {
			kind := docs[base]
			return kind == "histogram" || kind == "summary" && suffix != "_bucket"
		}
	}
	return false
}

func TestWhatIsChartedIsDocumented(t *testing.T) {
	docs := documented(t)
	check := func(where, expr string) {
		for _, name := range metric.FindAllString(expr, -1) {
			if !isDocumented(docs, name) {
				t.Errorf("%s asks for %s, which docs/metrics.md does not know", where, name)
			}
		}
	}
	for _, q := range queries(t) {
		check("panel "+q.Panel, q.Expr)
	}
	for _, a := range alerts(t) {
		check("alert "+a.Alert, a.Expr)
	}
}

func TestDashboardShowsFederationAndReplicationWhole(t *testing.T) {
	asked := make(map[string]bool)
	for _, q := range queries(t) {
		for _, name := range metric.FindAllString(q.Expr, -1) {
			asked[name] = true
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				asked[strings.TrimSuffix(name, suffix)] = true
			}
		}
	}
	for name := range documented(t) {
		for _, family := range []string{"hanse_forward_", "hanse_federation_", "hanse_replicate_"} {
			if strings.HasPrefix(name, family) && !asked[name] {
				t.Errorf("no panel shows %s", name)
			}
		}
	}
}

func TestEveryAlertSaysWhatAndHowUrgent(t *testing.T) {
	for _, a := range alerts(t) {
		if a.Annotations["summary"] == "" || a.Annotations["description"] == "" {
			t.Errorf("%s lacks a summary or a description", a.Alert)
		}
		if s := a.Labels["severity"]; s != "page" && s != "ticket" {
			t.Errorf("%s has severity %q", a.Alert, s)
		}
	}
}

func TestDashboardIsWellFormed(t *testing.T) {
	var d struct {
		UID    string `json:"uid"`
		Panels []struct {
			ID                       int
			Title, Type, Description string
			GridPos                  struct{ X, Y, W, H int }
			Datasource               struct{ UID string }
		}
	}
	if err := json.Unmarshal(dashboard, &d); err != nil {
		t.Fatal(err)
	}
	ids := make(map[int]string)
	taken := make(map[[2]int]string)
	for _, p := range d.Panels {
		if other, ok := ids[p.ID]; ok {
			t.Errorf("%q and %q share id %d", p.Title, other, p.ID)
		}
		ids[p.ID] = p.Title
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other, ok := taken[[2]int{x, y}]; ok {
					t.Fatalf("%q lies over %q", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Description == "" {
			t.Errorf("panel %q does not say what it shows", p.Title)
		}
		if p.Datasource.UID != "${datasource}" {
			t.Errorf("panel %q asks %q, not the data source that was chosen", p.Title, p.Datasource.UID)
		}
	}
	for _, q := range queries(t) {
		if strings.Contains(q.Expr, "$") {
			t.Errorf("panel %q uses a variable that is not filled in: %s", q.Panel, q.Expr)
		}
	}
}

func TestComposeScrapesWhatItRuns(t *testing.T) {
	var compose struct {
		Services map[string]struct {
			Command []string
			Image   string
			Volumes []string
		}
		Volumes map[string]any
	}
	readYAML(t, "compose.yaml", &compose)
	var scrape struct {
		Jobs []struct {
			Name   string `yaml:"job_name"`
			Static []struct {
				Labels  map[string]string
				Targets []string
			} `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	readYAML(t, "prometheus/scrape.yml", &scrape)

	scraped := make(map[string]string) // service to datacenter
	for _, job := range scrape.Jobs {
		for _, group := range job.Static {
			if _, ok := group.Labels["datacenter"]; ok {
				t.Errorf("job %s: a target label named datacenter hides the agents' own", job.Name)
			}
			for _, target := range group.Targets {
				service, _, _ := strings.Cut(target, ":")
				if _, ok := compose.Services[service]; !ok {
					t.Errorf("job %s: no service %s in compose.yaml", job.Name, service)
				}
				scraped[service] = group.Labels["dc"]
			}
		}
	}
	count := make(map[string]int)
	for name, service := range compose.Services {
		for _, v := range service.Volumes {
			if volume, _, _ := strings.Cut(v, ":"); !strings.HasPrefix(volume, ".") {
				if _, ok := compose.Volumes[volume]; !ok {
					t.Errorf("service %s: volume %s is not declared", name, volume)
				} else if volume != name {
					t.Errorf("service %s keeps its data in the volume of %s", name, volume)
				}
			}
		}
		if service.Image != "hanse" {
			continue
		}
		if scraped[name] == "" {
			t.Errorf("service %s is not scraped", name)
		}
		for _, flag := range service.Command {
			join, ok := strings.CutPrefix(flag, "-retry-join=")
			if wan, isWAN := strings.CutPrefix(flag, "-retry-join-wan="); isWAN {
				join, ok = wan, true
			}
			if _, runs := compose.Services[join]; ok && !runs {
				t.Errorf("service %s joins %s, which does not run", name, join)
			}
			if dc, ok := strings.CutPrefix(flag, "-datacenter="); ok {
				if dc != scraped[name] {
					t.Errorf("service %s is in %s and scraped as %s", name, dc, scraped[name])
				}
				kind := "client"
				if slices.Contains(service.Command, "-server") {
					kind = "server"
				}
				count[dc+" "+kind]++
			}
		}
	}
	for what, want := range map[string]int{"shanghai server": 3, "shanghai client": 1, "beijing server": 3, "beijing client": 1} {
		if count[what] != want {
			t.Errorf("compose runs %d × %s, want %d", count[what], what, want)
		}
	}
}

// tool returns the path of a program that checks a file for real. CI has them all.
func tool(t *testing.T, name, debian string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("CI needs %s: apt-get install %s", name, debian)
	}
	t.Skipf("%s is not here: apt-get install %s", name, debian)
	return ""
}

// run fails the test unless the command succeeds, and returns what it printed.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestPrometheusTakesConfigurationAndAlerts(t *testing.T) {
	promtool := tool(t, "promtool", "prometheus")
	run(t, promtool, "check", "config", "prometheus/scrape.yml")
	run(t, promtool, "check", "rules", "prometheus/alerts.yml")
	run(t, promtool, "test", "rules", "prometheus/alerts_test.yml")
}

func TestPrometheusUnderstandsEveryPanel(t *testing.T) {
	promtool := tool(t, "promtool", "prometheus")
	type record struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	var rules []record
	for _, q := range queries(t) {
		rules = append(rules, record{Record: "panel", Expr: q.Expr})
	}
	out, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "panels", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "panels.yml")
	if err := os.WriteFile(path, out, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, promtool, "check", "rules", path)
}

func TestSystemdTakesTheUnit(t *testing.T) {
	systemd := tool(t, "systemd-analyze", "systemd")
	// The programs that the unit starts have to exist.
	hanse := filepath.Join(t.TempDir(), "hanse")
	if err := os.WriteFile(hanse, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	unit := strings.ReplaceAll(read(t, "systemd/hanse.service"), "/usr/bin/hanse", hanse)
	path := filepath.Join(t.TempDir(), "hanse.service")
	if err := os.WriteFile(path, []byte(unit), 0o600); err != nil {
		t.Fatal(err)
	}
	// A misspelt key is no error to it, only a line that says it is ignored.
	// Other lines are about units of this machine.
	for line := range strings.Lines(run(t, systemd, "verify", path)) {
		if strings.Contains(line, "hanse.service") {
			t.Error(line)
		}
	}
}

func TestSystemdMakesTheUserOfTheUnit(t *testing.T) {
	sysusers := tool(t, "systemd-sysusers", "systemd")
	path, err := filepath.Abs("systemd/hanse.sysusers.conf")
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir() // nothing is there yet, and --dry-run leaves it so
	if said := run(t, sysusers, "--dry-run", "--root="+root, path); !strings.Contains(said, "Creating user 'hanse'") {
		t.Errorf("said %q, want that it would make the user", said)
	}
	if !strings.Contains(read(t, "systemd/hanse.service"), "\nUser=hanse\n") {
		t.Error("hanse.service runs as another user")
	}
}
