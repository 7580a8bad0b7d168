package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/go-hclog"
	gsyslog "github.com/hashicorp/go-syslog"
	"golang.org/x/sync/errgroup"

	"github.com/hanse-project/hanse/replicate"
	replicatehttp "github.com/hanse-project/hanse/replicate/http"
)

var replicateCommand = command{
	name:  "replicate",
	short: "Keep key prefixes of other datacenters in step here",
	long: `Copies key prefixes of other datacenters to the agent's own, and follows
their changes until it is stopped. Keys below a destination prefix that the
source does not have are deleted; a suspicious mass delete is held until it
is allowed. It may be stopped at any time and goes on where it was.
Between datacenters of Hanse, links do the same inside the servers: see
"replicate link".`,
	examples: []string{
		"replicate -prefix config/@shanghai",
		"replicate -prefix config/@shanghai:copy/ -exclude config/private/",
		"replicate -config replicate.hcl -metrics-addr 127.0.0.1:9107",
		"replicate -prefix config/@shanghai -once -dry-run",
	},
	prepare: func(fs *flag.FlagSet) work {
		s := replicateFlags(fs)
		return func(ctx context.Context, std stdio, args []string) error {
			if s.version {
				thisBuild().print(std.out)
				return nil
			}
			if err := wantArgs(args, 0); err != nil {
				return err
			}
			warnings, err := s.readFiles(fs)
			if err != nil {
				return err
			}
			return s.run(ctx, std, warnings)
		}
	},
}

// run replicates until a signal comes, or once.
func (s *replicateSettings) run(ctx context.Context, std stdio, warnings []string) error {
	links, err := s.links()
	if err != nil {
		return err
	}
	agent, err := s.agent()
	if err != nil {
		return err
	}
	bar := newProgress(std.err)
	log, err := s.logger(bar)
	if err != nil {
		return err
	}
	for _, w := range warnings {
		log.Warn(w)
	}
	unlock, err := writePIDFile(s.pidFile)
	if err != nil {
		return err
	}
	defer unlock()

	ctx, stop := signal.NotifyContext(ctx, s.killSignal.Signal, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends us at once

	self, err := s.awaitAgent(ctx, agent, log)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return nil
	}
	cfg := replicate.Config{
		Links: links, DestinationDC: self.Datacenter, StatusPath: s.statusPath,
		Source: func(dc string) replicate.Source { return agent.Source(dc, s.maxStale) },
		Sink:   agent.Sink(),
		Once:   s.once || s.dryRun, Quiet: s.quiet.Quiet, Retry: s.retryRule(), Log: log,
		Guard:          replicate.Guard{MaxFraction: s.maxDeleteFraction, Allow: s.allowMassDelete},
		VerifyInterval: s.verifyInterval, Repair: s.repair,
		Writer: daemonName(self.NodeName),
	}
	if s.dryRun {
		cfg.Sink = &dryRun{Sink: cfg.Sink, out: std.out, records: map[string]dryRecord{}}
	}
	if s.lock && !cfg.Once {
		lease := agent.Lease(cfg.Writer, s.lockTTL)
		defer func() {
			if err := lease.Close(); err != nil {
				log.Warn("the locks could not be given back, and run out by themselves", "error", err)
			}
		}()
		cfg.Lease = lease
	}
	r, err := replicate.New(cfg)
	if err != nil {
		return err
	}
	count := func(ctx context.Context, link int) (int, error) {
		return agent.Source(links[link].SourceDC, s.maxStale).Count(ctx, links[link].Source)
	}
	return s.follow(ctx, r, bar, count, log)
}

// follow runs the engine with what shows it to people.
func (s *replicateSettings) follow(ctx context.Context, r *replicate.Replicator, bar *progress, count counter, log hclog.Logger) error {
	g, ctx := errgroup.WithContext(ctx)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if s.metricsAddr != "" {
		listener, err := listenMetrics(s.metricsAddr)
		if err != nil {
			return err
		}
		log.Info("metrics are served", "address", "http://"+listener.Addr().String()+"/metrics")
		g.Go(func() error { return serveMetrics(ctx, listener, r) })
	}
	g.Go(func() error {
		bar.Run(ctx, r.Status, count)
		return nil
	})
	g.Go(func() error {
		defer cancel()
		return r.Run(ctx)
	})
	if err := g.Wait(); err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}

// agent returns the agent that the flags and the environment name.
func (s *replicateSettings) agent() (*replicatehttp.Agent, error) {
	cfg := s.client.config()
	cfg.Transport.DisableCompression = true // the agent is near: compressing takes longer than sending
	if s.ssl {
		cfg.Scheme = "https"
	}
	if !s.sslVerify {
		cfg.TLSConfig.InsecureSkipVerify = true
	}
	if s.auth != "" {
		user, password, _ := strings.Cut(s.auth, ":")
		cfg.HttpAuth = &api.HttpBasicAuth{Username: user, Password: password}
	}
	if _, err := api.NewClient(cfg); err != nil { // fills in cfg
		return nil, failf("Error connecting to Consul agent: %s", err)
	}
	header := http.Header{"User-Agent": {"hanse-replicate"}}
	if cfg.Token != "" {
		header.Set("X-Consul-Token", cfg.Token)
	}
	base := url.URL{Scheme: cfg.Scheme, Host: cfg.Address, Path: cfg.PathPrefix}
	if cfg.HttpAuth != nil {
		base.User = url.UserPassword(cfg.HttpAuth.Username, cfg.HttpAuth.Password)
	}
	if strings.HasPrefix(base.Host, "/") {
		base.Host = "unix-socket" // the dialer knows the path; a host may not contain a slash
	}
	return replicatehttp.NewAgent(base, header, cfg.HttpClient), nil
}

