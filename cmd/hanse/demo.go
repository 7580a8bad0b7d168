package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/consul/api"
)

// demoPatience is how long any one step may take on a slow machine.
const demoPatience = time.Minute

var demoCommand = command{
	name:  "demo",
	short: "Run two datacenters on this machine",
	long: `Starts the datacenters shanghai and beijing on 127.0.0.1, three servers and a
client agent each, joins them, and keeps config/ of shanghai the same in
beijing. Shows what to try, and runs until Ctrl-C. All data is in a temporary
directory that is removed at the end.`,
	examples: []string{"demo", "demo -exit"},
	prepare: func(fs *flag.FlagSet) work {
		exit := fs.Bool("exit", false, "Show that forwarding and replication work, then end.")
		return func(ctx context.Context, std stdio, args []string) error {
			if err := wantArgs(args, 0); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
			defer stop()
			return runDemo(ctx, std, *exit)
		}
	},
}

// runDemo starts everything, stays until ctx ends or exits after a proof, and takes
// everything away again.
func runDemo(ctx context.Context, std stdio, exit bool) (err error) {
	// The kernel ends our processes when the thread that started them ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	d, err := newDemo(std.out)
	if err != nil {
		return err
	}
	defer func() {
		fmt.Fprint(std.out, "\nStopping all of it ... ")
		failed := d.close()
		if failed == nil {
			fmt.Fprintf(std.out, "done, and %s is removed.\n", d.dir)
		}
		err = errors.Join(err, failed)
	}()
	switch err := d.start(ctx); {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return err
	}
	if exit {
		return d.step(ctx, "Proof", d.proof)
	}
	d.printGuide(ctx)
	d.watch(ctx)
	return nil
}

// start brings up the federation, telling each step.
func (d *demo) start(ctx context.Context) error {
	began := time.Now()
	fmt.Fprintf(d.out, "Two datacenters on this machine, in %s\n\n", d.dir)
	steps := []struct {
		name string
		do   func(context.Context) (string, error)
	}{
		{"Agents", d.startAgents},
		{"Shanghai", func(ctx context.Context) (string, error) { return d.elected(ctx, demoShanghai) }},
		{"Beijing", func(ctx context.Context) (string, error) { return d.elected(ctx, demoBeijing) }},
		{"Federation", d.federate},
		{"Keys", d.seed},
		{"Replication", d.replicate},
	}
	for _, s := range steps {
		if err := d.step(ctx, s.name, s.do); err != nil {
			return err
		}
	}
	fmt.Fprintf(d.out, "\nReady after %.1f s.\n", time.Since(began).Seconds())
	return nil
}

// step tells of one step before and after.
func (d *demo) step(ctx context.Context, name string, do func(context.Context) (string, error)) error {
	fmt.Fprintf(d.out, "  %-12s", name)
	result, err := do(ctx)
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(d.out, "interrupted")
		return ctx.Err()
	case err != nil:
		fmt.Fprintln(d.out, "failed")
		return fmt.Errorf("%s: %w", strings.ToLower(name), err)
	}
	fmt.Fprintln(d.out, result)
	return nil
}

