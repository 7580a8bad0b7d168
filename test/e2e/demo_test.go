package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/hanse-project/hanse/test/lab"
)

// demonstration is a running "hanse demo".
type demonstration struct {
	cmd    *exec.Cmd
	tmp    string // where it makes its directory
	out    *bufio.Scanner
	said   []string
	agents []int // process IDs
}

func startDemo(t *testing.T, args ...string) *demonstration {
	t.Helper()
	d := &demonstration{tmp: t.TempDir()}
	d.cmd = exec.Command(lab.Binary(t), append([]string{"demo"}, args...)...)
	// Settings of the environment must not lead it astray.
	d.cmd.Env = append(withoutSettings(os.Environ()), "TMPDIR="+d.tmp, "CONSUL_HTTP_ADDR=127.0.0.1:1", "CONSUL_HTTP_SSL=true", "HANSE_HTTP_ADDR=127.0.0.1:1")
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.cmd.Stderr = d.cmd.Stdout
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.cmd.Process.Kill() }) // fails if it has ended
	d.out = bufio.NewScanner(out)
	return d
}

// until reads what it says up to a line that holds the text.
func (d *demonstration) until(t *testing.T, text string) {
	t.Helper()
	process := regexp.MustCompile(`^(?:shanghai|beijing) .* http://\S+ +(\d+)$`)
	for d.out.Scan() {
		line := d.out.Text()
		d.said = append(d.said, line)
		if m := process.FindStringSubmatch(line); m != nil {
			pid, err := strconv.Atoi(m[1])
			if err != nil {
				t.Fatal(err)
			}
			d.agents = append(d.agents, pid)
		}
		if strings.Contains(line, text) {
			return
		}
	}
	t.Fatalf("it never said %q:\n%s", text, strings.Join(d.said, "\n"))
}

// ended waits for its end, and expects nothing to be left.
func (d *demonstration) ended(t *testing.T) {
	t.Helper()
	for d.out.Scan() {
		d.said = append(d.said, d.out.Text())
	}
	if err := d.cmd.Wait(); err != nil {
		t.Errorf("it ended with %v:\n%s", err, strings.Join(d.said, "\n"))
	}
	left, err := os.ReadDir(d.tmp)
	if err != nil || len(left) > 0 {
		t.Errorf("it left %v behind, %v", left, err)
	}
	for _, pid := range d.agents {
		if err := gone(pid); err != nil {
			t.Error(err)
		}
	}
}

// gone tells whether a process has ended.
func gone(pid int) error {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	if _, rest, _ := strings.Cut(string(stat), ") "); strings.HasPrefix(rest, "Z") {
		return nil // nobody has asked for its exit code yet
	}
	return fmt.Errorf("process %d is still there", pid)
}

func TestDemoProvesItselfAndExits(t *testing.T) {
	d := startDemo(t, "-exit")
	d.until(t, "Ready after ")
	d.until(t, "written and read in shanghai through beijing with ?dc=, and replicated back")
	d.ended(t)
}

func TestWhatTheDemoSuggestsWorks(t *testing.T) {
	d := startDemo(t)
	d.until(t, "Ctrl-C ends everything")
	if len(d.agents) != 8 {
		t.Fatalf("it shows %d agents, want 8:\n%s", len(d.agents), strings.Join(d.said, "\n"))
	}
	want := []string{
		`beijing-server-3\.beijing .* alive`,
		`beijing-client`,
		`Success! Data written to: config/limit`,
		`^50\n$`,
		`State +following`,
		`leader`,
	}
	for _, line := range d.said {
		_, command, found := strings.Cut(line, "  ")
		command = strings.TrimSpace(command)
		if !found || !strings.Contains(command, "-http-addr=") {
			continue
		}
		if len(want) == 0 {
			t.Fatalf("one command too many: %s", command)
		}
		looks := regexp.MustCompile(want[0])
		want = want[1:]
		lab.Until(t, command, func() error {
			out, err := exec.CommandContext(t.Context(), "bash", "-c", command).CombinedOutput()
			if err == nil && !looks.Match(out) {
				err = errors.New("does not look like " + looks.String())
			}
			if err != nil {
				return fmt.Errorf("%w, printed %s", err, out)
			}
			return nil
		})
	}
	if len(want) > 0 {
		t.Errorf("no commands for %q:\n%s", want, strings.Join(d.said, "\n"))
	}
	d.until(t, "ended (signal: killed)")
	if err := d.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	d.ended(t)
}

func TestAgentsEndWithADemoThatIsKilled(t *testing.T) {
	d := startDemo(t)
	d.until(t, "Ctrl-C ends everything")
	if err := d.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	d.cmd.Wait() // it was killed
	for _, pid := range d.agents {
		lab.Until(t, "the agents end", func() error { return gone(pid) })
	}
}
