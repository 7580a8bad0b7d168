package httpapi

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// nowhere is a writer that keeps headers as a server does, and no body.
type nowhere struct {
	header http.Header
	status int
	bytes  int
}

func (n *nowhere) Header() http.Header         { return n.header }
func (n *nowhere) WriteHeader(status int)      { n.status = status }
func (n *nowhere) Write(p []byte) (int, error) { n.bytes += len(p); return len(p), nil }

func benchmarkRequest(b *testing.B, method, target, body string, header http.Header) {
	face, srv := newFace(b, nil)
	for i := range 1000 {
		srv.put(b, fmt.Sprintf("config/app-%04d", i), strings.Repeat("v", 128))
	}
	u, err := url.ParseRequestURI(target)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		w := &nowhere{header: http.Header{}, status: http.StatusOK}
		r := &http.Request{Method: method, URL: u, Header: header, Body: http.NoBody, RemoteAddr: "127.0.0.1:1"}
		if body != "" {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		}
		if face.ServeHTTP(w, r); w.status != http.StatusOK {
			b.Fatalf("status %d", w.status)
		}
	}
}

func BenchmarkKVGet(b *testing.B) {
	benchmarkRequest(b, "GET", "/v1/kv/config/app-0500", "", http.Header{"Accept-Encoding": {"gzip"}})
}

func BenchmarkKVGetStale(b *testing.B) {
	benchmarkRequest(b, "GET", "/v1/kv/config/app-0500?stale", "", nil)
}

func BenchmarkKVPut(b *testing.B) {
	benchmarkRequest(b, "PUT", "/v1/kv/config/app-0500", strings.Repeat("v", 128), nil)
}

func BenchmarkKVRecurse(b *testing.B) {
	benchmarkRequest(b, "GET", "/v1/kv/config/?recurse", "", nil)
}

func BenchmarkKVRecurseCompressed(b *testing.B) {
	benchmarkRequest(b, "GET", "/v1/kv/config/?recurse", "", http.Header{"Accept-Encoding": {"gzip"}})
}

func BenchmarkTxn(b *testing.B) {
	ops := strings.Repeat(`{"KV":{"Verb":"set","Key":"config/app-0500","Value":"dmFsdWU="}},`, 64)
	benchmarkRequest(b, "PUT", "/v1/txn", "["+strings.TrimSuffix(ops, ",")+"]", nil)
}

// BenchmarkKVGetServed is a get through a connection, next to a handler that does nothing.
func BenchmarkKVGetServed(b *testing.B) {
	face, srv := newFace(b, nil)
	srv.put(b, "config/a", strings.Repeat("v", 128))
	bare := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("true")) })
	for name, h := range map[string]http.Handler{"face": face, "bare": bare} {
		b.Run(name, func(b *testing.B) {
			s := listen(b, h)
			b.ReportAllocs()
			b.SetParallelism(32)
			transport := &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}
			defer transport.CloseIdleConnections()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					get(b, transport, s)
				}
			})
		})
	}
}

func get(b *testing.B, transport *http.Transport, s *httptest.Server) {
	req, err := http.NewRequest("GET", s.URL+"/v1/kv/config/a", nil)
	if err != nil {
		b.Error(err)
		return
	}
	rep, err := transport.RoundTrip(req)
	if err != nil {
		b.Error(err)
		return
	}
	_, _ = io.Copy(io.Discard, rep.Body)
	rep.Body.Close()
}

func BenchmarkHealthOf10(b *testing.B) { benchmarkHealth(b, 10) }

func BenchmarkHealthOf1000(b *testing.B) { benchmarkHealth(b, 1000) }

func benchmarkHealth(b *testing.B, instances int) {
	face, _ := newFace(b, nil)
	for i := range instances {
		body := fmt.Sprintf(`{"Node":"n%04d","Address":"10.0.0.1","Service":{"Service":"web","Tags":["v1"],"Port":80},
			"Check":{"CheckID":"web","ServiceID":"web","Status":"passing"}}`, i)
		w := &nowhere{header: http.Header{}, status: http.StatusOK}
		face.ServeHTTP(w, &http.Request{
			Method: "PUT", URL: &url.URL{Path: "/v1/catalog/register"}, RemoteAddr: "127.0.0.1:1",
			Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
		})
		if w.status != http.StatusOK {
			b.Fatalf("status %d", w.status)
		}
	}
	u := &url.URL{Path: "/v1/health/service/web", RawQuery: "passing"}
	b.ReportAllocs()
	for b.Loop() {
		w := &nowhere{header: http.Header{}, status: http.StatusOK}
		face.ServeHTTP(w, &http.Request{Method: "GET", URL: u, Body: http.NoBody, RemoteAddr: "127.0.0.1:1"})
		if w.status != http.StatusOK || w.bytes < 300*instances {
			b.Fatalf("status %d, %d bytes", w.status, w.bytes)
		}
	}
}
