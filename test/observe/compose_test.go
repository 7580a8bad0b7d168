//go:build linux

package observe

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/hanse-project/hanse/test/lab"
	"github.com/hanse-project/hanse/test/programs"
)

// service is what compose runs in a container of Hanse's image.
type service struct {
	Image, Hostname     string
	Entrypoint, Command []string
	Environment         map[string]string
}

// list finds the JSON list behind a word of the Dockerfile.
func list(t *testing.T, word string) (out []string) {
	t.Helper()
	found := regexp.MustCompile(`(?m)` + word + ` (\[.*\])$`).FindSubmatch(readDeploy(t, "Dockerfile"))
	if found == nil {
		t.Fatalf("no %s in the Dockerfile", word)
	}
	if err := json.Unmarshal(found[1], &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// compose is the containers of compose.yaml as processes of this machine: hosts have
// addresses of loopback, and ports are those of the lab.
type compose struct {
	services map[string]service
	addr     map[string]string // by service
}

func readCompose(t *testing.T) *compose {
	t.Helper()
	var file struct{ Services map[string]service }
	if err := yaml.Unmarshal(readDeploy(t, "compose.yaml"), &file); err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(file.Services, func(_ string, s service) bool { return s.Image != "hanse" })
	c := &compose{services: file.Services, addr: make(map[string]string)}
	// The lab gives each test a network of its own; none of its agents is started.
	network := lab.New(t, lab.Processes(), lab.Servers("unused", 1))
	for i, name := range slices.Sorted(maps.Keys(c.services)) {
		c.addr[name], _, _ = strings.Cut(beside(network, 10+i, 0), ":")
	}
	return c
}

// here puts the addresses of this machine into text that is meant for a container.
func (c *compose) here(name, dir, text string) string {
	text = strings.NewReplacer("0.0.0.0", c.addr[name], "/hanse/", dir+"/").Replace(text)
	for host, addr := range c.addr {
		switch {
		case text == "-retry-join="+host:
			return fmt.Sprintf("-retry-join=%s:%d", addr, lab.LANPort)
		case text == "-retry-join-wan="+host:
			return fmt.Sprintf("-retry-join-wan=%s:%d", addr, lab.WANPort)
		}
		text = strings.ReplaceAll(text, host+":8500", fmt.Sprintf("%s:%d", addr, lab.HTTPPort))
	}
	return text
}

func (c *compose) start(t *testing.T, name string) {
	t.Helper()
	s, dir := c.services[name], t.TempDir()
	for _, folder := range []string{"data", "config"} { // as the image has them
		if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	isAgent := len(s.Entrypoint) == 0
	if isAgent {
		s.Entrypoint = list(t, "ENTRYPOINT")
	}
	var args, env []string
	for _, arg := range slices.Concat(s.Entrypoint, s.Command)[1:] {
		args = append(args, c.here(name, dir, arg))
	}
	if isAgent {
		args = append(args, "-node="+s.Hostname, "-bind="+c.addr[name],
			fmt.Sprintf("-http-port=%d", lab.HTTPPort), fmt.Sprintf("-dns-port=%d", lab.DNSPort), fmt.Sprintf("-server-port=%d", lab.ServerPort),
			fmt.Sprintf("-serf-lan-port=%d", lab.LANPort), fmt.Sprintf("-serf-wan-port=%d", lab.WANPort))
	}
	for key, value := range s.Environment {
		env = append(env, key+"="+c.here(name, dir, value))
	}
	programs.Start(t, lab.Binary(t), env, args...)
}

// run runs a command in the place of a container, until it succeeds and says all of what
// is wanted.
func (c *compose) run(t *testing.T, name string, args []string, want ...string) {
	t.Helper()
	lab.Until(t, fmt.Sprintf("in %s, hanse %s says %q", name, strings.Join(args, " "), want), func() error {
		cmd := exec.CommandContext(t.Context(), lab.Binary(t), args...)
		cmd.Env = append(os.Environ(), fmt.Sprintf("HANSE_HTTP_ADDR=%s:%d", c.addr[name], lab.HTTPPort))
		said, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, said)
		}
		for _, each := range want {
			if !strings.Contains(string(said), each) {
				return fmt.Errorf("%q is missing in %s", each, said)
			}
		}
		return nil
	})
}

func TestComposeRunsWhatItsFirstLinesPromise(t *testing.T) {
	c := readCompose(t)
	for name := range c.services {
		c.start(t, name)
	}
	var servers []string
	for name, s := range c.services {
		if len(s.Entrypoint) > 0 {
			continue
		}
		if slices.Contains(s.Command, "-server") {
			servers = append(servers, name)
		}
		c.run(t, name, list(t, "HEALTHCHECK .* CMD")[1:], "alive")
	}
	promised := map[string][]string{"members -wan": servers, "kv put config/limit 20": nil, "kv get config/limit": {"20"}}
	lines := regexp.MustCompile(`(?m)^# .* exec (\S+) hanse (.*)$`).FindAllStringSubmatch(string(readDeploy(t, "compose.yaml")), -1)
	for _, line := range lines {
		want, known := promised[line[2]]
		if !known {
			t.Errorf("compose.yaml promises %q, which this test does not know", line[2])
		}
		delete(promised, line[2])
		c.run(t, line[1], strings.Fields(line[2]), want...)
	}
	if len(promised) > 0 {
		t.Errorf("compose.yaml no longer promises %v", promised)
	}
	metrics := readPage(t, "http://"+c.addr["replicate"]+":9107/metrics")
	if metrics["hanse_replicate_state"] == nil {
		t.Error("the replicator tells nothing of its link")
	}
}
