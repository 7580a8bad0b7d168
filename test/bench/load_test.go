package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestAnswersAreReadToTheirEnd(t *testing.T) {
	const index = 42
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		size, _ := strconv.Atoi(r.URL.Query().Get("size"))
		w.Header().Set("X-Consul-Index", strconv.Itoa(index))
		if r.URL.Query().Has("missing") {
			w.WriteHeader(http.StatusNotFound)
		}
		for range size {
			io.WriteString(w, strings.Repeat("x", 1000))
		}
	}))
	defer server.Close()
	c, err := dial(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, tc := range []struct {
		what, query string
		status      int
	}{
		{"no body", "?size=0", 200},
		{"a body with a length", "?size=1", 200},
		{"a body in chunks", "?size=100", 200},
		{"an error", "?size=1&missing", 404},
		{"one after the others", "?size=1", 200},
	} {
		status, at, err := c.do(appendGet(nil, "/"+tc.query))
		if err != nil || status != tc.status || at != index {
			t.Errorf("%s: status %d, index %d, %v", tc.what, status, at, err)
		}
		if c.r.Buffered() != 0 {
			t.Errorf("%s: %d bytes were left", tc.what, c.r.Buffered())
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Consul-Index: 7\r\n\r\nok"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: -9\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 xyz\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c := &conn{r: bufio.NewReader(bytes.NewReader(text))}
		if status, _, err := c.answer(); err == nil && !bytes.Contains(text, []byte(strconv.Itoa(status))) {
			t.Errorf("status %d out of %q", status, text)
		}
	})
}

func TestQuantiles(t *testing.T) {
	r := &result{}
	if r.at(0.99) != 0 {
		t.Errorf("the p99 of nothing is %v", r.at(0.99))
	}
	for n := range 100 {
		r.latencies = append(r.latencies, time.Duration(n))
	}
	if r.at(0.5) != 50 || r.at(0.99) != 99 || r.at(1) != 99 {
		t.Errorf("p50 %d, p99 %d, maximum %d", r.at(0.5), r.at(0.99), r.at(1))
	}
}

// What goes into a link comes out in order; what goes in while it is cut never does.
func TestLinkKeepsOrderAndLosesWhatIsCut(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go serveBytes(ln)
	l, err := newLink("127.0.0.1:0", ln.Addr().String(), time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	c, err := net.Dial("tcp", l.ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	exchange := func(sent string) {
		t.Helper()
		if _, err := io.WriteString(c, sent); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(sent))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != sent {
			t.Fatalf("sent %q, got %q, %v", sent, got, err)
		}
	}
	for n := range 50 {
		exchange(strings.Repeat(strconv.Itoa(n), 10))
	}
	l.cut.Store(true)
	if _, err := io.WriteString(c, "lost"); err != nil {
		t.Fatal(err)
	}
	for l.lost.Load() == 0 {
		time.Sleep(time.Millisecond) // until the link has dropped it
	}
	l.cut.Store(false)
	exchange("found")
}