// awaitAgent asks the agent who it is until it answers. It returns without an error
// when ctx ends.
func (s *replicateSettings) awaitAgent(ctx context.Context, agent *replicatehttp.Agent, log hclog.Logger) (replicatehttp.Self, error) {
	rule := s.retryRule()
	for failures := 1; ; failures++ {
		self, err := agent.Self(ctx)
		switch {
		case err == nil:
			log.Info("found the agent", "address", agent, "node", self.NodeName, "datacenter", self.Datacenter)
			return self, nil
		case ctx.Err() != nil:
			return self, nil
		case rule.Exhausted(failures):
			return self, fmt.Errorf("no agent at %s after %d attempts: %w", agent, failures, err)
		}
		delay := rule.Delay(failures)
		log.Warn("waiting for the agent", "address", agent, "error", err, "retry_in", delay.Round(time.Millisecond))
		select {
		case <-ctx.Done():
		case <-time.After(delay):
		}
	}
}

// onceAttempts is how often a run with -once tries what fails, unless told otherwise.
const onceAttempts = 5

func (s *replicateSettings) retryRule() replicate.Retry {
	r := s.retry
	if (s.once || s.dryRun) && r.Attempts == 0 {
		r.Attempts = onceAttempts
	}
	if !s.retryEnabled {
		r.Attempts = 1
	}
	return r
}

func (s *replicateSettings) logger(out io.Writer) (hclog.Logger, error) {
	if s.syslog {
		sys, err := gsyslog.NewLogger(gsyslog.LOG_NOTICE, s.syslogFacility, "hanse-replicate")
		if err != nil {
			return nil, fmt.Errorf("open syslog with facility %s: %w", s.syslogFacility, err)
		}
		out = io.MultiWriter(out, sys)
	}
	level := s.logLevel.Level
	if s.dryRun {
		level = max(level, hclog.Warn) // the log tells of what was done, and nothing will be
	}
	return hclog.New(&hclog.LoggerOptions{
		Level: level, Output: out, TimeFormat: "2006-01-02T15:04:05.000Z0700",
	}), nil
}

// daemonName tells operators which daemon wrote a checkpoint.
func daemonName(node string) string {
	host, err := os.Hostname()
	if err != nil {
		host = node
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}

// writePIDFile writes our process ID, and returns what takes the file away again.
func writePIDFile(path string) (remove func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	if err := os.WriteFile(path, fmt.Appendf(nil, "%d\n", os.Getpid()), 0o644); err != nil {
		return nil, fmt.Errorf("write -pid-file: %w", err)
	}
	return func() { os.Remove(path) }, nil
}

// dryRun is a sink that says what would be written. Of what it is told to write it only
// remembers the records, so that whoever looks for one finds it where he left it.
type dryRun struct {
	replicate.Sink
	out io.Writer

	mu      sync.Mutex
	records map[string]dryRecord
}

// dryRecord is a link's record and how far its operations were told. They come in the order of
// the keys, and once more where many deletes take a second comparison.
type dryRecord struct {
	replicate.Record
	told map[replicate.OpKind]string
}

// Load returns the record as it would be.
func (d *dryRun) Load(ctx context.Context, key string) ([]byte, uint64, error) {
	d.mu.Lock()
	record, ok := d.records[key]
	d.mu.Unlock()
	if ok {
		return record.Value, record.Index, nil
	}
	return d.Sink.Load(ctx, key)
}

// Apply prints the operations.
func (d *dryRun) Apply(_ context.Context, b replicate.Batch) (uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	record := d.records[b.Record.Key]
	if record.told == nil {
		record.told = map[replicate.OpKind]string{}
	}
	var lines strings.Builder
	for _, op := range b.Ops {
		if op.Key <= record.told[op.Kind] {
			continue
		}
		record.told[op.Kind] = op.Key
		switch op.Kind {
		case replicate.SetKey:
			fmt.Fprintf(&lines, "would set %s (%d bytes)\n", op.Key, len(op.Value))
		case replicate.DeleteKey:
			fmt.Fprintf(&lines, "would delete %s\n", op.Key)
		}
	}
	if _, err := io.WriteString(d.out, lines.String()); err != nil {
		return 0, err
	}
	record.Record = b.Record
	record.Index++
	d.records[b.Record.Key] = record
	return record.Index, nil
}

// killSignals are those that may be named to stop us.
var killSignals = map[string]syscall.Signal{
	"SIGHUP": syscall.SIGHUP, "SIGINT": syscall.SIGINT, "SIGQUIT": syscall.SIGQUIT, "SIGTERM": syscall.SIGTERM,
}

// signalValue is a flag that takes the name of a signal.
type signalValue struct{ syscall.Signal }

func (v *signalValue) String() string { return "" }

// Set accepts names with and without SIG, in any case.
func (v *signalValue) Set(s string) error {
	name := strings.ToUpper(s)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	sig, ok := killSignals[name]
	if !ok {
		known := make([]string, 0, len(killSignals))
		for k := range killSignals {
			known = append(known, k)
		}
		slices.Sort(known)
		return fmt.Errorf("use one of %s", strings.Join(known, ", "))
	}
	v.Signal = sig
	return nil
}
