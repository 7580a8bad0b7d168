package checks

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/hanse-project/hanse/process"
)

// grpcServer serves with gRPC's own library, with the health service if h is given.
func grpcServer(t *testing.T, h *health.Server, secure *tls.Config) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var options []grpc.ServerOption
	if secure != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(secure)))
	}
	s := grpc.NewServer(options...)
	if h != nil {
		grpc_health_v1.RegisterHealthServer(s, h)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

func TestGRPC(t *testing.T) {
	h := health.NewServer()
	h.SetServingStatus("web", grpc_health_v1.HealthCheckResponse_SERVING)
	h.SetServingStatus("api", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	address := grpcServer(t, h, nil)
	without := grpcServer(t, nil, nil)
	page := server(t, func(http.ResponseWriter, *http.Request) {}).Listener.Addr().String()
	down := refused(t, "tcp")
	for _, c := range []struct {
		name, target, want, output string
	}{
		{"the whole server", address, Passing, "gRPC check " + address + ": success"},
		{"a service", address + "/web", Passing, "gRPC check " + address + "/web: success"},
		{"a service that does not serve", address + "/api", Critical, "gRPC check " + address + "/api: NOT_SERVING"},
		{"a service that nobody knows", address + "/nix", Critical, "gRPC check " + address + "/nix: the health service does not know that service"},
		{"a server without the health service", without, Critical, "gRPC check " + without + ": the server has no health service"},
		{"a server without HTTP/2", page, Critical, "gRPC check " + page},
		{"no server", down, Critical, "gRPC check " + down + ": dial tcp " + down + ": connect: connection refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			result, output := try(t, Reach{}, Definition{GRPC: c.target, Timeout: 5 * time.Second})
			expect(t, result, output, c.want, c.output)
		})
	}
	result, _ := try(t, Reach{}, Definition{GRPC: silent(t), Timeout: 50 * time.Millisecond})
	if result != Critical {
		t.Errorf("a server that says nothing is %s", result)
	}
}

func TestGRPCWithTLS(t *testing.T) {
	certified := tlsServer(t, func(http.ResponseWriter, *http.Request) {})
	address := grpcServer(t, health.NewServer(), &tls.Config{Certificates: certified.TLS.Certificates, MinVersion: tls.VersionTLS12})
	for _, c := range []struct {
		name  string
		reach Reach
		def   Definition
		want  string
	}{
		{"trusted", trusting(certified), Definition{GRPCUseTLS: true}, Passing},
		{"by name", trusting(certified), Definition{GRPCUseTLS: true, TLSServerName: "example.com"}, Passing},
		{"by a wrong name", trusting(certified), Definition{GRPCUseTLS: true, TLSServerName: "example.org"}, Critical},
		{"unknown", Reach{}, Definition{GRPCUseTLS: true}, Critical},
		{"unverified", Reach{}, Definition{GRPCUseTLS: true, TLSSkipVerify: true}, Passing},
		{"without TLS", Reach{}, Definition{}, Critical},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.def.GRPC, c.def.Timeout = address, 5*time.Second
			if result, output := try(t, c.reach, c.def); result != c.want {
				t.Errorf("the check is %s: %q; want %s", result, output, c.want)
			}
		})
	}
}

