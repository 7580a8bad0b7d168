package forwarder

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/hashicorp/yamux"

	"github.com/hanse-project/hanse/rpc"
)

// dial opens a connection and writes to it.
func dial(t testing.TB, addr string, write ...byte) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patienceOfTests)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(write); err != nil {
		t.Fatal(err)
	}
	return conn
}

func wantClosed(t testing.TB, conn net.Conn) {
	t.Helper()
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, context.DeadlineExceeded) || isDeadline(err) {
		t.Fatal("the connection is still open")
	}
}

// plainCall makes a call on a stream by hand.
func plainCall(t testing.TB, conn net.Conn, r *bufio.Reader, method string, req any) (header, *message) {
	t.Helper()
	m := newMessage()
	h := header{seq: 7, method: method}
	m.head = h.appendRequest(m.head[:0])
	if err := m.encodeBody(req); err != nil {
		t.Fatal(err)
	}
	if err := m.write(conn, time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := m.read(r, 1<<20); err != nil {
		t.Fatal(err)
	}
	reply, err := parseHeader(m.head)
	if err != nil {
		t.Fatal(err)
	}
	if reply.seq != 7 || reply.method != method {
		t.Fatalf("the reply says %+v", reply)
	}
	return reply, m
}

func TestPlainConnectionCarriesCallsOneAfterAnother(t *testing.T) {
	b := startBackend(t, "b1")
	conn := dial(t, b.addr, bytePlain)
	r := bufio.NewReader(conn)
	for range 3 {
		h, m := plainCall(t, conn, r, echo.Name, text("x"))
		var reply textReply
		if err := m.decodeBody(&reply); err != nil || h.err != "" || reply.Text != "x@b1" {
			t.Fatalf("got %+v, %+v, %v", h, reply, err)
		}
	}
	if h, _ := plainCall(t, conn, r, echo.Name, text("error: no")); h.err != "no" {
		t.Fatalf("got %+v", h)
	}
	plainCall(t, conn, r, echo.Name, text("the connection stays usable"))
}

func TestCallThatEndsWithItsServerHasNoAnswer(t *testing.T) {
	b := &backend{name: "b1", abandoned: make(chan struct{}, 1)}
	l := NewListener(ListenerConfig{Dispatcher: b})
	near, far := net.Pipe()
	defer near.Close()
	if err := near.SetDeadline(time.Now().Add(patienceOfTests)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var serving sync.WaitGroup
	serving.Go(func() {
		defer far.Close()
		l.serveStream(ctx, far)
	})
	m := newMessage()
	h := header{seq: 7, method: wait.Name}
	m.head = h.appendRequest(m.head[:0])
	if err := m.encodeBody(text("")); err != nil {
		t.Fatal(err)
	}
	if err := m.write(near, patienceOfTests); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the call waits", func() bool { return b.waiting.Load() == 1 })
	cancel()
	if n, err := near.Read(make([]byte, 1)); n > 0 || err != io.EOF {
		t.Errorf("the caller reads %d bytes, %v", n, err)
	}
	near.Close()
	serving.Wait()
}

func TestCallsThatCannotBeReadEndTheStream(t *testing.T) {
	b := startBackend(t, "b1")
	for name, c := range map[string]struct {
		method, want string
		reason       rpc.Reason
		req          any
	}{
		"an unknown method":       {"Test.Nope", "rpc: can't find method Test.Nope", rpc.ReasonUnknownMethod, text("")},
		"a method without a dot":  {"Nope", "rpc: service/method request ill-formed: Nope", rpc.ReasonInvalid, text("")},
		"a body of another shape": {echo.Name, "", rpc.ReasonInvalid, "text"},
	} {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, b.addr, bytePlain)
			h, m := plainCall(t, conn, bufio.NewReader(conn), c.method, c.req)
			if h.err == "" || c.want != "" && h.err != c.want || h.reason != c.reason || string(m.body) != "\x80" {
				t.Fatalf("got %+v and the body %x", h, m.body)
			}
			wantClosed(t, conn)
		})
	}
}

