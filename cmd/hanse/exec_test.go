package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/event"
	"github.com/hanse-project/hanse/rexec"
)

// execCluster is two agents that carry out what they are asked, and one that does not,
// in a datacenter, and another datacenter beside it.
func execCluster(t *testing.T) *api.Client {
	t.Helper()
	net := freeNet(t)
	const on = "disable_remote_exec = false"
	agent := func(name, ip, dc string, args ...string) {
		start(t, append([]string{"agent", "-dev", "-node", name, "-datacenter", dc, "-bind", ip, "-client", ip, "-log-level", "info",
			"-retry-interval", "1s", "-retry-interval-wan", "1s"}, args...)...)
	}
	agent("one", net+".1", "shanghai", "-hcl", on)
	agent("two", net+".2", "shanghai", "-server=false", "-retry-join", net+".1", "-hcl", on, "-hcl", `service { name = "web", tags = ["v1"] }`)
	agent("three", net+".3", "shanghai", "-server=false", "-retry-join", net+".1")
	agent("far", net+".4", "beijing", "-retry-join-wan", net+".1", "-hcl", on)
	t.Setenv("CONSUL_HTTP_ADDR", net+".1:8500")
	client, err := api.NewClient(api.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	await(t, "all agents know each other", func() bool {
		for _, ip := range []string{".1", ".2", ".3"} {
			c, err := api.NewClient(&api.Config{Address: net + ip + ":8500"})
			if err != nil {
				t.Fatal(err)
			}
			if members, err := c.Agent().Members(false); err != nil || len(members) != 3 {
				return false
			}
		}
		servers, _, err := client.Health().Service("consul", "", true, &api.QueryOptions{Datacenter: "beijing"})
		self, _, err2 := client.Health().Node("one", nil)
		return err == nil && len(servers) == 1 && err2 == nil && len(self) > 0
	})
	return client
}

// wait gives nodes of a busy machine the time to be heard.
const wait = "-wait=8s"

func TestExec(t *testing.T) {
	client := execCluster(t)
	t.Run("runs where it is allowed", func(t *testing.T) {
		stdout, stderr, exit := hanse(t, "", "exec", wait, "-verbose", "echo hello; printf 'no newline'")
		if exit != 0 || stderr != "" {
			t.Errorf("exit code %d: %s", exit, stderr)
		}
		for _, line := range []string{
			"Created remote execution session: ", "Uploaded remote execution spec\n", "Fired remote execution event: ",
			"2 / 2 node(s) completed / acknowledged\nCompleted in ",
		} {
			if !strings.Contains(stdout, line) {
				t.Errorf("%q is not in\n%s", line, stdout)
			}
		}
		for _, node := range []string{"one", "two"} { // whose lines come among those of the others
			var said strings.Builder
			for line := range strings.Lines(stdout) {
				if strings.Contains(line, " "+node+": ") {
					said.WriteString(line)
				}
			}
			if want := fmt.Sprintf("==> %[1]s: acknowledged event\n    %[1]s: hello\n    %[1]s: no newline\n==> %[1]s: finished with exit code 0\n", node); said.String() != want {
				t.Errorf("%s said\n%s\nwant\n%s", node, &said, want)
			}
		}
		if strings.Contains(stdout, "three") {
			t.Errorf("a node ran it that must not:\n%s", stdout)
		}
		keys, _, err := client.KV().Keys("", "", nil)
		sessions, _, err2 := client.Session().List(nil)
		events, _, err3 := client.Event().List("", nil)
		if err := errors.Join(err, err2, err3); err != nil || len(keys)+len(sessions)+len(events) != 0 {
			t.Errorf("keys %q, sessions %v and events %v are left, %v", keys, sessions, events, err)
		}
	})
	for name, c := range map[string]struct {
		args   []string
		stdin  string
		stdout string
		exit   int
	}{
		"nobody does it": {args: []string{"-node=three", "-wait=200ms", "-wait-repl=200ms", "true"}, stdout: "0 / 0 node(s) completed / acknowledged\n"},
		"it fails": {args: []string{"-node=^two$", wait, "-shell=false", "sh", "-c", "echo $0; exit 4", "a b"},
			stdout: "    two: a b\n==> two: finished with exit code 4\n1 / 1 node(s) completed / acknowledged\n", exit: 2},
		"it cannot be started": {args: []string{"-node=^two$", wait, "-shell=false", "/no/such/program"},
			stdout: "    two: fork/exec /no/such/program: no such file or directory\n==> two: finished with exit code 255\n1 / 1 node(s) completed / acknowledged\n", exit: 2},
		"a script, by a service and a tag": {args: []string{"-service=web", "-tag=^v", wait, "-"}, stdin: "#!/usr/bin/env cat\nthe script\n",
			stdout: "    two: #!/usr/bin/env cat\n    two: the script\n==> two: finished with exit code 0\n1 / 1 node(s) completed / acknowledged\n"},
		"another datacenter": {args: []string{"-datacenter=beijing", wait, "echo", "here"},
			stdout: "    far: here\n==> far: finished with exit code 0\n1 / 1 node(s) completed / acknowledged\n"},
		"longer than the wait": {args: []string{"-node=^two$", "-wait=5s", "sleep 11; echo done"},
			stdout: "    two: done\n==> two: finished with exit code 0\n1 / 1 node(s) completed / acknowledged\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if stdout, stderr, exit := hanse(t, c.stdin, append([]string{"exec"}, c.args...)...); stdout != c.stdout || stderr != "" || exit != c.exit {
				t.Errorf("exit code %d: %s\n%s\nwant %d\n%s", exit, stderr, stdout, c.exit, c.stdout)
			}
		})
	}
	t.Run("a job ends with its session", func(t *testing.T) {
		t.Parallel()
		pid := startJob(t, client, func(session string) { _, _ = client.Session().Destroy(session, nil) })
		await(t, "the job is killed", func() bool { return gone(pid) })
	})
	t.Run("a job ends when it is interrupted", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "pid")
		ctx, interrupt := context.WithCancel(t.Context())
		done := make(chan int, 1)
		go func() {
			done <- run(ctx, []string{"exec", "-node=^two$", "-wait=1m", sleeper(file)}, stdio{strings.NewReader(""), &syncBuffer{}, &syncBuffer{}})
		}()
		pid := pidIn(t, file)
		interrupt()
		if exit := <-done; exit != 1 {
			t.Errorf("exit code %d", exit)
		}
		await(t, "the job is killed", func() bool { return gone(pid) })
	})
	t.Run("a job that no session holds is not run", func(t *testing.T) {
		t.Parallel()
		order := rexec.Order{Prefix: rexec.Prefix, Session: "00000000-0000-4000-8000-000000000001"}
		file := filepath.Join(t.TempDir(), "ran")
		if _, err := client.KV().Put(&api.KVPair{Key: order.JobKey(), Value: []byte(`{"Command":"touch ` + file + `"}`)}, nil); err != nil {
			t.Fatal(err)
		}
		fireOrder(t, client, order)
		// What comes after it on the same node has run, so it is not run late either.
		if _, stderr, exit := hanse(t, "", "exec", "-node=^two$", wait, "true"); exit != 0 {
			t.Errorf("exit code %d: %s", exit, stderr)
		}
		if _, err := os.Stat(file); err == nil {
			t.Error("it was run")
		}
	})
}

