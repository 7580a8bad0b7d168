package dnsserver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	// idle is how long a TCP connection without a question stays open, and writeWithin how
	// long a client may take to accept an answer.
	idle        = 10 * time.Second
	writeWithin = 5 * time.Second
	// maxInFlight is how many questions of one connection are answered at a time.
	maxInFlight = 64
)

// serveStreams answers on the connections of a TCP port until ctx ends. Of one connection
// many questions are answered at a time, each as soon as its answer is known: a datacenter
// that is slow holds up nothing else that came the same way.
func (s *Server) serveStreams(ctx context.Context, ln net.Listener) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	defer ln.Close()
	for {
		conn, err := ln.Accept()
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			conns.Go(func() { s.serveStream(ctx, conn) })
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("serve DNS on tcp %s: %w", ln.Addr(), err)
		default: // such as too many open files: it may pass
			s.log.Warn("a connection for DNS was not accepted", "error", err)
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}
}

// serveStream answers the questions of one connection.
func (s *Server) serveStream(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	var answers sync.WaitGroup
	defer answers.Wait() // what was asked before the client's end is answered
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })
	defer stop()
	out := &streamWriter{conn: conn}
	room := make(chan struct{}, maxInFlight)
	for ctx.Err() == nil {
		packet, err := readStream(conn)
		if err != nil {
			return
		}
		room <- struct{}{}
		answers.Go(func() {
			defer func() { <-room }()
			reply := s.respond(packet, conn.RemoteAddr())
			if reply == nil {
				return
			}
			if err := out.write(reply); err != nil {
				s.log.Debug("an answer was not sent", "client", conn.RemoteAddr(), "error", err)
				conn.Close()
			}
		})
	}
}

// readStream reads one packet: its length, and then itself.
func readStream(conn net.Conn) ([]byte, error) {
	if err := conn.SetReadDeadline(time.Now().Add(idle)); err != nil {
		return nil, err
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, err
	}
	packet := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(conn, packet)
	return packet, err
}

// streamWriter writes whole answers.
type streamWriter struct {
	mu   sync.Mutex
	conn net.Conn
}

func (w *streamWriter) write(reply []byte) error {
	framed := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(reply)), uint16(len(reply)))
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.conn.SetWriteDeadline(time.Now().Add(writeWithin)); err != nil {
		return err
	}
	_, err := w.conn.Write(append(framed, reply...))
	return err
}

// respond answers one packet with another: nil for what deserves no answer.
func (s *Server) respond(packet []byte, from net.Addr) []byte {
	if len(packet) < headerSize {
		return nil
	}
	word := func(n int) uint16 { return binary.BigEndian.Uint16(packet[2*n:]) }
	head := dns.Header{Id: word(0), Bits: word(1), Qdcount: word(2), Ancount: word(3), Nscount: word(4), Arcount: word(5)}
	asked := dns.MsgHdr{Id: head.Id, Opcode: int(head.Bits>>11) & 0xf}
	switch dns.DefaultMsgAcceptFunc(head) {
	case dns.MsgIgnore:
		return nil
	case dns.MsgRejectNotImplemented:
		return s.pack(refusal(asked, dns.RcodeNotImplemented))
	case dns.MsgAccept:
		msg := new(dns.Msg)
		if msg.Unpack(packet) == nil {
			return s.pack(s.answer(msg, from))
		}
	}
	return s.pack(refusal(asked, dns.RcodeFormatError))
}
