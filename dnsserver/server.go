package dnsserver

import (
	"context"
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
	warned   atomic.Int64 // when a failure was last logged, in unix nanoseconds
	// running ends what is under way when the server stops.
	running context.Context
	stop    context.CancelFunc
}

// New makes a server. [Server.Run] serves.
func New(cfg Config) *Server {
	s := &Server{
		cfg: cfg, log: cfg.Log, zones: zones{fqdn(cfg.Domain), fqdn(cfg.AltDomain)},
		metrics: newMetrics(cfg.Registerer, cfg.Node), memo: newMemo(),
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
	// lookupWithin is how long an answer from the catalog may take. Resolvers ask again
	// after 5 s.
	lookupWithin = 4 * time.Second
	// packetSize is the longest question that is read over UDP, in bytes.
	packetSize = 1232
	// lookAround is how often the library wakes up to see whether it should end. It need
	// not: it is told.
	lookAround = time.Hour
	// warnEvery is how often failures are warned of at most: there may be thousands each
	// second.
	warnEvery = time.Second
)

// Run answers on the given ports until ctx ends, and closes them.
func (s *Server) Run(ctx context.Context, packets []net.PacketConn, listeners []net.Listener) error {
	defer s.stop()
	g, ctx := errgroup.WithContext(ctx)
	context.AfterFunc(ctx, s.stop)
	for _, conn := range packets {
		s.log.Info("Started DNS server", "address", conn.LocalAddr().String(), "network", "udp")
		g.Go(func() error { return s.servePackets(ctx, conn) })
	}
	for _, ln := range listeners {
		s.log.Info("Started DNS server", "address", ln.Addr().String(), "network", "tcp")
		g.Go(func() error { return s.serveStreams(ctx, ln) })
	}
	return g.Wait()
}

// servePackets answers on a UDP port until ctx ends.
func (s *Server) servePackets(ctx context.Context, conn net.PacketConn) error {
	srv := &dns.Server{PacketConn: conn, Handler: s, UDPSize: packetSize, ReadTimeout: lookAround}
	started := make(chan struct{})
	srv.NotifyStartedFunc = func() { close(started) }
	ended := make(chan error, 1)
	go func() { ended <- srv.ActivateAndServe() }()
	select {
	case <-started:
	case err := <-ended:
		return fmt.Errorf("serve DNS on udp %s: %w", conn.LocalAddr(), err)
	}
	select {
	case err := <-ended:
		return fmt.Errorf("serve DNS on udp %s: %w", conn.LocalAddr(), err)
	case <-ctx.Done():
	}
	if err := srv.Shutdown(); err != nil { // waits for the answers that are under way
		return fmt.Errorf("stop DNS on udp %s: %w", conn.LocalAddr(), err)
	}
	<-ended // with whatever its port said when it was closed
	return nil
}

// ServeDNS implements [dns.Handler] for UDP.
func (s *Server) ServeDNS(w dns.ResponseWriter, msg *dns.Msg) {
	raw := s.pack(s.answer(msg, w.RemoteAddr()))
	if _, err := w.Write(raw); err != nil {
		s.log.Debug("an answer was not sent", "question", msg.Question, "client", w.RemoteAddr(), "error", err)
	}
}

// answer answers one question, and counts it.
func (s *Server) answer(msg *dns.Msg, from net.Addr) *dns.Msg {
	start := time.Now()
	if !isQuestion(msg) {
		s.metrics.observe(kindUnknown, dns.RcodeFormatError, start)
		return refusal(msg.MsgHdr, dns.RcodeFormatError)
	}
	reply, k := s.reply(newRequest(msg, from, s.settings.Load()), start)
	s.metrics.observe(k, reply.Rcode, start)
	return reply
}

// isQuestion tells whether msg asks for something. The library takes a packet that ends
// within its question for one of type 0 or class 0, or for none.
func isQuestion(msg *dns.Msg) bool {
	return len(msg.Question) == 1 && msg.Question[0].Qtype != dns.TypeNone && msg.Question[0].Qclass != 0
}

// pack writes a reply. One that cannot be written, which no name in the catalog should
// lead to, becomes a failure.
func (s *Server) pack(reply *dns.Msg) []byte {
	raw, err := reply.Pack()
	if err == nil {
		return raw
	}
	s.warn("an answer over DNS cannot be written", "question", reply.Question, "error", err)
	raw, err = refusal(reply.MsgHdr, dns.RcodeServerFailure).Pack()
	if err != nil {
		return nil // a header alone is never too long
	}
	return raw
}

// refusal is the answer to what is no question, or cannot be answered: a header.
func refusal(asked dns.MsgHdr, rcode int) *dns.Msg {
	return &dns.Msg{MsgHdr: dns.MsgHdr{Id: asked.Id, Response: true, Opcode: asked.Opcode, Rcode: rcode}}
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
		return s.recurse(r), kindRecursion
	}
	t := parse(domain, labels)
	a := s.find(ctx, r, t)
	if t.kind == kindNode || t.kind == kindService {
		s.memo.put(r, t.kind, a, now)
	}
	return s.message(r, a), t.kind
}

// failed is the answer to a question that could not be answered. It counts and tells of it.
func (s *Server) failed(r *request, err error) *answer {
	s.metrics.fail(err)
	s.warn("a question over DNS could not be answered", "question", r.Name, "type", dns.TypeToString[r.Qtype], "error", err)
	return &answer{rcode: dns.RcodeServerFailure}
}

// warn logs what went wrong, and most of the times only for those who look closely.
func (s *Server) warn(text string, fields ...any) {
	now, last := time.Now().UnixNano(), s.warned.Load()
	if time.Duration(now-last) < warnEvery || !s.warned.CompareAndSwap(last, now) {
		s.log.Debug(text, fields...)
		return
	}
	s.log.Warn(text, fields...)
}