func TestRequestBeyondTheLimitIsRefused(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	startListener(t, ListenerConfig{Dispatcher: &backend{name: "small"}, MaxRequest: 1000}, ln)
	r := startRouter(t, Config{Picker: fixedPicker{"there": servers(ln.Addr().String())}})
	_, err = echo.Call(t.Context(), toDC{r, "there"}, text(strings.Repeat("x", 2000)))
	if !errors.Is(err, rpc.ErrTooLarge) || !strings.Contains(err.Error(), "is too large") {
		t.Fatalf("got %v", err)
	}
	if _, err := echo.Call(t.Context(), toDC{r, "there"}, text("x")); err != nil {
		t.Fatal(err)
	}
}

func TestGarbageClosesItsConnectionAndNoOther(t *testing.T) {
	b := startBackend(t, "b1")
	r := startRouter(t, Config{Picker: fixedPicker{"there": servers(b.addr)}})
	for name, garbage := range map[string][]byte{
		"an old protocol":           {2},
		"gossip":                    {6},
		"gRPC":                      append([]byte{8}, "PRI * HTTP/2.0"...),
		"HTTP":                      []byte("GET / HTTP/1.1\r\n\r\n"),
		"TLS where none is spoken":  {byteTLS, 0x16, 3, 1},
		"raft where none is":        {byteRaft, 0},
		"yamux of no version":       {byteMultiplex, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9},
		"a yamux frame too long":    {byteMultiplex, 0, 0, 0, 1, 0, 0, 0, 1, 255, 255, 255, 255, 1, 2, 3},
		"a plain call of no value":  {bytePlain, 0xc1},
		"a header that is no map":   {bytePlain, 0x91, 1, 0x80},
		"a header of another shape": {bytePlain, 0x81, 0xa3, 'S', 'e', 'q', 0xa1, 'x', 0x80},
	} {
		t.Run(name, func(t *testing.T) {
			wantClosed(t, dial(t, b.addr, garbage...))
			if _, err := echo.Call(t.Context(), toDC{r, "there"}, text("x")); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestHalfOpenAndSlowConnectionsHoldNobodyUp(t *testing.T) {
	b := startBackend(t, "b1")
	r := startRouter(t, Config{Picker: fixedPicker{"there": servers(b.addr)}})
	for range 50 {
		dial(t, b.addr)                                  // says nothing
		dial(t, b.addr, bytePlain)                       // calls nothing
		dial(t, b.addr, bytePlain, 0x82, 0xa3, 'S', 'e') // ends in the middle
		dial(t, b.addr, byteMultiplex)
	}
	for range 20 {
		if _, err := echo.Call(t.Context(), toDC{r, "there"}, text("x")); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCallerThatReadsNothingHoldsNobodyUp(t *testing.T) {
	b := startBackend(t, "b1")
	conn := dial(t, b.addr, byteMultiplex)
	mux, err := yamux.Client(conn, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer mux.Close()
	m := newMessage()
	h := header{method: list.Name}
	m.head = h.appendRequest(nil)
	if err := m.encodeBody(text("")); err != nil {
		t.Fatal(err)
	}
	for range 20 { // 16 MB each, of which nothing is read
		stream, err := mux.Open()
		if err != nil {
			t.Fatal(err)
		}
		if err := m.write(stream, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all lists are under way", func() bool { return b.calls.Load() == 20 })
	stream, err := mux.Open()
	if err != nil {
		t.Fatal(err)
	}
	if h, _ := plainCall(t, stream, bufio.NewReader(stream), echo.Name, text("x")); h.err != "" {
		t.Fatalf("got %+v", h)
	}
}

func TestFloodOfStreamsIsCutOff(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	startListener(t, ListenerConfig{Dispatcher: &backend{name: "b"}, MaxStreams: 10}, ln)
	mux, err := yamux.Client(dial(t, ln.Addr().String(), byteMultiplex), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer mux.Close()
	for i := range 12 {
		stream, err := mux.Open()
		if err != nil {
			t.Fatal(err)
		}
		if i >= 10 {
			wantClosed(t, stream)
			continue
		}
		if h, _ := plainCall(t, stream, bufio.NewReader(stream), echo.Name, text("x")); h.err != "" {
			t.Fatalf("stream %d: %+v", i, h)
		}
	}
}

func TestEndOfASessionWithManyStreamsIsCheap(t *testing.T) {
	b := startBackend(t, "b1")
	way := startProxy(t, b.addr)
	r := startRouter(t, Config{Picker: fixedPicker{"there": servers(way.addr)}})
	var wg sync.WaitGroup
	const queries = 600
	for range queries {
		wg.Go(func() {
			req := text("")
			req.MinQueryIndex = 1
			if _, err := wait.Call(t.Context(), toDC{r, "there"}, req); rpc.ReasonOf(err) != rpc.ReasonNoLiveServer && rpc.ReasonOf(err) != rpc.ReasonBreakerOpen {
				t.Errorf("got %v", err)
			}
		})
	}
	eventually(t, "all wait", func() bool { return b.waiting.Load() == queries })
	way.Cut()
	wg.Wait()
	for range queries {
		<-b.abandoned
	}
}

func TestConnectionsOfOneClientAreBounded(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	startListener(t, ListenerConfig{Dispatcher: &backend{name: "b"}, MaxConnsPerClient: 2}, ln)
	addr := ln.Addr().String()
	call := func(conn net.Conn) { plainCall(t, conn, bufio.NewReader(conn), echo.Name, text("x")) }
	first, second := dial(t, addr, bytePlain), dial(t, addr, bytePlain)
	call(first)
	call(second)
	wantClosed(t, dial(t, addr, bytePlain))
	first.Close()
	eventually(t, "there is room again", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		defer conn.Close()
		m := newMessage()
		h := header{method: echo.Name}
		m.head = h.appendRequest([]byte{bytePlain})
		return m.encodeBody(text("x")) == nil && m.write(conn, time.Minute) == nil && m.read(bufio.NewReader(conn), 1<<20) == nil
	})
	other, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 77)}}).Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.Write([]byte{bytePlain}); err != nil {
		t.Fatal(err)
	}
	call(other)
}

func TestRaftHasConnectionsOfItsOwn(t *testing.T) {
	for name, secure := range map[string]bool{"plain": false, "over TLS": true} {
		t.Run(name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var server, client *tls.Config
			if secure {
				server, client = certificates(t)
			}
			layer := NewRaftLayer(&Dialer{TLS: func(string) *tls.Config { return client }}, "here", ln.Addr())
			stop := startListener(t, ListenerConfig{
				Dispatcher: &backend{name: "b"}, Raft: layer, TLS: func() *tls.Config { return server }, RequireTLS: secure,
			}, ln)
			accepted := make(chan net.Conn, 1)
			go func() {
				conn, err := layer.Accept()
				if err != nil {
					t.Error(err)
				}
				accepted <- conn
			}()
			if _, err := layer.Dial("", time.Second); err == nil {
				t.Fatal("dialled an empty address")
			}
			out, err := layer.Dial(raft.ServerAddress(layer.Addr().String()), patienceOfTests)
			if err != nil {
				t.Fatal(err)
			}
			in := <-accepted
			if _, err := out.Write([]byte("log entry")); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 9)
			if _, err := io.ReadFull(in, got); err != nil || string(got) != "log entry" {
				t.Fatalf("got %q, %v", got, err)
			}
			stop()
			if _, err := in.Write([]byte("raft's to close")); err != nil {
				t.Fatal(err)
			}
			in.Close()
			out.Close()
			layer.Close()
			if _, err := layer.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Fatalf("got %v", err)
			}
		})
	}
}

// certificates makes the configurations of a server and of a client that trusts it.
func certificates(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, DNSNames: []string{"server.there.consul"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	pair := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert},
		&tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, ServerName: "server.there.consul"}
}

func startSecureBackend(t *testing.T, server *tls.Config) *backend {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{name: "secure", addr: ln.Addr().String(), abandoned: make(chan struct{}, 8)}
	startListener(t, ListenerConfig{Dispatcher: b, TLS: func() *tls.Config { return server }, RequireTLS: true}, ln)
	return b
}

func TestCallsOverTLS(t *testing.T) {
	server, client := certificates(t)
	b := startSecureBackend(t, server)
	r := startRouter(t, Config{
		Picker: fixedPicker{"there": servers(b.addr)},
		Dialer: Dialer{TLS: func(dc string) *tls.Config {
			if dc != "there" {
				t.Errorf("asked for the configuration of %q", dc)
			}
			return client
		}},
	})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if reply, err := echo.Call(t.Context(), toDC{r, "there"}, text("x")); err != nil || reply.Text != "x@secure" {
				t.Errorf("got %+v, %v", reply, err)
			}
		})
	}
	wg.Wait()
}

