package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/acltoken"
	"github.com/hanse-project/hanse/cache"
	"github.com/hanse-project/hanse/config"
	"github.com/hanse-project/hanse/consensus"
	"github.com/hanse-project/hanse/event"
	"github.com/hanse-project/hanse/lan"
	"github.com/hanse-project/hanse/local"
	"github.com/hanse-project/hanse/mesh/leaf"
	"github.com/hanse-project/hanse/metrics"
	"github.com/hanse-project/hanse/operator"
	"github.com/hanse-project/hanse/rexec"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/wan"
	"github.com/hanse-project/hanse/watch"
)

// Options is what an agent gets besides its configuration.
type Options struct {
	// Log takes the log lines. Its level follows the configuration on a reload.
	Log hclog.Logger
	// Warnings are what was odd about the configuration. They are logged below the banner.
	Warnings []string
	// Banner takes the lines that greet a person; nil keeps quiet.
	Banner io.Writer
	// Load reads the configuration again; nil means that it cannot be reloaded.
	Load func() (*config.Config, []string, error)
	// Network replaces the network, for labs. Zero is the machine's own.
	Network Network
}

// role is what an agent is in its datacenter: one of its servers, or a client of them.
type role interface {
	// Caller carries the calls of the agent's faces.
	Caller() rpc.Caller
	// Snapshots saves and restores the state of datacenters.
	Snapshots() operator.Snapshots
	// Run follows the gossip pools and does the rest of the role until ctx ends.
	Run(ctx context.Context) error
	// Stats are figures by part, for `hanse info`.
	Stats() map[string]map[string]string
	// Leave tells the datacenter that this agent goes for good.
	Leave(ctx context.Context) error
}

// Agent is one running agent.
type Agent struct {
	cfg     *config.Config
	opts    Options
	log     hclog.Logger
	nodeID  string
	metrics *metrics.Registry
	certs   certificates
	lan     *lan.Pool
	wan     *wan.Pool // nil on a client agent and without a WAN port
	role    role
	cache   *cache.Cache
	leaves  *leaf.Manager
	local   *local.State
	events  *event.History
	tokens  *acltoken.Store
	watches *watch.Runner
	exec    *rexec.Runner // nil if remote execution is off
	http    *httpFaces
	dns     *dnsFace
	parts   parts

	leaveOnce sync.Once
	leaveErr  error
	stop      context.CancelCauseFunc
	stopping  context.Context
	presence  presence
}

// errLeft is the cause of the end of an agent that was told to leave.
var errLeft = errors.New("the agent has left")

// New puts an agent together: its ports are open and its gossip runs when New returns.
// [Agent.Run] must follow. After an error everything is closed again.
func New(cfg *config.Config, opts Options) (_ *Agent, err error) {
	a := &Agent{cfg: cfg, opts: opts, log: opts.Log}
	a.stopping, a.stop = context.WithCancelCause(context.Background())
	a.presence = newPresence()
	a.parts.log = a.log
	defer func() {
		if err != nil {
			a.stop(err)
			err = errors.Join(err, a.parts.stop())
		}
	}()
	lock, err := a.openDataDir()
	if err != nil {
		return nil, err
	}
	if a.nodeID, err = nodeID(cfg); err != nil {
		return nil, err
	}
	if err := a.openMetrics(); err != nil {
		return nil, err
	}
	if err := a.openTokens(); err != nil {
		return nil, err
	}
	if a.certs, err = loadCertificates(cfg); err != nil {
		return nil, err
	}
	if opts.Banner != nil {
		banner(opts.Banner, cfg, a.nodeID)
	}
	for _, w := range opts.Warnings {
		a.log.Warn(w)
	}
	if err := a.openRole(lock); err != nil {
		return nil, err
	}
	a.cache = cache.New(cache.Config{
		Caller: a.role.Caller(), FetchRate: cfg.Cache.EntryFetchRate, FetchBurst: cfg.Cache.EntryFetchMaxBurst,
		Registerer: a.metrics, Log: a.log,
	})
	a.openMesh()
	if err := a.openLocal(); err != nil {
		return nil, err
	}
	a.openExec()
	if err := a.openHTTP(); err != nil {
		return nil, err
	}
	if err := a.openDNS(); err != nil {
		return nil, err
	}
	if err := a.openWatches(); err != nil {
		return nil, err
	}
	return a, a.writePIDFile()
}

