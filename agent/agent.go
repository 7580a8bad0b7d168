package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/config"
	"github.com/hanse-project/hanse/consensus"
	"github.com/hanse-project/hanse/lan"
	"github.com/hanse-project/hanse/metrics"
	"github.com/hanse-project/hanse/operator"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/tlsconf"
	"github.com/hanse-project/hanse/wan"
)

// Options is what an agent gets besides its configuration.
type Options struct {
	// Log takes the log lines. Its level follows the configuration on a reload.
	Log hclog.Logger
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
	http    *httpFaces
	parts   parts

	leaveOnce sync.Once
	leaveErr  error
	stop      context.CancelCauseFunc
	stopping  context.Context
}

// errLeft is the cause of the end of an agent that was told to leave.
var errLeft = errors.New("the agent has left")

// New puts an agent together: its ports are open and its gossip runs when New returns.
// [Agent.Run] must follow. After an error everything is closed again.
func New(cfg *config.Config, opts Options) (_ *Agent, err error) {
	a := &Agent{cfg: cfg, opts: opts, log: opts.Log}
	a.stopping, a.stop = context.WithCancelCause(context.Background())
	a.parts.log = a.log
	defer func() {
		if err != nil {
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
	if a.certs, err = loadCertificates(cfg); err != nil {
		return nil, err
	}
	if opts.Banner != nil {
		banner(opts.Banner, cfg, a.nodeID)
	}
	if err := a.openRole(lock); err != nil {
		return nil, err
	}
	if err := a.openHTTP(); err != nil {
		return nil, err
	}
	return a, a.writePIDFile()
}

// openDataDir makes the data directory and locks it.
func (a *Agent) openDataDir() (*consensus.DirLock, error) {
	dir := a.cfg.DataDir
	if dir == "" {
		return nil, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the data directory (data_dir): %w", err)
	}
	probe, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return nil, fmt.Errorf("the data directory %s (data_dir) cannot be written: %w; give its owner the right to, or choose another", dir, err)
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return nil, fmt.Errorf("the data directory %s (data_dir): %w", dir, err)
	}
	lock, err := consensus.LockDir(dir)
	if err != nil {
		return nil, err
	}
	a.parts.add("lock of the data directory", time.Second, lock.Unlock)
	return lock, nil
}

func (a *Agent) openMetrics() error {
	registry, err := metrics.New(a.cfg.Telemetry.MetricsPrefix)
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
	a.parts.add("metrics", time.Second, func() error { release(); return nil })
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
	a.parts.add("pid file", time.Second, func() error { return os.Remove(path) })
	return nil
}

// Run runs the agent until ctx ends, or until it has been told to leave, or until one
// of its parts fails. Everything is closed when it returns.
func (a *Agent) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { a.stop(context.Cause(ctx)) })
	defer stop()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failure error
	run := func(what string, do func(context.Context) error) {
		wg.Go(func() {
			if err := do(a.stopping); err != nil && a.stopping.Err() == nil {
				mu.Lock()
				failure = errors.Join(failure, fmt.Errorf("%s: %w", what, err))
				mu.Unlock()
				a.stop(err)
			}
		})
	}
	run("run the agent", a.role.Run)
	run("join", a.join)
	run("serve HTTP", a.http.run)
	announce := announcer{caller: a.role.Caller(), node: a.nodeInfo(), log: a.log}
	run("announce this node", announce.Run)
	a.log.Info("Started agent", "server", a.cfg.Server, "datacenter", a.cfg.Datacenter, "node", a.cfg.NodeName)
	wg.Wait()
	a.log.Info("Stopping agent", "cause", context.Cause(a.stopping))
	return errors.Join(failure, a.parts.stop())
}

// Caller carries calls as the agent's faces make them.
func (a *Agent) Caller() rpc.Caller { return a.role.Caller() }

// HTTPAddrs are the addresses at which the HTTP API is served.
func (a *Agent) HTTPAddrs() []string { return a.http.addrs() }

// certificates are those of the interfaces.
type certificates struct{ rpc, https *tlsconf.Certificates }

func loadCertificates(cfg *config.Config) (c certificates, err error) {
	if c.rpc, err = tlsconf.New(tlsconf.Options(cfg.TLS.InternalRPC)); err != nil {
		return c, fmt.Errorf("tls.internal_rpc: %w", err)
	}
	if c.https, err = tlsconf.New(tlsconf.Options(cfg.TLS.HTTPS)); err != nil {
		return c, fmt.Errorf("tls.https: %w", err)
	}
	return c, nil
}