func TestCertificatesThatDoNotAgreeAreTheReason(t *testing.T) {
	server, client := certificates(t)
	_, stranger := certificates(t)
	nameless := client.Clone()
	nameless.Certificates = nil
	misnamed := client.Clone()
	misnamed.ServerName = "server.elsewhere.consul"
	for name, config := range map[string]*tls.Config{
		"we do not know theirs": stranger, "they do not know ours": nameless, "theirs has another name": misnamed,
	} {
		t.Run(name, func(t *testing.T) {
			b := startSecureBackend(t, server)
			r := startRouter(t, Config{
				Picker: fixedPicker{"there": servers(b.addr)},
				Dialer: Dialer{TLS: func(string) *tls.Config { return config }},
			})
			_, err := echo.Call(t.Context(), toDC{r, "there"}, text("x"))
			wantReason(t, err, rpc.ReasonTLS, rpc.ErrUnreachable.Text)
			t.Log(err)
		})
	}
}

func TestUnencryptedConnectionsAreRefusedWhereTLSIsRequired(t *testing.T) {
	server, client := certificates(t)
	b := startSecureBackend(t, server)
	wantClosed(t, dial(t, b.addr, bytePlain))
	wantClosed(t, dial(t, b.addr, byteMultiplex))
	nested := tls.Client(dial(t, b.addr, byteTLS), client)
	if _, err := nested.Write([]byte{byteTLS}); err != nil {
		t.Fatal(err)
	}
	wantClosed(t, nested)
}