// openDataDir makes the data directory and locks it. There is none without a
// configured one.
func (a *Agent) openDataDir() (*consensus.DirLock, error) {
	dir := a.cfg.DataDir
	if dir == "" {
		return nil, nil
	}
	lock, err := consensus.LockDir(dir)
	if err != nil {
		return nil, err
	}
	a.parts.add("lock of the data directory", shortly, lock.Unlock)
	return lock, nil
}

func (a *Agent) openMetrics() error {
	t := a.cfg.Telemetry
	registry, err := metrics.New(t.MetricsPrefix, metrics.Filter{Default: t.FilterDefault, Rules: t.PrefixFilter})
	if err != nil {
		return err
	}
	a.metrics = registry
	release, err := registry.Bridge()
	if errors.Is(err, metrics.ErrBridged) {
		a.log.Debug("another agent in this process takes the metrics of its libraries")
		return nil
	}
	if err != nil {
		return err
	}
	a.parts.add("metrics", shortly, func() error { release(); return nil })
	return nil
}

func (a *Agent) writePIDFile() error {
	path := a.cfg.PidFile
	if path == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make the folder of pid_file: %w", err)
	}
	if err := os.WriteFile(path, fmt.Appendf(nil, "%d", os.Getpid()), 0o644); err != nil {
		return fmt.Errorf("write pid_file: %w", err)
	}
	a.parts.add("pid file", shortly, func() error {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
	return nil
}

// The time that each running part has to end. What it is for is said where it runs.
const (
	// shortly is for what ends at once: calls in flight, for example, end with their context.
	// It is there for what is stuck, and nobody is late who was held up by a machine that
	// stood still for a second or two.
	shortly     = 5 * time.Second
	httpWithin  = httpDrain + shortly
	localWithin = 5 * time.Second
	watchWithin = 5 * time.Second
	execWithin  = 5 * time.Second
	// roleWithin is for handing over the lead, for the log, and for calls under way.
	roleWithin   = 15 * time.Second
	cacheWithin  = 5 * time.Second
	leavesWithin = 5 * time.Second
)

// Run runs the agent until ctx ends, or until it has been told to leave, or until one
// of its parts fails. Everything is closed when it returns, the last started first.
func (a *Agent) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { a.stop(context.Cause(ctx)) })
	defer stop()
	a.parts.run("the agent's role", roleWithin, a.fail, a.role.Run)
	a.parts.run("cache", cacheWithin, a.fail, a.cache.Run)
	a.parts.run("certificates of services", leavesWithin, a.fail, a.leaves.Run)
	a.parts.run("joining", shortly, a.fail, a.join)
	a.parts.run("services and checks", localWithin, a.fail, a.presence.keep(a.local.Run))
	if !a.cfg.DisableCoordinates {
		a.parts.run("the coordinate", shortly, a.fail, a.sender().Run)
	}
	if a.exec != nil {
		a.parts.run("remote execution", execWithin, a.fail, a.exec.Run)
	}
	a.parts.run("HTTP", httpWithin, a.fail, a.http.run)
	a.parts.run("DNS", shortly, a.fail, a.dns.run)
	a.parts.run("watches", watchWithin, a.fail, a.runWatches)
	a.log.Info("Started agent", "server", a.cfg.Server, "datacenter", a.cfg.Datacenter, "node", a.cfg.NodeName)
	<-a.stopping.Done()
	// A failure is for the caller to tell, who gets it.
	failure, failed := errors.AsType[*partError](context.Cause(a.stopping))
	if failed {
		a.log.Info("Stopping agent, because a part of it failed")
		return errors.Join(failure, a.parts.stop())
	}
	a.log.Info("Stopping agent", "cause", context.Cause(a.stopping))
	return a.parts.stop()
}

// fail ends the agent because a part of it cannot go on.
func (a *Agent) fail(failure *partError) { a.stop(failure) }

// Caller carries calls as the agent's faces make them.
func (a *Agent) Caller() rpc.Caller { return a.role.Caller() }

// DNSAddrs are the addresses at which DNS is served over UDP.
func (a *Agent) DNSAddrs() []string { return a.dns.addrs() }

// HTTPAddrs are the addresses at which the HTTP API is served.
func (a *Agent) HTTPAddrs() []string { return a.http.addrs() }