func TestH2Ping(t *testing.T) {
	secure := tlsServer(t, func(http.ResponseWriter, *http.Request) {})
	address := secure.Listener.Addr().String()
	result, output := try(t, trusting(secure), Definition{H2Ping: address, H2PingUseTLS: true})
	expect(t, result, output, Passing, "HTTP2 ping was successful")
	result, output = try(t, Reach{}, Definition{H2Ping: address, H2PingUseTLS: true})
	expect(t, result, output, Critical, "Failed to dial to "+address+": tls: failed to verify certificate")
	result, output = try(t, Reach{}, Definition{H2Ping: address, H2PingUseTLS: true, TLSSkipVerify: true})
	expect(t, result, output, Passing, "HTTP2 ping was successful")

	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	plain := &http.Server{Handler: http.NotFoundHandler(), Protocols: &protocols, ErrorLog: quiet()}
	done := make(chan struct{})
	go func() { defer close(done); _ = plain.Serve(ln) }()
	t.Cleanup(func() { plain.Close(); <-done })
	result, output = try(t, Reach{}, Definition{H2Ping: ln.Addr().String()})
	expect(t, result, output, Passing, "HTTP2 ping was successful")

	page := server(t, func(http.ResponseWriter, *http.Request) {}).Listener.Addr().String()
	result, output = try(t, Reach{}, Definition{H2Ping: page, Timeout: 5 * time.Second})
	expect(t, result, output, Critical, "HTTP2 ping failed")
	old := tlsServerWithoutHTTP2(t)
	result, output = try(t, Reach{}, Definition{H2Ping: old, H2PingUseTLS: true, TLSSkipVerify: true, Timeout: 5 * time.Second})
	if result != Critical {
		t.Errorf("a server that has no HTTP/2 is %s: %q", result, output)
	}
	result, _ = try(t, Reach{}, Definition{H2Ping: silent(t), Timeout: 50 * time.Millisecond})
	if result != Critical {
		t.Errorf("a server that says nothing is %s", result)
	}
}

func tlsServerWithoutHTTP2(t *testing.T) string {
	t.Helper()
	s := tlsServer(t, func(http.ResponseWriter, *http.Request) {})
	ln := tls.NewListener(mustListen(t), &tls.Config{Certificates: s.TLS.Certificates, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
	plain := &http.Server{Handler: http.NotFoundHandler(), ErrorLog: quiet()}
	done := make(chan struct{})
	go func() { defer close(done); _ = plain.Serve(ln) }()
	t.Cleanup(func() { plain.Close(); <-done })
	return ln.Addr().String()
}

func mustListen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func TestAnswersOfTheHealthServiceThatCannotBeRead(t *testing.T) {
	for _, raw := range []string{"", "\x00", "\x00\x00\x00\x00\x02\x08", "\x01\x00\x00\x00\x00", "\x00\x00\x00\x00\x01\x08", "\x00\xff\xff\xff\xff"} {
		if state, err := healthState([]byte(raw)); err == nil {
			t.Errorf("%q is read as %d", raw, state)
		}
	}
	if state, err := healthState([]byte("\x00\x00\x00\x00\x00")); err != nil || state != 0 {
		t.Errorf("an empty message is %d, %v; want the zero state", state, err)
	}
	if state, err := healthState([]byte("\x00\x00\x00\x00\x05\x12\x01x\x08\x01")); err != nil || state != serving {
		t.Errorf("a message with a field of tomorrow is %d, %v; want SERVING", state, err)
	}
}

func FuzzHealthState(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x02\x08\x01"))
	f.Add([]byte("\x00\x00\x00\x00\x05\x12\x01x\x08\x01"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, err := healthState(raw); err == nil && len(raw) < 5 {
			t.Errorf("%q is read", raw)
		}
		if strings.Contains(process.Readable(string(raw)), "\xff") {
			t.Errorf("%q is not made readable", raw)
		}
	})
}

// wire is a server that has said all it will.
type wire struct {
	io.Reader
	io.Writer
}

func FuzzPing(f *testing.F) {
	var good bytes.Buffer
	out := http2.NewFramer(&good, nil)
	if err := errors.Join(out.WriteSettings(), out.WriteSettingsAck(), out.WritePing(true, [8]byte{'h', 'e', 'a', 'l', 't', 'h'})); err != nil {
		f.Fatal(err)
	}
	if err := ping(wire{bytes.NewReader(good.Bytes()), io.Discard}); err != nil {
		f.Fatalf("a good answer: %v", err)
	}
	f.Add(good.Bytes())
	f.Add(good.Bytes()[:good.Len()-1])
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := ping(wire{bytes.NewReader(raw), io.Discard}); err == nil && !bytes.Contains(raw, []byte("health\x00\x00")) {
			t.Errorf("%q counts as an answer", raw)
		}
	})
}