func TestTLSFromTheFirstByteSaysInsideWhatItCarries(t *testing.T) {
	server, client := certificates(t)
	b := startSecureBackend(t, server)
	open := func(protocols ...string) *tls.Conn {
		config := client.Clone()
		config.NextProtos = protocols
		return tls.Client(dial(t, b.addr), config)
	}
	plain := open("something/else", alpnPlain)
	plainCall(t, plain, bufio.NewReader(plain), echo.Name, text("x"))
	mux, err := yamux.Client(open(alpnMultiplex), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer mux.Close()
	stream, err := mux.Open()
	if err != nil {
		t.Fatal(err)
	}
	plainCall(t, stream, bufio.NewReader(stream), echo.Name, text("x"))
	if err := open("consul/rpc-gossip").Handshake(); err == nil {
		t.Fatal("a protocol that is not spoken was agreed on")
	}
	silent := open()
	if err := silent.Handshake(); err == nil {
		wantClosed(t, silent)
	}
}

// decodeOnly answers every call at once.
type decodeOnly struct{}

// Serve implements Dispatcher.
func (decodeOnly) Serve(_ context.Context, method string, decode func(rpc.Request) error) (any, error) {
	req := new(textRequest)
	return req, decode(req)
}

func FuzzConnection(f *testing.F) {
	for _, e := range recorded(f) {
		f.Add(bytes.Join([][]byte{{bytePlain}, e.RequestHeader, e.RequestBody}, nil))
	}
	f.Add([]byte{byteMultiplex, 0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0})
	l := NewListener(ListenerConfig{Dispatcher: decodeOnly{}, MaxRequest: 1 << 16})
	f.Fuzz(func(t *testing.T, data []byte) {
		client, server := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			l.handle(context.Background(), server)
		}()
		go io.Copy(io.Discard, client)
		client.Write(data)
		client.Close()
		<-done
	})
}
