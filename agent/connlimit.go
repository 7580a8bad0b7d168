package agent

import (
	"net"
	"sync"
)

// connLimit bounds the connections that one IP address may have open
// (limits.http_max_conns_per_client). It spans the ports that share it.
type connLimit struct {
	max int // 0 means no bound

	mu   sync.Mutex
	open map[string]int
}

func newConnLimit(max int) *connLimit { return &connLimit{max: max, open: map[string]int{}} }

func (l *connLimit) wrap(ln net.Listener) net.Listener {
	if l.max <= 0 || ln.Addr().Network() == "unix" {
		return ln
	}
	return &limitedListener{ln, l}
}

func (l *connLimit) enter(ip string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[ip] >= l.max {
		return false
	}
	l.open[ip]++
	return true
}

func (l *connLimit) leave(ip string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[ip]--; l.open[ip] == 0 {
		delete(l.open, ip)
	}
}

type limitedListener struct {
	net.Listener
	limit *connLimit
}

// Accept implements net.Listener. A connection above the bound is answered with 429
// and closed.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		ip, _, err := net.SplitHostPort(conn.RemoteAddr().String())
		if err == nil && !l.limit.enter(ip) {
			conn.Write([]byte("HTTP/1.1 429 Too Many Requests\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"))
			conn.Close()
			continue
		}
		return &limitedConn{Conn: conn, ip: ip, limit: l.limit}, nil
	}
}

type limitedConn struct {
	net.Conn
	ip    string
	limit *connLimit
	once  sync.Once
}

// Close implements net.Conn.
func (c *limitedConn) Close() error {
	c.once.Do(func() { c.limit.leave(c.ip) })
	return c.Conn.Close()
}
