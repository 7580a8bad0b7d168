package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/config"
	"github.com/hanse-project/hanse/httpapi"
	"github.com/hanse-project/hanse/operator"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/ui"
	"github.com/hanse-project/hanse/version"
)

const (
	unixPrefix = "unix://"
	// httpDrain is how long requests may go on when the agent stops.
	httpDrain = 2 * time.Second
)

// httpFaces are the ports of the HTTP API.
type httpFaces struct {
	server    *http.Server
	listeners []net.Listener
	// inside is the port for this process.
	inside *insideListener
	// requests are made of it.
	requests *http.Transport
	log      hclog.Logger
}

// openHTTP opens the ports of the HTTP API. Nothing is answered before Run.
func (a *Agent) openHTTP() error {
	cfg := a.cfg
	f := &httpFaces{log: a.log.Named("http"), inside: newInsideListener()}
	f.requests = f.inside.transport()
	a.http = f
	a.parts.add("HTTP ports", shortly, func() error {
		for _, ln := range f.listeners {
			ln.Close() // the server closed those it served
		}
		return nil
	})
	limit := newConnLimit(cfg.Limits.HTTPMaxConnsPerClient)
	open := func(addr, key string, conf *tls.Config) error {
		ln, err := a.openHTTPPort(addr, key)
		if err != nil {
			return err
		}
		ln = limit.wrap(ln)
		if conf != nil {
			ln = tls.NewListener(ln, conf)
		}
		f.listeners = append(f.listeners, ln)
		return nil
	}
	for _, addr := range cfg.HTTPAddrs {
		if err := open(addr, "client_addr, ports.http", nil); err != nil {
			return err
		}
	}
	for _, addr := range cfg.HTTPSAddrs {
		conf := a.certs.https.Server("h2", "http/1.1")
		if conf == nil {
			return fmt.Errorf("serve HTTPS on %s: no certificate: set tls.https.cert_file and key_file, or ports.https to -1", addr)
		}
		if err := open(addr, "client_addr, ports.https", conf); err != nil {
			return err
		}
	}
	f.server = httpapi.NewServer(a.newAPI(), f.log)
	if cfg.HTTP.MaxHeaderBytes > 0 {
		f.server.MaxHeaderBytes = cfg.HTTP.MaxHeaderBytes
	}
	return nil
}

func (a *Agent) newAPI() http.Handler {
	cfg := a.cfg
	face := httpapi.Config{
		Caller: a.role.Caller(), Agent: &self{agent: a}, Local: a.local, Events: a.events, Leaves: a.leaves, Snapshots: archives{a.role.Snapshots()}, Resolver: rpc.AllowAll{}, Datacenter: cfg.Datacenter,
		TranslateWAN: cfg.TranslateWANAddr, Waits: waits(cfg), Profiles: cfg.EnableDebug,
		MaxValue: int64(cfg.Limits.KVMaxValueSize), MaxTxn: int64(cfg.Limits.TxnMaxReqLen),
		ResponseHeaders: cfg.HTTP.ResponseHeaders, BlockEndpoints: cfg.HTTP.BlockEndpoints, AllowWriteFrom: prefixes(cfg.HTTP.AllowWriteFrom),
		Node: cfg.NodeName, Tokens: a.tokens, ACLs: cfg.ACL.Enabled, Log: a.log.Named("http"),
	}
	if cfg.HTTP.UseCache {
		face.Cache = a.cache
	}
	if cfg.UI {
		face.UI = ui.New(ui.Config{
			Caller: a.role.Caller(), Datacenter: cfg.Datacenter, Node: cfg.NodeName, Version: version.Hanse, Log: a.log.Named("ui"),
		})
	}
	return httpapi.New(face)
}

// waits is how long blocking queries wait.
func waits(cfg *config.Config) rpc.Waits {
	return rpc.Waits{Default: cfg.DefaultQueryTime, Max: cfg.MaxQueryTime}
}

// prefixes are the networks of http_config.allow_write_http_from, which were checked
// with the configuration.
func prefixes(cidrs []string) []netip.Prefix {
	var all []netip.Prefix
	for _, cidr := range cidrs {
		if p, err := netip.ParsePrefix(cidr); err == nil {
			all = append(all, p)
		}
	}
	return all
}

