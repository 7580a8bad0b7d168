package main

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// link forwards TCP connections and holds every byte back for a while, as a long line
// does. While it is cut nothing passes, and nobody is told.
type link struct {
	ln    net.Listener
	to    string
	delay time.Duration // one way
	cut   atomic.Bool
	sent  atomic.Int64 // bytes that came out, of both directions
	lost  atomic.Int64 // bytes that went in while it was cut

	mu    sync.Mutex
	conns map[net.Conn]bool
	wg    sync.WaitGroup
}

func newLink(at, to string, delay time.Duration) (*link, error) {
	ln, err := net.Listen("tcp", at)
	if err != nil {
		return nil, err
	}
	l := &link{ln: ln, to: to, delay: delay, conns: map[net.Conn]bool{}}
	l.wg.Go(l.accept)
	return l, nil
}

func (l *link) close() {
	l.ln.Close()
	l.mu.Lock()
	for c := range l.conns {
		c.Close()
	}
	l.conns = nil
	l.mu.Unlock()
	l.wg.Wait()
}

// keep remembers a connection for close. It says false once the link is closed.
func (l *link) keep(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns == nil {
		c.Close()
		return false
	}
	l.conns[c] = true
	return true
}

func (l *link) drop(c net.Conn) {
	c.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

func (l *link) accept() {
	for {
		near, err := l.ln.Accept()
		if err != nil {
			return
		}
		if l.keep(near) {
			l.wg.Go(func() { l.join(near) })
		}
	}
}

func (l *link) join(near net.Conn) {
	defer l.drop(near)
	var d net.Dialer
	far, err := d.DialContext(context.Background(), "tcp", l.to)
	if err != nil || !l.keep(far) {
		return
	}
	defer l.drop(far)
	var both sync.WaitGroup
	both.Go(func() { l.carry(far, near); far.Close() })
	both.Go(func() { l.carry(near, far); near.Close() })
	both.Wait()
}

// parcel is what was read at once, and when it may arrive.
type parcel struct {
	data []byte
	due  time.Time
}

// carry brings bytes from one end to the other, each after the delay, in order.
func (l *link) carry(to io.Writer, from io.Reader) {
	line := make(chan parcel, 4096)
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(line)
		for {
			buf := make([]byte, 32<<10)
			n, err := from.Read(buf)
			if n > 0 {
				line <- parcel{buf[:n], time.Now().Add(l.delay)}
			}
			if err != nil {
				return
			}
		}
	})
	for p := range line {
		time.Sleep(time.Until(p.due))
		if l.cut.Load() {
			l.lost.Add(int64(len(p.data)))
			continue
		}
		if _, err := to.Write(p.data); err != nil {
			break
		}
		l.sent.Add(int64(len(p.data)))
	}
	if c, ok := from.(net.Conn); ok {
		c.Close()
	}
	for range line { // let the reader end
	}
	reading.Wait()
}

// rtt measures how long a byte takes through the link and back, as a rule.
func (l *link) rtt() (time.Duration, error) {
	c, err := net.Dial("tcp", l.ln.Addr().String())
	if err != nil {
		return 0, err
	}
	defer c.Close()
	one := []byte{0}
	var took []time.Duration
	for range 25 {
		start := time.Now()
		if _, err := c.Write(one); err != nil {
			return 0, err
		}
		if _, err := io.ReadFull(c, one); err != nil {
			return 0, err
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}

// serveBytes sends back every byte it gets, until ln is closed.
func serveBytes(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		go func() {
			defer c.Close()
			_, _ = io.Copy(c, c) // ends with the peer
		}()
	}
}
