//go:build linux

package clients

import (
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hanse-project/hanse/test/lab"
	"github.com/hanse-project/hanse/test/programs"
)

// built is the folder of the programs below this folder.
var built string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "hanse-clients-")
	if err != nil {
		log.Fatal(err)
	}
	built = dir
	if out, err := exec.Command("go", "build", "-o", dir+"/", "./...").CombinedOutput(); err != nil {
		log.Fatalf("build the clients: %v\n%s", err, out)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// beside says where the agent of a program is, as it would be told on a machine.
func beside(n *lab.Node) []string { return []string{"CONSUL_HTTP_ADDR=" + n.Addr(lab.HTTPPort)} }

// start runs one of our programs beside an agent, and waits until it is registered.
func start(t *testing.T, n *lab.Node, program, id string) *programs.Process {
	t.Helper()
	p := programs.Start(t, filepath.Join(built, program), beside(n), "-id="+id, "-listen="+n.IP+":0")
	lab.Until(t, id+" is registered", func() error {
		if wrote := p.Wrote(t); len(wrote) == 0 || wrote[0] != "registered "+id {
			return fmt.Errorf("it wrote %q", wrote)
		}
		return nil
	})
	return p
}

// says runs a program that ends, until it writes exactly these lines, in any order.
func says(t *testing.T, env []string, program string, want ...string) {
	t.Helper()
	lab.Until(t, fmt.Sprintf("%s says %q", program, want), func() error {
		cmd := exec.CommandContext(t.Context(), filepath.Join(built, program))
		cmd.Env = append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		got := strings.Split(strings.TrimSpace(string(out)), "\n")
		if len(got) != len(want) {
			return fmt.Errorf("it says %q, %v", got, err)
		}
		for _, line := range want {
			if !strings.Contains(string(out), line) {
				return fmt.Errorf("it says %q, %v", got, err)
			}
		}
		return nil
	})
}
