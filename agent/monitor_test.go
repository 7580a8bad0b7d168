package agent_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"
)

// monitored are the lines of an agent's log as a client reads them.
type monitored struct{ lines chan string }

func monitor(t *testing.T, a *running, parameters string) *monitored {
	t.Helper()
	resp, err := http.Get(a.url("/v1/agent/monitor?" + parameters))
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d", resp.StatusCode)
	}
	m := &monitored{make(chan string, 10_000)}
	go func() {
		defer resp.Body.Close()
		defer close(m.lines)
		for s := bufio.NewScanner(resp.Body); s.Scan(); {
			m.lines <- s.Text()
		}
	}()
	return m
}

// wait waits for a line that holds the words.
func (m *monitored) wait(t *testing.T, words ...string) string {
	t.Helper()
	for line := range m.lines {
		all := true
		for _, w := range words {
			all = all && strings.Contains(line, w)
		}
		if all {
			return line
		}
	}
	t.Fatalf("the log ended without a line of %q", words)
	return ""
}

func TestLogIsFollowedByManyAtTheirOwnLevels(t *testing.T) {
	a := start(t, "-dev", "-log-level", "err")
	text, asJSON := monitor(t, a, "loglevel=info"), monitor(t, a, "loglevel=DEBUG&logjson")
	if status, body, err := a.do(http.MethodPut, "/v1/agent/reload", ""); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s (%v)", status, body, err)
	}
	text.wait(t, "[INFO]", "agent: Reloaded the configuration")
	line := asJSON.wait(t, "request answered", "/v1/agent/reload")
	fields := map[string]any{}
	if err := json.Unmarshal([]byte(line), &fields); err != nil || fields["@level"] != "debug" || fields["@module"] != "agent.http" {
		t.Errorf("the line is %s (%v)", line, err)
	}
	if n := a.log.count("Reloaded"); n > 0 {
		t.Error("the agent's own log has lines that only the followers want")
	}
	if status, body, err := a.do(http.MethodGet, "/v1/agent/monitor?loglevel=loud", ""); status != http.StatusBadRequest || body != "Unknown log level: loud" {
		t.Errorf("%d %s (%v)", status, body, err)
	}
	a.stop(t)
	text.wait(t, "Stopping agent")
	for range asJSON.lines { // ends with the agent
	}
}

func TestClientFollowsTheLog(t *testing.T) {
	a := start(t, "-dev", "-log-level", "err")
	c := a.api(t)
	stop := make(chan struct{})
	defer close(stop)
	lines, err := c.Agent().Monitor("info", stop, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Agent().Reload(); err != nil {
		t.Fatal(err)
	}
	for line := range lines {
		if strings.Contains(line, "Reloaded the configuration") {
			break
		}
	}
}

func TestAgentDescribesItsMachine(t *testing.T) {
	a := start(t, "-dev")
	c := a.api(t)
	host, err := c.Agent().Host()
	if err != nil {
		t.Fatal(err)
	}
	// The names that were recorded.
	for part, names := range map[string]string{
		"Memory": "active available buffers cached commitLimit committedAS dirty free highFree highTotal hugePageSize hugePagesFree hugePagesRsvd hugePagesSurp hugePagesTotal inactive laundry lowFree lowTotal mapped pageTables shared slab sreclaimable sunreclaim swapCached swapFree swapTotal total used usedPercent vmallocChunk vmallocTotal vmallocUsed wired writeBack writeBackTmp",
		"Host":   "bootTime hostId hostname kernelArch kernelVersion os platform platformFamily platformVersion procs uptime virtualizationRole virtualizationSystem",
		"Disk":   "free fstype inodesFree inodesTotal inodesUsed inodesUsedPercent path total used usedPercent",
		"CPU":    "cacheSize coreId cores cpu family flags mhz microcode model modelName physicalId stepping vendorId",
	} {
		fields, isObject := host[part].(map[string]any)
		if list, isList := host[part].([]any); isList && len(list) > 0 {
			fields, isObject = list[0].(map[string]any)
		}
		for name := range strings.FieldsSeq(names) {
			if _, there := fields[name]; !isObject || !there {
				t.Errorf("%s has no %s: %v", part, name, host[part])
			}
		}
	}
	if memory := host["Memory"].(map[string]any); memory["total"].(float64) <= 0 {
		t.Errorf("the memory is %v", memory)
	}
	if host["CollectionTime"].(float64) <= 0 || host["Errors"] != nil {
		t.Errorf("collected at %v, with errors %v", host["CollectionTime"], host["Errors"])
	}
	version, err := c.Agent().Version()
	if err != nil || version["HumanVersion"] != "1.21.4" {
		t.Errorf("version %v (%v)", version, err)
	}
}

// api is the usual client of the agent.
func (r *running) api(t *testing.T) *api.Client {
	t.Helper()
	c, err := api.NewClient(&api.Config{Address: r.addr + ":8500"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestFollowersReadOfTheAgentsWork(t *testing.T) {
	a := start(t, "-dev", "-log-level", "err")
	m := monitor(t, a, "")
	if status, body, err := a.do(http.MethodPut, "/v1/agent/service/register", `{"Name":"web"}`); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s (%v)", status, body, err)
	}
	m.wait(t, "agent.local: Synced service")
}
