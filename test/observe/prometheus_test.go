//go:build linux

package observe

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/hanse-project/hanse/test/lab"
	"github.com/hanse-project/hanse/test/programs"
)

// prometheus is a running Prometheus.
type prometheus struct{ url string }

// targets says where Prometheus finds what: job, datacenter, addresses.
type targets map[string]map[string][]string

// startPrometheus runs a Prometheus at addr with a scrape configuration, and with deploy's
// alerts but for their patience.
func startPrometheus(t *testing.T, binary, addr string, scrape []byte) *prometheus {
	t.Helper()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "alerts.yml"), impatient(t, readDeploy(t, "prometheus/alerts.yml")))
	writeFile(t, filepath.Join(dir, "scrape.yml"), scrape)
	programs.Start(t, binary, nil, "--config.file="+filepath.Join(dir, "scrape.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+addr, "--log.level=warn")
	p := &prometheus{url: "http://" + addr}
	lab.Until(t, "Prometheus is ready", func() error {
		resp, err := http.Get(p.url + "/-/ready")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("it answers %s", resp.Status)
		}
		return nil
	})
	return p
}

func readDeploy(t *testing.T, name string) []byte {
	t.Helper()
	out, err := os.ReadFile(filepath.Join("..", "..", "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func writeFile(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// scrapeEvery is the scrape interval, and rateInterval what Grafana would choose for it.
const (
	scrapeEvery  = "500ms"
	rateInterval = "2s"
)

// retarget puts addresses of this test into a scrape configuration. Every job must be
// known, with each of its datacenters.
func retarget(t *testing.T, config []byte, at targets) []byte {
	t.Helper()
	var c map[string]any
	if err := yaml.Unmarshal(config, &c); err != nil {
		t.Fatal(err)
	}
	c["global"] = map[string]any{"scrape_interval": scrapeEvery, "evaluation_interval": scrapeEvery}
	for _, j := range c["scrape_configs"].([]any) {
		job := j.(map[string]any)
		for _, g := range job["static_configs"].([]any) {
			group := g.(map[string]any)
			name, dc := job["job_name"].(string), group["labels"].(map[string]any)["dc"].(string)
			group["targets"] = at[name][dc]
			if len(at[name][dc]) == 0 {
				t.Fatalf("nothing to scrape for job %s in %s", name, dc)
			}
		}
	}
	out, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// impatient shortens what alerts wait for: each for, and how far behind a link may be.
func impatient(t *testing.T, rules []byte) []byte {
	t.Helper()
	for _, s := range []struct{ long, short string }{
		{`(?m)^( +for:) .*$`, "$1 1s"},
		{`hanse_replicate_lag_seconds > 60`, "hanse_replicate_lag_seconds > 2"},
		{`(last_success_timestamp_seconds) < 120`, "$1 < 2"},
	} {
		long := regexp.MustCompile(s.long)
		if !long.Match(rules) {
			t.Fatalf("no %s in the alerts", s.long)
		}
		rules = long.ReplaceAll(rules, []byte(s.short))
	}
	return rules
}

// ask makes a request to Prometheus's API and decodes its data.
func (p *prometheus) ask(path string, query url.Values, into any) error {
	resp, err := http.Get(p.url + path + "?" + query.Encode())
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	answer := struct {
		Status, Error string
		Data          any
	}{Data: into}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("%w in %.200q", err, body)
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", path, answer.Error)
	}
	return nil
}

// point is one number of an answer.
type point struct {
	Metric map[string]string
	Value  [2]any // when, and the number as text
}

func (p point) number() float64 {
	text, _ := p.Value[1].(string)
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return math.NaN()
	}
	return n
}

func (p *prometheus) query(expr string) ([]point, error) {
	var data struct{ Result []point }
	err := p.ask("/api/v1/query", url.Values{"query": {expr}}, &data)
	return data.Result, err
}

// wait returns once expr has an answer that is a number.
func (p *prometheus) wait(t *testing.T, what, expr string) {
	t.Helper()
	lab.Until(t, what, func() error {
		points, err := p.query(expr)
		if err != nil {
			return err
		}
		for _, each := range points {
			if !math.IsNaN(each.number()) {
				return nil
			}
		}
		return fmt.Errorf("%s has the answer %v", expr, points)
	})
}

// alerts are the alerts that fire or are about to, each as its name and state.
func (p *prometheus) alerts() ([]alert, error) {
	var data struct{ Alerts []alert }
	err := p.ask("/api/v1/alerts", nil, &data)
	return data.Alerts, err
}

type alert struct {
	Labels map[string]string
	State  string
}

// waitFiring returns once an alert fires with all of the labels.
func (p *prometheus) waitFiring(t *testing.T, name string, labels map[string]string) {
	t.Helper()
	lab.Until(t, fmt.Sprintf("%s %v fires", name, labels), func() error {
		active, err := p.alerts()
		if err != nil {
			return err
		}
		for _, a := range active {
			fits := a.Labels["alertname"] == name && a.State == "firing"
			for label, want := range labels {
				fits = fits && a.Labels[label] == want
			}
			if fits {
				return nil
			}
		}
		return fmt.Errorf("active are %v", active)
	})
}

// waitQuiet returns once no alert fires or is about to.
func (p *prometheus) waitQuiet(t *testing.T) {
	t.Helper()
	lab.Until(t, "no alert is active", func() error {
		active, err := p.alerts()
		if err == nil && len(active) > 0 {
			err = fmt.Errorf("active are %v", active)
		}
		return err
	})
}