func (d *demo) startAgents(context.Context) (string, error) {
	for _, a := range d.agents {
		if err := a.start(d); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d processes started, three servers and a client in each datacenter", len(d.agents)), nil
}

// elected waits until the datacenter has a leader that its client knows, and all its members.
func (d *demo) elected(ctx context.Context, dc string) (string, error) {
	client := d.client(dc).api
	var leader string
	err := d.await(ctx, func(q *api.QueryOptions) error {
		var err error
		if leader, err = client.Status().LeaderWithQueryOptions(q); err != nil {
			return err
		}
		nodes, _, err := client.Catalog().Nodes(q)
		if err == nil && (leader == "" || len(nodes) < demoServers+1) {
			err = fmt.Errorf("leader %q, %d nodes in the catalog", leader, len(nodes))
		}
		return err
	})
	if a := d.byRPC(leader); a != nil {
		leader = a.name
	}
	return leader + " was elected leader", err
}

// federate joins the WAN pool through one server on each side: they bring the others.
func (d *demo) federate(ctx context.Context) (string, error) {
	from, to := d.server(demoShanghai, 1), d.server(demoBeijing, 1)
	err := d.await(ctx, func(*api.QueryOptions) error { return from.api.Agent().Join(to.address(portWAN), true) })
	if err != nil {
		return "", err
	}
	err = d.await(ctx, func(q *api.QueryOptions) error {
		for _, a := range d.agents {
			for _, dc := range []string{demoShanghai, demoBeijing} {
				q.Datacenter = dc
				if _, _, err := a.api.Catalog().Nodes(q); err != nil {
					return fmt.Errorf("%s asks %s: %w", a.name, dc, err)
				}
			}
			if !a.server {
				continue
			}
			if members, err := a.api.Agent().Members(true); err != nil || len(members) < 2*demoServers {
				return fmt.Errorf("%s sees %d servers on the WAN: %w", a.name, len(members), err)
			}
		}
		return nil
	})
	return "one join -wan: all servers know each other, each agent answers for both datacenters", err
}

var demoKeys = []struct{ key, value string }{
	{"config/limit", "20"},
	{"config/motd", "all of them trade"},
	{"config/feature/search", "on"},
	{"config/feature/checkout", "off"},
}

func (d *demo) seed(ctx context.Context) (string, error) {
	for _, k := range demoKeys {
		if err := d.put(ctx, d.client(demoShanghai).api, k.key, k.value); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d written below config/ in %s", len(demoKeys), demoShanghai), nil
}

// replicate has beijing keep the keys of shanghai, and waits until they are there.
func (d *demo) replicate(ctx context.Context) (string, error) {
	agent := d.client(demoBeijing).api
	settings := map[string]any{"source_datacenter": demoShanghai, "prefix": "config/"}
	err := d.await(ctx, func(q *api.QueryOptions) error {
		_, err := agent.Raw().Write("/v1/replicate/links", settings, nil, new(api.WriteOptions).WithContext(q.Context()))
		return err
	})
	if err != nil {
		return "", err
	}
	for _, k := range demoKeys {
		if err := d.awaitKey(ctx, agent, k.key, k.value); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("a link keeps config/ of %s the same in %s", demoShanghai, demoBeijing), nil
}

// proof writes across the datacenters and sees the change come back by replication.
func (d *demo) proof(ctx context.Context) (string, error) {
	agent := d.client(demoBeijing).api
	const key, value = "config/limit", "21"
	if err := d.put(ctx, agent, key, value); err != nil {
		return "", err
	}
	var got *api.KVPair
	err := d.await(ctx, func(q *api.QueryOptions) (err error) {
		q.Datacenter = demoShanghai
		got, _, err = agent.KV().Get(key, q)
		return err
	})
	if err != nil {
		return "", err
	}
	if got == nil || string(got.Value) != value {
		return "", fmt.Errorf("%s has %v at %s, not %q", demoShanghai, got, key, value)
	}
	if err := d.awaitKey(ctx, agent, key, value); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s = %s written and read in %s through %s with ?dc=, and replicated back", key, value, demoShanghai, demoBeijing), nil
}

// put writes a key in shanghai through the agent. On a slow machine the leader may have just
// changed, so it goes on trying.
func (d *demo) put(ctx context.Context, agent *api.Client, key, value string) error {
	return d.await(ctx, func(q *api.QueryOptions) error {
		there := (&api.WriteOptions{Datacenter: demoShanghai}).WithContext(q.Context())
		_, err := agent.KV().Put(&api.KVPair{Key: key, Value: []byte(value)}, there)
		return err
	})
}

// awaitKey waits until the agent's datacenter has the value.
func (d *demo) awaitKey(ctx context.Context, agent *api.Client, key, value string) error {
	return d.await(ctx, func(q *api.QueryOptions) error {
		pair, _, err := agent.KV().Get(key, q)
		if err == nil && (pair == nil || string(pair.Value) != value) {
			err = fmt.Errorf("%s is not %q yet", key, value)
		}
		return err
	})
}

// await repeats check until it succeeds, or a process ends, or patience does.
func (d *demo) await(ctx context.Context, check func(*api.QueryOptions) error) error {
	ctx, cancel := context.WithTimeout(ctx, demoPatience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check(new(api.QueryOptions).WithContext(ctx))
		if err == nil {
			return nil
		}
		select {
		case p := <-d.ended:
			return p.failure()
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// watch stays until ctx ends and tells of processes that end before.
func (d *demo) watch(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-d.ended:
			fmt.Fprintf(d.out, "%s ended (%s); its log is %s\n", p.name, p.cmd.ProcessState, p.log)
		}
	}
}

// printGuide shows where everything is and what to try.
func (d *demo) printGuide(ctx context.Context) {
	agents := [][]string{{"Datacenter", "Agent", "HTTP API", "Process"}}
	for _, a := range d.agents {
		agents = append(agents, []string{a.dc, a.name, "http://" + a.address(portHTTP), fmt.Sprint(a.process.cmd.Process.Pid)})
	}
	fmt.Fprintln(d.out)
	printColumns(d.out, agents)

	hanse := shownPath(d.binary)
	shanghai, beijing := d.client(demoShanghai).address(portHTTP), d.client(demoBeijing).address(portHTTP)
	victim := d.server(demoBeijing, 1)
	if leader, err := d.client(demoBeijing).api.Status().LeaderWithQueryOptions(new(api.QueryOptions).WithContext(ctx)); err == nil && d.byRPC(leader) != nil {
		victim = d.byRPC(leader)
	}
	fmt.Fprint(d.out, "\nTry in another terminal:\n\n")
	lookup := fmt.Sprintf("dig @127.0.0.1 -p %d consul.service.beijing.consul SRV", d.client(demoShanghai).port+portDNS)
	printColumns(d.out, [][]string{
		{"Who takes part", fmt.Sprintf("%s members -wan -http-addr=%s", hanse, d.server(demoShanghai, 1).address(portHTTP))},
		{"Ask beijing in shanghai", fmt.Sprintf("%s catalog nodes -datacenter=beijing -http-addr=%s", hanse, shanghai)},
		{"Find its servers over DNS", lookup},
		{"Change a setting in shanghai", fmt.Sprintf("%s kv put -http-addr=%s config/limit 50", hanse, shanghai)},
		{"A moment later in beijing", fmt.Sprintf("%s kv get -http-addr=%s config/limit", hanse, beijing)},
		{"What the link does", fmt.Sprintf("%s replicate link status -http-addr=%s", hanse, beijing)},
		{"Kill the leader of beijing", fmt.Sprintf("kill -9 %d; sleep 2; %s operator raft list-peers -http-addr=%s", victim.process.cmd.Process.Pid, hanse, beijing)},
	})
	fmt.Fprintf(d.out, "\nOr look at http://%s/ui/. Logs are %s. Ctrl-C ends everything.\n", shanghai, filepath.Join(d.dir, "*.log"))
}

// shownPath is the program's path as a person here would type it.
func shownPath(path string) string {
	here, err := os.Getwd()
	if err != nil {
		return path
	}
	short, err := filepath.Rel(here, path)
	if err != nil || strings.HasPrefix(short, "..") {
		return path
	}
	if !strings.ContainsRune(short, filepath.Separator) {
		short = "." + string(filepath.Separator) + short
	}
	return short
}
