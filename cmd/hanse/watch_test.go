package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestWatchRunsItsCommandUntilItFails(t *testing.T) {
	recordedAgent(t)
	stdout, stderr, exit := hanse(t, "", "watch", "-type=key", "-key=config/app/limit", "echo", "at", "$CONSUL_INDEX;", "cat;", "exit", "3")
	if exit != 1 || stderr != "Error executing handler: exit status 3\n" {
		t.Errorf("exit code %d: %s", exit, stderr)
	}
	if !strings.HasPrefix(stdout, "at 65\n{\"Key\":\"config/app/limit\",") {
		t.Errorf("the command said %s", stdout)
	}
}

func TestWatchEndsItsCommandWhenItIsInterrupted(t *testing.T) {
	recordedAgent(t)
	started := filepath.Join(t.TempDir(), "started")
	ctx, interrupt := context.WithCancel(t.Context())
	var out, err strings.Builder
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"watch", "-type=key", "-key=config/app/limit", "-shell=false", "sh", "-c", "sleep 600 & touch " + started + "; wait"},
			stdio{strings.NewReader(""), &out, &err})
	}()
	for _, e := os.Stat(started); e != nil; _, e = os.Stat(started) {
		select {
		case exit := <-done:
			t.Fatalf("exit code %d: %s", exit, &err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	interrupt()
	if exit := <-done; exit != 0 || err.String() != "" {
		t.Errorf("exit code %d: %s", exit, &err)
	}
}

func TestWatchAndEventSayWhatIsWrong(t *testing.T) {
	recordedAgent(t)
	for line, says := range map[string]string{
		"watch -type=keyprefix":                             "Must specify a single prefix to watch\n",
		"watch -type=key":                                   "Must specify a single key to watch\n",
		"watch -type=connect_leaf":                          "Must specify a single service to watch\n",
		"watch -type=agent_service":                         "Must specify a single service_id to watch\n",
		"watch -type=checks -service=a -state=any":          "Cannot specify service and state\n",
		"watch -type=service -service=a -passingonly=maybe": "Failed to parse passingonly flag: strconv.ParseBool: parsing \"maybe\": invalid syntax\n",
		"event -name=e -node=[":                             "Failed to compile node filter regexp: error parsing regexp: missing closing ]: `[`\n",
		"event -name=e -tag=v1":                             "Cannot provide tag filter without service filter.\n",
		"event -name=e a b":                                 "Too many command line arguments: the payload is one, put it in quotes\n",
	} {
		if _, stderr, exit := hanse(t, "", strings.Fields(line)...); exit != 1 || stderr != says {
			t.Errorf("%s: exit code %d: %s", line, exit, stderr)
		}
	}
}
