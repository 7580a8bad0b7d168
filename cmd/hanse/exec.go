package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/event"
	"github.com/hanse-project/hanse/rexec"
)

// exitJobFailed is the exit code when a node's job failed, or did not end.
const exitJobFailed = 2

var execCommand = command{
	name:  "exec",
	args:  "[-|COMMAND...]",
	short: "Run a command on many nodes",
	long: "Runs a command on the nodes of a datacenter, or on those that the filters\n" +
		"choose, and prints what it says there. With - the command is a script from\n" +
		"standard input. Only nodes with `disable_remote_exec = false` take part.\n" +
		"Exits with 2 if the command fails on a node, or does not end there.",
	examples: []string{"exec uptime", "exec -service='^web$' -tag=canary systemctl restart web", "exec -node=db -wait=10s - < check.sh"},
	prepare: func(fs *flag.FlagSet) work {
		r := &execRequest{client: clusterFlags(fs), filters: eventFilterFlags(fs)}
		fs.StringVar(&r.order.Prefix, "prefix", rexec.Prefix, "The `prefix` of the keys through which nodes and we talk.")
		fs.BoolVar(&r.shell, "shell", true, "Run the command in a shell.")
		fs.BoolVar(&r.verbose, "verbose", false, "Say what is going on.")
		fs.DurationVar(&r.job.Wait, "wait", 2*time.Second, "How long to wait while no node says anything, such as `10s`.")
		fs.DurationVar(&r.settle, "wait-repl", 200*time.Millisecond, "How long to wait between writing the command and telling nodes of it, such as `1s`.")
		return r.run
	},
}

// execRequest is what the command line asks for.
type execRequest struct {
	client         *clientFlags
	filters        *eventFilters
	shell, verbose bool
	settle         time.Duration
	order          rexec.Order
	job            rexec.Job
}

// parse settles what is to be run.
func (r *execRequest) parse(std stdio, args []string) error {
	if err := r.filters.check(); err != nil {
		return err
	}
	switch {
	case r.order.Prefix == "":
		return failf("Prefix must not be empty")
	case r.job.Wait <= 0:
		return failf("Wait must be positive")
	case len(args) == 1 && args[0] == "-":
		script, err := io.ReadAll(std.in)
		if err != nil {
			return failf("Failed to read stdin: %s", err)
		}
		r.job.Script = script
	case r.shell:
		r.job.Command = strings.Join(args, " ")
	default:
		r.job.Args = args
	}
	if len(r.job.Script) == 0 && r.job.Command == "" && (len(args) == 0 || args[0] == "" || args[0] == "-") {
		return usageError("Must specify a command to execute")
	}
	return nil
}

func (r *execRequest) say(std stdio, format string, args ...any) {
	if r.verbose {
		fmt.Fprintf(std.out, format+"\n", args...)
	}
}

func (r *execRequest) run(ctx context.Context, std stdio, args []string) error {
	if err := r.parse(std, args); err != nil {
		return err
	}
	client, err := r.client.connect()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	end, err := r.openSession(client)
	if err != nil {
		return failf("Failed to create session: %s", err)
	}
	defer end()
	r.say(std, "Created remote execution session: %s", r.order.Session)
	// The end of the session deletes what it holds; this is for what it does not.
	defer func() { _, _ = client.KV().DeleteTree(r.order.Folder(), nil) }()
	if err := r.upload(client); err != nil {
		return failf("Failed to create job file: %s", err)
	}
	r.say(std, "Uploaded remote execution spec")
	select {
	case <-time.After(r.settle):
	case <-ctx.Done():
		return failf("Interrupted before the command was started")
	}
	id, err := r.fire(client)
	if err != nil {
		return failf("Failed to fire event: %s", err)
	}
	r.say(std, "Fired remote execution event: %s", id)
	return r.follow(ctx, std, client)
}

// openSession makes the session that owns all keys, and renews it until end is called,
// which destroys it. Without it nodes end the command, and we hear no more of them.
func (r *execRequest) openSession(client *api.Client) (end func(), err error) {
	self, err := client.Agent().Self()
	if err != nil {
		return nil, err
	}
	entry := &api.SessionEntry{Name: "Remote Exec", Behavior: api.SessionBehaviorDelete, TTL: sessionTTL}
	sessions, create := client.Session(), client.Session().Create
	if dc := r.client.datacenter; dc != "" && dc != self["Config"]["Datacenter"] {
		// A session lives on a node of its datacenter, and our agent is none there. That
		// node may go without the session ending.
		servers, _, err := client.Health().Service("consul", "", true, nil)
		if err != nil {
			return nil, err
		}
		if len(servers) == 0 {
			return nil, fmt.Errorf("datacenter %s has no healthy server", dc)
		}
		entry.Node = servers[0].Node.Node
		create = sessions.CreateNoChecks
	}
	id, _, err := create(entry, nil)
	if err != nil {
		return nil, err
	}
	r.order.Session = id
	return renewing(sessions, id), nil
}

func (r *execRequest) upload(client *api.Client) error {
	job, err := json.Marshal(r.job)
	if err != nil {
		return err
	}
	held, _, err := client.KV().Acquire(&api.KVPair{Key: r.order.JobKey(), Value: job, Session: r.order.Session}, nil)
	if err == nil && !held {
		err = errors.New("the session does not get its key")
	}
	return err
}

func (r *execRequest) fire(client *api.Client) (id string, err error) {
	e := r.filters.event(event.ExecName)
	if e.Payload, err = json.Marshal(r.order); err != nil {
		return "", err
	}
	id, _, err = client.Event().Fire(e, nil)
	return id, err
}
