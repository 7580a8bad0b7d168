package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	library "github.com/hashicorp/consul/api/watch"
	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/watch"
)

var watchCommand = command{
	name:  "watch",
	args:  "[COMMAND...]",
	short: "Watch a key, a service or an event, and run a command when it changes",
	long: "Prints the present state of what is watched as JSON. With a command it goes\n" +
		"on: the command runs now and after each change, with the JSON on its\n" +
		"standard input and the index in CONSUL_INDEX, until it fails or we are\n" +
		"interrupted, which ends it with all it started.",
	examples: []string{
		"watch -type=key -key=config/limit", "watch -type=service -service=web -passingonly=true ./reload.sh",
		"watch -type=event -name=deploy -shell=false ./deploy",
	},
	prepare: func(fs *flag.FlagSet) work {
		r := &watchRequest{client: clusterFlags(fs)}
		fs.StringVar(&r.kind, "type", "", "What to watch: `key`, keyprefix, services, nodes, service, checks, event, agent_service, connect_roots or connect_leaf.")
		fs.StringVar(&r.key, "key", "", "The `key` to watch; for type key.")
		fs.StringVar(&r.prefix, "prefix", "", "The `prefix` of keys to watch; for type keyprefix.")
		fs.StringVar(&r.service, "service", "", "The `name` of a service; for the types service, checks and connect_leaf. For type agent_service its ID.")
		fs.Var(&r.tags, "tag", "A `tag` that instances must have, may be repeated; for type service.")
		fs.StringVar(&r.passingOnly, "passingonly", "", "Whether to leave out instances that are not healthy, `true` or false; for type service.")
		fs.StringVar(&r.state, "state", "", "The `state` of checks: any, passing, warning or critical; for type checks.")
		fs.StringVar(&r.name, "name", "", "The `name` of an event, any by default; for type event.")
		fs.StringVar(&r.filter, "filter", "", "An `expression` that rows must satisfy; for the types service, services, nodes and checks.")
		fs.BoolVar(&r.shell, "shell", true, "Run the command in a shell.")
		return r.run
	},
}

// watchRequest is what the command line asks for.
type watchRequest struct {
	client                     *clientFlags
	kind, key, prefix, service string
	tags                       repeated
	passingOnly, state         string
	name, filter               string
	shell                      bool
}

// plan is the watch as the library runs it.
func (r *watchRequest) plan() (*library.Plan, error) {
	if r.kind == "" {
		return nil, usageError("Watch type must be specified")
	}
	params := map[string]any{"type": r.kind}
	for name, value := range map[string]string{
		"key": r.key, "prefix": r.prefix, "service": r.service, "state": r.state, "name": r.name, "filter": r.filter,
	} {
		if value != "" {
			params[name] = value
		}
	}
	if r.kind == "agent_service" && r.service != "" {
		delete(params, "service")
		params["service_id"] = r.service
	}
	if len(r.tags) > 0 {
		params["tag"] = []string(r.tags)
	}
	if r.client.stale {
		params["stale"] = true
	}
	if r.passingOnly != "" {
		only, err := strconv.ParseBool(r.passingOnly)
		if err != nil {
			return nil, failf("Failed to parse passingonly flag: %s", err)
		}
		params["passingonly"] = only
	}
	plan, err := watch.Plan(params)
	if err != nil {
		return nil, failf("%s", err)
	}
	return plan, nil
}

func (r *watchRequest) run(ctx context.Context, std stdio, args []string) error {
	plan, err := r.plan()
	if err != nil {
		return err
	}
	client, err := r.client.connect()
	if err != nil {
		return err
	}
	if _, err := client.Agent().NodeName(); err != nil {
		return queryFailed(err)
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	stopped := context.AfterFunc(ctx, plan.Stop)
	defer stopped()

	var failure error
	plan.HybridHandler = func(at library.BlockingParamVal, data any) {
		if len(args) == 0 {
			failure = printIndented(std, data)
			plan.Stop()
		} else if err := r.handle(ctx, std, args, at, data); err != nil && ctx.Err() == nil {
			failure = failf("Error executing handler: %s", err)
			plan.Stop()
		}
	}
	log := hclog.New(&hclog.LoggerOptions{Output: std.err})
	if err := plan.RunWithClientAndHclog(client, log); err != nil {
		return queryFailed(err)
	}
	return failure
}

func printIndented(std stdio, data any) error {
	text, err := json.MarshalIndent(data, "", "    ")
	if err != nil {
		return failf("Error encoding output: %s", err)
	}
	fmt.Fprintf(std.out, "%s\n", text)
	return nil
}

// handle runs the command once, and ends it with all in its group when ctx ends.
func (r *watchRequest) handle(ctx context.Context, std stdio, args []string, at library.BlockingParamVal, data any) error {
	view, err := watch.NewView(at, data)
	if err != nil {
		return err
	}
	child := childCommand(std, args, r.shell, view.Env)
	child.Stdin = strings.NewReader(string(view.JSON))
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := child.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return errors.Join(ctx.Err(), endChild(child, ended))
	}
}