func (a *Agent) openHTTPPort(addr, key string) (net.Listener, error) {
	path, unix := strings.CutPrefix(addr, unixPrefix)
	if !unix {
		return a.opts.Network.listen("tcp", addr, key)
	}
	if err := removeOldSocket(path); err != nil {
		return nil, fmt.Errorf("serve HTTP on %s: %w", addr, err)
	}
	ln, err := a.opts.Network.listen("unix", path, key)
	if err != nil {
		return nil, err
	}
	if err := own(path, a.cfg.UnixSockets); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return ln, nil
}

// removeOldSocket makes room where an earlier run left its socket. Nothing else is
// removed, nor a socket that somebody answers at.
func removeOldSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("%s exists and is no socket: name another file, or move it away", path)
	}
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return fmt.Errorf("%s is in use: stop who answers there, or name another file", path)
	}
	return os.Remove(path)
}

// own gives a socket file to whom the configuration says.
func own(path string, to config.UnixSockets) error {
	id := func(text string) (int, error) {
		if text == "" {
			return -1, nil
		}
		return strconv.Atoi(text)
	}
	user, err := id(to.User)
	if err != nil {
		return fmt.Errorf("unix_sockets.user %q: use a numeric user ID", to.User)
	}
	group, err := id(to.Group)
	if err != nil {
		return fmt.Errorf("unix_sockets.group %q: use a numeric group ID", to.Group)
	}
	if err := os.Chown(path, user, group); err != nil {
		return fmt.Errorf("give %s to its owner (unix_sockets): %w", path, err)
	}
	if to.Mode == "" {
		return nil
	}
	mode, err := strconv.ParseUint(to.Mode, 8, 32)
	if err != nil {
		return fmt.Errorf("unix_sockets.mode %q: use octal digits", to.Mode)
	}
	return os.Chmod(path, os.FileMode(mode))
}

// archives are the snapshots as the HTTP face asks for them.
type archives struct{ operator.Snapshots }

var _ httpapi.Snapshots = archives{}

// Save implements [httpapi.Snapshots].
func (s archives) Save(ctx context.Context, req httpapi.SnapshotRequest, w io.Writer, about func(*rpc.Meta)) error {
	return s.Snapshots.Save(ctx, &operator.SnapshotRequest{
		Op: operator.SaveSnapshot, Datacenter: req.Datacenter, Token: req.Token, AllowStale: req.Stale,
	}, w, about)
}

// Restore implements [httpapi.Snapshots].
func (s archives) Restore(ctx context.Context, req httpapi.SnapshotRequest, r io.Reader) (any, error) {
	return s.Snapshots.Restore(ctx, &operator.SnapshotRequest{
		Op: operator.RestoreSnapshot, Datacenter: req.Datacenter, Token: req.Token,
	}, r)
}

// run serves until ctx ends, and then lets requests finish for a moment. Those that
// only wait for a change are ended before the time is over.
func (f *httpFaces) run(ctx context.Context) error {
	requests, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	f.server.BaseContext = func(net.Listener) context.Context { return requests }
	errs := make([]error, len(f.listeners))
	var wg sync.WaitGroup
	for i, ln := range f.listeners {
		wg.Go(func() {
			f.log.Info("Started HTTP server", "address", ln.Addr().String(), "network", ln.Addr().Network())
			if err := f.server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
				errs[i] = fmt.Errorf("serve HTTP on %s: %w", ln.Addr(), err)
				f.server.Close() // one port of several is not enough
			}
		})
	}
	wg.Go(func() { _ = f.server.Serve(f.inside) }) // which fails when the server is closed, and not before
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		defer end()
		drain, cancel := context.WithTimeout(context.Background(), httpDrain)
		defer cancel()
		waits := time.AfterFunc(httpDrain/4, end)
		defer waits.Stop()
		if f.server.Shutdown(drain) != nil {
			f.server.Close()
		}
	})
	wg.Wait()
	if !stop() {
		<-stopped
	}
	return errors.Join(errs...)
}

// addrs are the addresses served.
func (f *httpFaces) addrs() []string {
	addrs := make([]string, len(f.listeners))
	for i, ln := range f.listeners {
		addrs[i] = ln.Addr().String()
	}
	return addrs
}
