//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Namespaces runs every agent as a process in a network namespace of its own. The test
// is skipped unless HANSE_LAB is set in the environment, and fails if it is and the test
// does not run as root.
func Namespaces() Option {
	return func(t testing.TB, f *Federation) {
		if os.Getenv("HANSE_LAB") == "" {
			t.Skip("needs root, network namespaces and TUN devices: run `make test-lab`")
		}
		p := &namespaces{
			binary: Binary(t), net: fmt.Sprintf("10.%d.%d", rand.IntN(256), rand.IntN(256)),
			router: newRouter(), open: map[string]*namespace{},
		}
		t.Cleanup(p.close)
		f.place = p
	}
}

type namespaces struct {
	binary string
	net    string // no other federation sees it, so that it need not be claimed
	router *router

	mu   sync.Mutex
	open map[string]*namespace // by address
}

func (p *namespaces) address(n int) string { return fmt.Sprintf("%s.%d", p.net, n) }

func (p *namespaces) network() *links { return p.router.links }

// of is the namespace of an agent, which outlives its process.
func (p *namespaces) of(n *Node) (*namespace, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ns := p.open[n.IP]; ns != nil {
		return ns, nil
	}
	ns, err := newNamespace(n.IP)
	if err != nil {
		return nil, fmt.Errorf("make a network namespace for %s (the lab needs root and /dev/net/tun): %w", n.Name, err)
	}
	p.open[n.IP] = ns
	p.router.attach(n.IP, ns.tun)
	return ns, nil
}

func (p *namespaces) launch(n *Node, args []string) (running, error) {
	ns, err := p.of(n)
	if err != nil {
		return nil, err
	}
	return spawn(n, p.binary, args, func(cmd *exec.Cmd) error { return ns.do(cmd.Start) })
}

// dial implements dialer: the connection begins where the agent runs.
func (p *namespaces) dial(ctx context.Context, n *Node, addr string) (conn net.Conn, err error) {
	ns, err := p.of(n)
	if err != nil {
		return nil, err
	}
	err = ns.do(func() error {
		conn, err = new(net.Dialer).DialContext(ctx, "tcp", addr)
		return err
	})
	return conn, err
}

func (p *namespaces) close() {
	p.router.close()
	for _, ns := range p.open {
		ns.tun.Close()
		ns.file.Close()
	}
}

// namespace is a network namespace with one TUN device. It is gone once its files are
// closed and its processes have ended: nothing of it has a name on the machine.
type namespace struct {
	file *os.File // of the namespace itself
	tun  *os.File // packets that the namespace sends are read here
}

// here is the namespace of the calling thread.
func here() (*os.File, error) { return os.Open("/proc/thread-self/ns/net") }

// apart calls do on a thread whose namespace do may change. A thread that cannot be
// brought back is not used for anything else.
func apart(do func() error) error {
	runtime.LockOSThread()
	home, err := here()
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	err = do()
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return errors.Join(err, fmt.Errorf("return to the namespace of the test: %w", back))
	}
	runtime.UnlockOSThread()
	return err
}

// do calls f inside the namespace.
func (n *namespace) do(f func() error) error {
	return apart(func() error {
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter the namespace: %w", err)
		}
		return f()
	})
}

func newNamespace(ip string) (*namespace, error) {
	n := &namespace{}
	err := apart(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		if n.file, err = here(); err != nil {
			return err
		}
		if n.tun, err = openTUN("hanse0"); err != nil {
			return err
		}
		return configure("hanse0", ip)
	})
	if err != nil && n.file != nil {
		n.file.Close()
	}
	if err != nil && n.tun != nil {
		n.tun.Close()
	}
	return n, err
}

// openTUN makes a TUN device in the namespace of the thread.
func openTUN(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("make the TUN device %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// configure gives the device its address in a network of 24 bits, and turns it and the
// loopback on.
func configure(device, ip string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	set := func(device string, what uint, fill func(*unix.Ifreq) error) error {
		req, err := unix.NewIfreq(device)
		if err == nil {
			err = fill(req)
		}
		if err == nil {
			err = unix.IoctlIfreq(fd, what, req)
		}
		if err != nil {
			return fmt.Errorf("configure %s: %w", device, err)
		}
		return nil
	}
	up := func(r *unix.Ifreq) error {
		r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
		return nil
	}
	return errors.Join(
		set("lo", unix.SIOCSIFFLAGS, up),
		set(device, unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(net.ParseIP(ip).To4()) }),
		set(device, unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr(net.IPv4Mask(255, 255, 255, 0)) }),
		set(device, unix.SIOCSIFFLAGS, up),
	)
}
