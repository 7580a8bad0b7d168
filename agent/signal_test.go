package agent_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/test/lab"
)

// process is an agent in a process of its own.
type process struct {
	*running
	cmd *exec.Cmd
}

// spawn runs the binary at an address of its own until the test ends.
func spawn(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{running: &running{addr: address(), log: &journal{}, done: make(chan struct{})}}
	p.cmd = exec.Command(lab.Binary(t), append([]string{"agent", "-bind", p.addr, "-client", p.addr}, args...)...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.done
		if t.Failed() {
			t.Logf("output of %s:\n%s", p.addr, p.log)
		}
	})
	return p
}

func (p *process) signal(t *testing.T, sig os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// code waits for the end and returns the exit code.
func (p *process) code(t *testing.T) int {
	t.Helper()
	p.wait(t)
	if exit, failed := errors.AsType[*exec.ExitError](p.err); failed {
		return exit.ExitCode()
	}
	return 0
}

// status is what server's LAN pool says of a member.
func status(t *testing.T, server *running, name string) string {
	t.Helper()
	var members []api.AgentMember
	if err := server.ask("/v1/agent/members", &members); err != nil {
		t.Fatal(err)
	}
	names := map[int]string{1: "alive", 2: "leaving", 3: "left", 4: "failed"}
	for _, m := range members {
		if m.Name == name {
			return names[m.Status]
		}
	}
	return "unknown"
}

func TestSignalsLeaveOrNot(t *testing.T) {
	first := start(t, "-dev", "-node", "first")
	const client, server = "-server=false", "-server"
	for name, c := range map[string]struct {
		role, settings string
		signal         os.Signal
		want           string
	}{
		"an interrupted client leaves":                       {client, "", os.Interrupt, "left"},
		"a terminated client leaves":                         {client, "", syscall.SIGTERM, "left"},
		"an interrupted client that skips that does not":     {client, "skip_leave_on_interrupt = true", os.Interrupt, "failed"},
		"a terminated client that is told not to does not":   {client, "leave_on_terminate = false", syscall.SIGTERM, "failed"},
		"an interrupted server does not":                     {server, "", os.Interrupt, "failed"},
		"a terminated server does not":                       {server, "", syscall.SIGTERM, "failed"},
		"a terminated server that is told to leaves":         {server, "leave_on_terminate = true", syscall.SIGTERM, "left"},
		"an interrupted server that is told to leave leaves": {server, "skip_leave_on_interrupt = false", os.Interrupt, "left"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			node := filepath.Base(t.Name())
			p := spawn(t, "-dev", c.role, "-node", node, "-retry-join", first.addr, "-hcl", c.settings)
			until(t, "it is a member", func() bool { return status(t, first, node) == "alive" && p.log.count("Join cluster completed") == 1 })
			p.signal(t, c.signal)
			if code := p.code(t); code != 0 {
				t.Errorf("exit code %d", code)
			}
			until(t, "it is "+c.want, func() bool { return status(t, first, node) == c.want })
		})
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	first := start(t, "-dev", "-node", "first")
	p := spawn(t, "-dev", "-node", "slow", "-retry-join", first.addr, "-pid-file", filepath.Join(t.TempDir(), "pid"),
		"-hcl", "skip_leave_on_interrupt = false", "-hcl", `performance { leave_drain_time = "10m" }`)
	until(t, "it is a member", func() bool { return status(t, first, "slow") == "alive" && p.log.count("Join cluster completed") == 1 })
	p.signal(t, os.Interrupt)
	until(t, "it leaves", func() bool { return p.log.count("Leaving the cluster") == 1 })
	p.signal(t, syscall.SIGTERM)
	code := p.code(t)
	if said := p.log.count("Interrupted again, ending at once"); code != 1 || said != 1 {
		t.Errorf("exit code %d, and it said so %d times", code, said)
	}
}

func TestHangupReloads(t *testing.T) {
	file := filepath.Join(t.TempDir(), "agent.hcl")
	if err := os.WriteFile(file, []byte(`log_level = "INFO"`), 0o600); err != nil {
		t.Fatal(err)
	}
	p := spawn(t, "-dev", "-config-file", file)
	p.put(t, "a", "1")
	for _, c := range []struct{ text, want string }{
		{`log_level = "DEBUG"`, "Reloaded the configuration"},
		{`log_level = "LOUD"`, "failed to reload"},
	} {
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		p.signal(t, syscall.SIGHUP)
		until(t, c.want, func() bool { return p.log.count(c.want) == 1 })
	}
	p.put(t, "a", "2")
	p.signal(t, syscall.SIGTERM)
	if code := p.code(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
