package checks

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// try makes a check once, against what is really there.
func try(t *testing.T, reach Reach, def Definition) (result, output string) {
	t.Helper()
	def.Interval = time.Minute
	if err := def.Validate(); err != nil {
		t.Fatal(err)
	}
	if def.OutputMaxSize == 0 {
		def.OutputMaxSize = DefaultOutputMaxSize
	}
	probe, err := newProbes(reach).of(&def)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), def.timeout())
	defer cancel()
	return probe(ctx)
}

// until makes a turn that its timeout is to end, with four times as much of that each time,
// until the turn came far enough before: a busy machine may need a while for its beginning.
func until(t *testing.T, timeout time.Duration, turn func(timeout time.Duration) error) {
	t.Helper()
	for {
		err := turn(timeout)
		if err == nil {
			return
		}
		if timeout *= 4; timeout > 2*time.Minute {
			t.Fatal(err)
		}
	}
}

// expect fails unless a check ended as it should, with an output that begins so.
func expect(t *testing.T, result, output, wantResult, wantOutput string) {
	t.Helper()
	if result != wantResult || !strings.HasPrefix(output, wantOutput) {
		t.Errorf("the check is %s: %q; want %s: %q", result, output, wantResult, wantOutput)
	}
}

// trusting is a reach that trusts the certificate of a test server.
func trusting(server *httptest.Server) Reach {
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	return Reach{TLS: func() *tls.Config { return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12} }}
}

// refused is an address at which nobody listens, or can: it is our end of a connection to
// somewhere else.
func refused(t *testing.T, network string) string {
	t.Helper()
	conn, err := net.Dial(network, silent(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.LocalAddr().String()
}

// silent is an address where connections are taken and nothing is said.
func silent(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln.Addr().String()
}

func server(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func tlsServer(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.Config.ErrorLog = quiet()
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}
