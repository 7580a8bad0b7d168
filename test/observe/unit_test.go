//go:build linux

package observe

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/hanse-project/hanse/test/lab"
	"github.com/hanse-project/hanse/test/programs"
)

// What systemd starts, reloads and stops is the binary as it is, with its flags.
func TestUnitStartsReloadsAndStopsAnAgent(t *testing.T) {
	network := lab.New(t, lab.Processes(), lab.Servers("unused", 1)) // for its addresses alone
	ip, _, _ := strings.Cut(beside(network, 10, 0), ":")
	etc, data := t.TempDir(), filepath.Join(t.TempDir(), "data")
	writeFile(t, filepath.Join(etc, "agent.hcl"), fmt.Appendf(nil, `
		datacenter = "shanghai" node_name = "s1" server = true bootstrap = true
		bind_addr = %[1]q client_addr = %[1]q
		ports { http = %d dns = %d server = %d serf_lan = %d serf_wan = %d }`, ip, lab.HTTPPort, lab.DNSPort, lab.ServerPort, lab.LANPort, lab.WANPort))

	flags := regexp.MustCompile(`(?m)^#HANSE_AGENT_FLAGS=(.*)$`).FindSubmatch(readDeploy(t, "systemd/hanse.env"))
	if flags == nil {
		t.Fatal("hanse.env has no example of HANSE_AGENT_FLAGS")
	}
	here := strings.NewReplacer("/usr/bin/hanse", lab.Binary(t), "/etc/hanse/conf.d", etc, "/var/lib/hanse", data,
		"$HANSE_AGENT_FLAGS", string(flags[1]))
	command := func(key string) []string {
		line := regexp.MustCompile(`(?m)^` + key + `=(.*)$`).FindSubmatch(readDeploy(t, "systemd/hanse.service"))
		if line == nil {
			t.Fatalf("hanse.service has no %s", key)
		}
		return strings.Fields(here.Replace(string(line[1])))
	}
	addr := fmt.Sprintf("%s:%d", ip, lab.HTTPPort)
	run := func(key string) {
		t.Helper()
		argv := command(key)
		cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
		cmd.Env = append(os.Environ(), "HANSE_HTTP_ADDR="+addr)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", key, err, out)
		}
	}

	argv := command("ExecStart")
	agent := programs.Start(t, argv[0], nil, argv[1:]...)
	lab.Until(t, "the agent takes writes", func() error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+addr+"/v1/kv/a", strings.NewReader("b"))
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("it answers %s", resp.Status)
		}
		return nil
	})
	run("ExecReload")
	if status := agent.End(t, syscall.SIGTERM); !status.Success() {
		t.Errorf("the agent ended with %v", status)
	}
}