func TestExecSaysWhatIsWrong(t *testing.T) {
	clearEnvironment(t)
	t.Setenv("CONSUL_HTTP_ADDR", "127.0.0.1:1")
	for line, says := range map[string]string{
		"exec":                "Must specify a command to execute\n\nUsage: hanse exec",
		"exec -":              "Must specify a command to execute\n\nUsage: hanse exec",
		"exec -tag=v1 uptime": "Cannot provide tag filter without service filter.\n",
		"exec -node=( uptime": "Failed to compile node filter regexp: error parsing regexp: missing closing ): `(`\n",
		"exec -wait=0s true":  "Wait must be positive\n",
		"exec -prefix= true":  "Prefix must not be empty\n",
		"exec true":           "Failed to create session: ",
	} {
		if _, stderr, exit := hanse(t, "", strings.Fields(line)...); exit != 1 || !strings.HasPrefix(stderr, says) {
			t.Errorf("%s: exit code %d: %s", line, exit, stderr)
		}
	}
}

// sleeper is a command whose child writes its process ID into a file and sleeps.
func sleeper(file string) string {
	return "sleep 600 & echo $! >" + file + ".new; mv " + file + ".new " + file + "; wait"
}

func pidIn(t *testing.T, file string) (pid int) {
	t.Helper()
	await(t, "the job runs", func() bool {
		text, err := os.ReadFile(file)
		if err != nil {
			return false
		}
		pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
		return err == nil
	})
	return pid
}

// gone tells whether a process has ended. One that waits to be reaped has.
func gone(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(stat), ") Z ") || syscall.Kill(pid, 0) != nil
}

func fireOrder(t *testing.T, client *api.Client, order rexec.Order) {
	t.Helper()
	payload := `{"Prefix":"` + order.Prefix + `","Session":"` + order.Session + `"}`
	if _, _, err := client.Event().Fire(&api.UserEvent{Name: event.ExecName, NodeFilter: "^two$", Payload: []byte(payload)}, nil); err != nil {
		t.Fatal(err)
	}
}

// startJob starts a job as another program would, and hands over its session once it runs.
func startJob(t *testing.T, client *api.Client, running func(session string)) (pid int) {
	t.Helper()
	session, _, err := client.Session().Create(&api.SessionEntry{Behavior: api.SessionBehaviorDelete}, nil)
	if err != nil {
		t.Fatal(err)
	}
	order := rexec.Order{Prefix: rexec.Prefix, Session: session}
	file := filepath.Join(t.TempDir(), "pid")
	job := &api.KVPair{Key: order.JobKey(), Session: session, Value: []byte(`{"Command":` + strconv.Quote(sleeper(file)) + `,"Wait":2000000000}`)}
	if held, _, err := client.KV().Acquire(job, nil); err != nil || !held {
		t.Fatal(held, err)
	}
	fireOrder(t, client, order)
	pid = pidIn(t, file)
	running(session)
	return pid
}
