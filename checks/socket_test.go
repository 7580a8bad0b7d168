package checks

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestTCP(t *testing.T) {
	open := silent(t)
	result, output := try(t, Reach{}, Definition{TCP: open})
	expect(t, result, output, Passing, "TCP connect "+open+": Success")

	closed := refused(t, "tcp")
	result, output = try(t, Reach{}, Definition{TCP: closed})
	expect(t, result, output, Critical, fmt.Sprintf("dial tcp %s: connect: connection refused", closed))
}

func TestTCPWithTLS(t *testing.T) {
	s := tlsServer(t, func(http.ResponseWriter, *http.Request) {})
	address := s.Listener.Addr().String()
	result, output := try(t, trusting(s), Definition{TCP: address, TCPUseTLS: true})
	expect(t, result, output, Passing, "TCP connect "+address+": Success")

	result, output = try(t, Reach{}, Definition{TCP: address, TCPUseTLS: true})
	expect(t, result, output, Critical, "tls: failed to verify certificate")

	result, output = try(t, Reach{}, Definition{TCP: address, TCPUseTLS: true, TLSSkipVerify: true})
	expect(t, result, output, Passing, "TCP connect")

	result, _ = try(t, Reach{}, Definition{TCP: silent(t), TCPUseTLS: true, Timeout: 50 * time.Millisecond})
	if result != Critical {
		t.Errorf("a server that does not speak TLS is %s", result)
	}
}

func TestUDP(t *testing.T) {
	echo, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for buf := make([]byte, 100); ; {
			n, from, err := echo.ReadFrom(buf)
			if err != nil {
				return
			}
			heard <- string(buf[:n])
			_, _ = echo.WriteTo(buf[:n], from)
		}
	}()
	t.Cleanup(func() { echo.Close(); <-done })
	address := echo.LocalAddr().String()
	result, output := try(t, Reach{}, Definition{UDP: address})
	expect(t, result, output, Passing, "UDP connect "+address+": Success")
	if got := <-heard; got == "" {
		t.Error("an empty datagram was sent")
	}

	mute, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	until(t, 50*time.Millisecond, func(timeout time.Duration) error {
		result, output := try(t, Reach{}, Definition{UDP: mute.LocalAddr().String(), Timeout: timeout})
		if result != Passing || !strings.HasPrefix(output, "UDP connect ") {
			return fmt.Errorf("in %v the check is %s: %q", timeout, result, output)
		}
		return nil
	})

	result, output = try(t, Reach{}, Definition{UDP: refused(t, "udp")})
	if result != Critical || !strings.Contains(output, "connection refused") {
		t.Errorf("a port that nobody has is %s: %q", result, output)
	}
}
