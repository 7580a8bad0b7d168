package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// referenceSection measures the machine: what the rest is to be compared with.
func referenceSection() section {
	return section{name: "the machine", rows: []row{
		{"disk", measureDisk},
		{"bare net/http", measureEcho},
	}}
}

// measureDisk writes and syncs one block after the other, as a log does.
func measureDisk(b *bench, _ *setup) error {
	f, err := os.Create(filepath.Join(b.dir, "disk"))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(64 << 20); err != nil {
		return err
	}
	block := make([]byte, 4096)
	var took []time.Duration
	start := time.Now()
	for at := int64(0); time.Since(start) < b.span; at += int64(len(block)) {
		before := time.Now()
		if _, err := f.WriteAt(block, at%(64<<20)); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		took = append(took, time.Since(before))
	}
	r := result{took: time.Since(start), latencies: took}
	slices.Sort(took)
	b.out.print(line{
		what: "disk: write 4 KiB + fsync", got: perSecond(r.rate()),
		note: fmt.Sprintf("p50 %s, p99 %s", millis(r.at(0.5)), millis(r.at(0.99))),
	})
	return nil
}

// measureEcho loads a bare server in a process of its own.
func measureEcho(b *bench, _ *setup) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	addr := "127.0.0.1:" + strconv.Itoa(freePorts.take())
	a := &agent{name: "bare", dir: b.dir, bin: self, args: []string{"-echo", addr}, http: addr}
	if err := a.start(); err != nil {
		return err
	}
	defer a.end(syscall.SIGKILL)
	if err := until(b.ctx, func() error { _, err := a.call(b.ctx, "GET", "/", nil); return err }); err != nil {
		return err
	}
	get := appendGet(nil, "/v1/kv/bench/key")
	r, err := load{
		addr: addr, workers: 64, span: b.span, servers: []*agent{a},
		request: func(buf []byte, _, _ int) []byte { return append(buf, get...) },
	}.run(b.ctx)
	if err != nil {
		return err
	}
	b.out.print(line{what: "bare net/http: get c=64", got: perSecond(r.rate()), note: r.note() + "; CPU enough for " + perSecond(r.undisturbed())})
	return watchRow{what: "bare net/http: 1,000 waiters, PUT to last answer", path: "/wait"}.measure(b, a, []*agent{a})
}

// serveEcho answers every request with the same bytes, about as many as an entry has.
// Who asks with an index waits for the next PUT.
func serveEcho(addr string) error {
	body := make([]byte, 300)
	var mu sync.Mutex
	changed := make(chan struct{})
	return http.ListenAndServe(addr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		mu.Lock()
		wait := changed
		if r.Method == http.MethodPut {
			close(changed)
			changed = make(chan struct{})
		}
		mu.Unlock()
		if r.URL.Query().Has("index") {
			<-wait
		}
		w.Header()["Content-Type"] = []string{"application/json"}
		_, _ = w.Write(body)
	}))
}
