package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// conn is one keep-alive connection that sends prepared requests.
type conn struct {
	net.Conn
	r *bufio.Reader
}

// exchanger sends a request and waits for its answer.
type exchanger interface {
	do(request []byte) (status int, index uint64, err error)
	Close() error
}

func dial(addr string) (*conn, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &conn{c, bufio.NewReaderSize(c, 16<<10)}, nil
}

// do sends one request and reads its answer away. It returns the status and the
// X-Consul-Index, 0 without one.
func (c *conn) do(request []byte) (status int, index uint64, err error) {
	if _, err := c.Write(request); err != nil {
		return 0, 0, err
	}
	return c.answer()
}

var (
	headerLength  = []byte("Content-Length: ")
	headerChunked = []byte("Transfer-Encoding: chunked")
	headerIndex   = []byte("X-Consul-Index: ")
)

// answer reads one answer, as much of it as it takes to find its end.
func (c *conn) answer() (status int, index uint64, err error) {
	first, err := c.r.ReadSlice('\n')
	if err != nil {
		return 0, 0, err
	}
	if len(first) < len("HTTP/1.1 200") {
		return 0, 0, fmt.Errorf("no HTTP answer: %q", first)
	}
	if status, err = strconv.Atoi(string(first[9:12])); err != nil {
		return 0, 0, fmt.Errorf("no HTTP answer: %q", first)
	}
	length, chunked := int64(0), false
	for {
		header, err := c.r.ReadSlice('\n')
		if err != nil {
			return 0, 0, err
		}
		header = bytes.TrimRight(header, "\r\n")
		if len(header) == 0 {
			break
		}
		if value, found := bytes.CutPrefix(header, headerLength); found {
			if length, err = strconv.ParseInt(string(value), 10, 64); err != nil {
				return 0, 0, err
			}
		} else if value, found := bytes.CutPrefix(header, headerIndex); found {
			if index, err = strconv.ParseUint(string(value), 10, 64); err != nil {
				return 0, 0, err
			}
		} else if bytes.Equal(header, headerChunked) {
			chunked = true
		}
	}
	if chunked {
		return status, index, c.skipChunks()
	}
	return status, index, c.skip(length)
}

func (c *conn) skip(n int64) error {
	if n < 0 {
		return fmt.Errorf("no HTTP answer: a length of %d", n)
	}
	_, err := io.CopyN(io.Discard, c.r, n)
	return err
}

func (c *conn) skipChunks() error {
	for {
		head, err := c.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		size, err := strconv.ParseInt(string(bytes.TrimRight(head, "\r\n")), 16, 64)
		if err != nil {
			return err
		}
		if err := c.skip(size + 2); err != nil || size == 0 {
			return err
		}
	}
}

// appendGet appends a GET request to buf, and appendPut a PUT request.
func appendGet(buf []byte, path string) []byte {
	buf = append(buf, "GET "...)
	buf = append(buf, path...)
	return append(buf, " HTTP/1.1\r\nHost: bench\r\n\r\n"...)
}

func appendPut(buf []byte, path string, body []byte) []byte {
	buf = append(buf, "PUT "...)
	buf = append(buf, path...)
	buf = append(buf, " HTTP/1.1\r\nHost: bench\r\nContent-Length: "...)
	buf = strconv.AppendInt(buf, int64(len(body)), 10)
	buf = append(buf, "\r\n\r\n"...)
	return append(buf, body...)
}

// load is a stream of requests from several connections at once.
type load struct {
	addr string
	// dial connects to addr; nil is HTTP.
	dial    func(addr string) (exchanger, error)
	workers int
	span    time.Duration
	servers []*agent // whose CPU time is counted
	// request appends the n-th request of a worker to buf.
	request func(buf []byte, worker, n int) []byte
	// missing allows the status 404.
	missing bool
}

// result is what came of a load.
type result struct {
	took      time.Duration
	latencies []time.Duration // of all operations, sorted
	serverCPU time.Duration
	ownCPU    time.Duration
}

func (r *result) rate() float64 { return float64(len(r.latencies)) / r.took.Seconds() }

func (r *result) perOp(cpu time.Duration) time.Duration {
	return cpu / time.Duration(max(len(r.latencies), 1))
}

// at is a quantile of the latencies.
func (r *result) at(quantile float64) time.Duration {
	if len(r.latencies) == 0 {
		return 0
	}
	return r.latencies[min(int(quantile*float64(len(r.latencies))), len(r.latencies)-1)]
}

// undisturbed is the rate at which servers and load would use up the machine if nothing
// else ran on it.
func (r *result) undisturbed() float64 {
	perOp := r.perOp(r.serverCPU + r.ownCPU)
	if perOp == 0 {
		return 0
	}
	return float64(runtime.NumCPU()) / perOp.Seconds()
}

func (r *result) note() string {
	return fmt.Sprintf("p50 %s, p99 %s; servers %s/op, load %s/op",
		millis(r.at(0.5)), millis(r.at(0.99)), micros(r.perOp(r.serverCPU)), micros(r.perOp(r.ownCPU)))
}

// run applies the load, after a fifth of its time to warm up.
func (l load) run(ctx context.Context) (*result, error) {
	warm := l
	warm.span = l.span / 5
	if _, err := warm.apply(ctx); err != nil {
		return nil, err
	}
	return l.apply(ctx)
}

func (l load) apply(ctx context.Context) (*result, error) {
	open := l.dial
	if open == nil {
		open = func(addr string) (exchanger, error) { return dial(addr) }
	}
	conns := make([]exchanger, l.workers)
	for i := range conns {
		c, err := open(l.addr)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		conns[i] = c
	}
	each := make([][]time.Duration, l.workers)
	errs := make([]error, l.workers)
	ctx, cancel := context.WithTimeout(ctx, l.span)
	defer cancel()
	server, own, start := cpuOf(l.servers), ownCPU(), time.Now()
	var wg sync.WaitGroup
	for i, c := range conns {
		wg.Go(func() { each[i], errs[i] = l.work(ctx, c, i) })
	}
	wg.Wait()
	r := &result{took: time.Since(start), serverCPU: cpuOf(l.servers) - server, ownCPU: ownCPU() - own}
	r.latencies = slices.Concat(each...)
	slices.Sort(r.latencies)
	return r, errors.Join(errs...)
}

func (l load) work(ctx context.Context, c exchanger, worker int) ([]time.Duration, error) {
	var latencies []time.Duration
	var buf []byte
	for n := 0; ctx.Err() == nil; n++ {
		buf = l.request(buf[:0], worker, n)
		start := time.Now()
		status, _, err := c.do(buf)
		if err != nil {
			return latencies, err
		}
		if status != 200 && (status != 404 || !l.missing) {
			return latencies, fmt.Errorf("status %d to %q", status, firstLine(buf))
		}
		latencies = append(latencies, time.Since(start))
	}
	return latencies, nil
}

func firstLine(request []byte) []byte {
	line, _, _ := bytes.Cut(request, []byte("\r\n"))
	return line
}

// ownCPU is the CPU time that this process has used.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
