package dnsserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"
)

// Server answers DNS questions.
type Server struct {
	cfg      Config
	log      hclog.Logger
	zones    zones
	settings atomic.Pointer[Settings]
	metrics  *metrics
	memo     *memo
	serial   func() uint32
	// exchange asks another DNS server.
	exchange func(ctx context.Context, network string, m *dns.Msg, addr string) (*dns.Msg, error)
	// running ends what is under way when the server stops.
	running context.Context
	stop    context.CancelFunc
}

// New makes a server. [Server.Run] serves.
func New(cfg Config) *Server {
	s := &Server{
		cfg: cfg, log: cfg.Log, zones: zones{fqdn(cfg.Domain), fqdn(cfg.AltDomain)},
		metrics:  newMetrics(cfg.Registerer, cfg.Node),
		memo:     newMemo(),
		serial:   func() uint32 { return uint32(time.Now().Unix()) },
		exchange: exchange,
	}
	s.running, s.stop = context.WithCancel(context.Background())
	s.Apply(cfg.Settings)
	return s
}

func (s *Server) token() string {
	if s.cfg.Token == nil {
		return ""
	}
	return s.cfg.Token()
}

// Apply takes over other settings, for the questions that come from now on.
func (s *Server) Apply(settings Settings) { s.settings.Store(&settings) }

const (
	// lookupWithin is how long an answer may take. Resolvers ask again after 5 s.
	lookupWithin = 4 * time.Second
	// drain is how long answers that are under way get when the server stops.
	drain = time.Second
	// idle is how long a TCP connection without a question stays open.
	idle = 10 * time.Second
)

// Run answers on the given ports until ctx ends, and closes them.
func (s *Server) Run(ctx context.Context, packets []net.PacketConn, listeners []net.Listener) error {
	g, ctx := errgroup.WithContext(ctx)
	serve := func(srv *dns.Server, network string, addr net.Addr) {
		srv.Handler = s
		srv.IdleTimeout = func() time.Duration { return idle }
		srv.MaxTCPQueries = -1
		started := make(chan struct{})
		srv.NotifyStartedFunc = func() { close(started) }
		g.Go(func() error {
			s.log.Info("Started DNS server", "address", addr.String(), "network", network)
			if err := srv.ActivateAndServe(); err != nil && ctx.Err() == nil {
				return fmt.Errorf("serve DNS on %s %s: %w", network, addr, err)
			}
			return nil
		})
		g.Go(func() error {
			<-ctx.Done()
			<-started
			s.stop()
			ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
			defer cancel()
			if err := srv.ShutdownContext(ending); err != nil && !errors.Is(err, context.DeadlineExceeded) {
				return fmt.Errorf("stop DNS on %s %s: %w", network, addr, err)
			}
			return nil
		})
	}
	for _, conn := range packets {
		serve(&dns.Server{PacketConn: conn}, "udp", conn.LocalAddr())
	}
	for _, ln := range listeners {
		serve(&dns.Server{Listener: ln}, "tcp", ln.Addr())
	}
	return g.Wait()
}

// ServeDNS implements [dns.Handler].
func (s *Server) ServeDNS(w dns.ResponseWriter, msg *dns.Msg) {
	start := time.Now()
	r := newRequest(w, msg, s.settings.Load())
	reply, k := s.reply(r, start)
	s.metrics.observe(k, reply.Rcode, start)
	if err := w.WriteMsg(reply); err != nil {
		s.log.Debug("an answer was not sent", "question", r.Name, "client", w.RemoteAddr(), "error", err)
	}
}

// reply answers a request. The kind is for what is counted.
func (s *Server) reply(r *request, now time.Time) (*dns.Msg, kind) {
	if opt := r.msg.IsEdns0(); opt != nil && opt.Version() != 0 {
		return s.message(r, &answer{rcode: dns.RcodeBadVers}), kindUnknown
	}
	if known := s.memo.get(r, now); known != nil {
		return s.message(r, known.answer), known.kind
	}
	ctx, cancel := context.WithTimeout(s.running, lookupWithin)
	defer cancel()
	if isReverse(r.Name) {
		return s.reverse(ctx, r), kindReverse
	}
	domain, labels, ours := s.zones.of(r.Name)
	if !ours {
		return s.recurse(ctx, r), kindRecursion
	}
	t := parse(domain, labels)
	a := s.find(ctx, r, t)
	if t.kind == kindNode || t.kind == kindService {
		s.memo.put(r, t.kind, a, now)
	}
	return s.message(r, a), t.kind
}
