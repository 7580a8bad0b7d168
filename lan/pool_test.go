package lan

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/serf/serf"

	"github.com/hanse-project/hanse/gossip"
	"github.com/hanse-project/hanse/gossip/gossiptest"
)

// member is a running pool under test.
type member struct {
	*Pool
	*gossiptest.Watch
}

func (m member) addr() string {
	l := m.Local()
	return fmt.Sprintf("%s:%d", l.Addr, l.Port)
}

// start runs a pool. Defaults: datacenter shanghai, an ID made of the name, a client.
func start(t testing.TB, cfg Config) member {
	t.Helper()
	p, err := New(defaults(t, cfg))
	if err != nil {
		t.Fatal(err)
	}
	return member{p, gossiptest.NewWatch(t, p.Pool, gossip.Handler{})}
}

func defaults(t testing.TB, cfg Config) Config {
	if cfg.Datacenter == "" {
		cfg.Datacenter = "shanghai"
	}
	if cfg.NodeID == "" {
		cfg.NodeID = "id-of-" + cfg.NodeName
	}
	cfg.Log = gossiptest.Logger(t)
	return cfg
}

// on returns a configuration for a member of a network in memory.
func on(network *gossiptest.Network, name, addr string) Config {
	return Config{NodeName: name, Options: gossip.Options{Transport: network.Listen(addr)}}
}

// onHost returns a configuration for a member on sockets of this host.
func onHost(t testing.TB, name string) Config {
	return Config{NodeName: name, Options: gossip.Options{BindAddr: "127.21.8.1", BindPort: freePort(t), Dev: true}}
}

// freePort finds a port outside the range that the kernel hands out by itself, so
// that nobody takes it while a member is down.
func freePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 20000 + rand.IntN(10000)
		ln, err := net.Listen("tcp", fmt.Sprintf("127.21.8.1:%d", port))
		if err == nil {
			_ = ln.Close()
			return port
		}
	}
	t.Fatal("no free port found")
	return 0
}

func mustJoin(t testing.TB, m member, addrs ...string) {
	t.Helper()
	if n, err := m.Join(addrs); err != nil || n != len(addrs) {
		t.Fatalf("join %v: %d, %v", addrs, n, err)
	}
}

// mustRefuse joins and expects an error with all of the texts in it.
func mustRefuse(t *testing.T, m member, addr string, texts ...string) {
	t.Helper()
	n, err := m.Join([]string{addr})
	if err == nil {
		t.Fatalf("joined %d members at %s, want an error", n, addr)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error is %q, want %q in it", err, text)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error has more than one line: %q", err)
	}
}

func TestMembersSeeEachOtherAndTheirRoles(t *testing.T) {
	gossiptest.Bubble(t, func(t *testing.T, network *gossiptest.Network) {
		cfg := on(network, "a", "127.0.0.1:8301")
		cfg.Server = &gossip.ServerTags{Port: 8300, WANJoinPort: 8302, Expect: 3}
		a := start(t, cfg)
		b := start(t, on(network, "b", "127.0.0.2:8301"))
		c := start(t, on(network, "c", "127.0.0.3:8301"))
		mustJoin(t, b, a.addr())
		mustJoin(t, c, b.addr())
		a.UntilStatus(t, "c", serf.StatusAlive)
		c.UntilStatus(t, "a", serf.StatusAlive)

		servers := c.Servers()
		if len(servers) != 1 {
			t.Fatalf("servers are %v, want one", servers)
		}
		s := servers[0]
		if s.Name != "a" || s.Addr() != "127.0.0.1:8300" || s.WANJoinPort != 8302 || s.Expect != 3 || s.Feature == 0 || !s.Alive() {
			t.Errorf("server is %+v", s)
		}

		err := a.EditTags(func(tags map[string]string) { delete(tags, "expect") })
		if err != nil {
			t.Fatal(err)
		}
		c.Until(t, "changed tags arrive", func() bool { return c.Servers()[0].Expect == 0 })
	})
}

func TestFailureIsDetectedAndHeals(t *testing.T) {
	gossiptest.Bubble(t, func(t *testing.T, network *gossiptest.Network) {
		a := start(t, on(network, "a", "127.0.0.1:8301"))
		b := start(t, on(network, "b", "127.0.0.2:8301"))
		c := start(t, on(network, "c", "127.0.0.3:8301"))
		mustJoin(t, b, a.addr())
		mustJoin(t, c, a.addr())

		network.Cut(c.addr())
		a.UntilStatus(t, "c", serf.StatusFailed)
		b.UntilStatus(t, "c", serf.StatusFailed)
		c.UntilStatus(t, "a", serf.StatusFailed)

		network.Heal(c.addr())
		a.UntilStatus(t, "c", serf.StatusAlive)
		c.UntilStatus(t, "b", serf.StatusAlive)
	})
}

func TestFailedMembersAreReapedInTime(t *testing.T) {
	gossiptest.Bubble(t, func(t *testing.T, network *gossiptest.Network) {
		cfg := on(network, "a", "127.0.0.1:8301")
		cfg.ReconnectTimeout = time.Hour
		a := start(t, cfg)
		b := start(t, on(network, "b", "127.0.0.2:8301"))
		cfg = on(network, "c", "127.0.0.3:8301")
		cfg.AdvertiseReconnectTimeout = time.Minute // c asks to be forgotten sooner
		c := start(t, cfg)
		mustJoin(t, a, b.addr(), c.addr())

		network.Cut(b.addr())
		network.Cut(c.addr())
		a.UntilStatus(t, "b", serf.StatusFailed)
		a.UntilStatus(t, "c", serf.StatusFailed)
		a.UntilStatus(t, "c", serf.StatusNone)
		time.Sleep(30 * time.Minute)
		a.UntilStatus(t, "b", serf.StatusFailed)
		time.Sleep(31 * time.Minute)
		a.UntilStatus(t, "b", serf.StatusNone)
	})
}

func TestLeaveIsNoFailure(t *testing.T) {
	gossiptest.Bubble(t, func(t *testing.T, network *gossiptest.Network) {
		a := start(t, on(network, "a", "127.0.0.1:8301"))
		b := start(t, on(network, "b", "127.0.0.2:8301"))
		mustJoin(t, b, a.addr())
		if err := b.Leave(); err != nil {
			t.Fatal(err)
		}
		if err := b.Shutdown(); err != nil {
			t.Fatal(err)
		}
		a.UntilStatus(t, "b", serf.StatusLeft)

		// The name is free at once, at another address too.
		again := start(t, on(network, "b", "127.0.0.9:8301"))
		mustJoin(t, again, a.addr())
		a.UntilStatus(t, "b", serf.StatusAlive)
	})
}

func TestForceLeave(t *testing.T) {
	for _, prune := range []bool{false, true} {
		t.Run(fmt.Sprintf("prune %v", prune), func(t *testing.T) {
			gossiptest.Bubble(t, func(t *testing.T, network *gossiptest.Network) {
				a := start(t, on(network, "a", "127.0.0.1:8301"))
				b := start(t, on(network, "b", "127.0.0.2:8301"))
				c := start(t, on(network, "c", "127.0.0.3:8301"))
				mustJoin(t, a, b.addr(), c.addr())
				b.UntilStatus(t, "c", serf.StatusAlive)
				network.Cut(c.addr())
				a.UntilStatus(t, "c", serf.StatusFailed)
				b.UntilStatus(t, "c", serf.StatusFailed)
				if err := a.ForceLeave("c", prune); err != nil {
					t.Fatal(err)
				}
				want := serf.StatusLeft
				if prune {
					want = serf.StatusNone
				}
				a.UntilStatus(t, "c", want)
				b.UntilStatus(t, "c", want)

				err := a.ForceLeave("nobody", prune)
				if err == nil || !strings.Contains(err.Error(), "No node found with name 'nobody'") {
					t.Errorf("force-leave of an unknown member: %v", err)
				}
			})
		})
	}
}

func TestWrongDatacenterIsRefusedOnBothSides(t *testing.T) {
	gossiptest.Bubble(t, func(t *testing.T, network *gossiptest.Network) {
		a := start(t, on(network, "a", "127.0.0.1:8301"))
		cfg := on(network, "b", "127.0.0.2:8301")
		cfg.Datacenter = "beijing"
		b := start(t, cfg)
		mustRefuse(t, b, a.addr(), "Member 'a' part of wrong datacenter 'shanghai'", "'beijing'", "join -wan")
		mustRefuse(t, a, b.addr(), "Member 'b' part of wrong datacenter 'beijing'", "'shanghai'")
		time.Sleep(time.Minute)
		for _, m := range []member{a, b} {
			if n := len(m.Members()); n != 1 {
				t.Errorf("%s has %d members after a refused join, want itself", m.Local().Name, n)
			}
		}
	})
}

func TestNamesAreUnique(t *testing.T) {
	gossiptest.Bubble(t, func(t *testing.T, network *gossiptest.Network) {
		a := start(t, on(network, "a", "127.0.0.1:8301"))
		b := start(t, on(network, "b", "127.0.0.2:8301"))
		mustJoin(t, b, a.addr())

		cfg := on(network, "b", "127.0.0.3:8301")
		cfg.NodeID = "another"
		second := start(t, cfg)
		mustRefuse(t, second, a.addr(), "'b' at 127.0.0.2:8301", "127.0.0.3:8301", "node_name")
		copied := start(t, on(network, "b", "127.0.0.4:8301"))
		mustRefuse(t, copied, a.addr(), "this agent's node ID", "data_dir was copied")
		time.Sleep(time.Minute)
		for _, m := range a.Members() {
			if m.Name == "b" && m.Addr.String() != "127.0.0.2" {
				t.Errorf("the name went to %s", m.Addr)
			}
		}
	})
}

func TestMovedMemberComesBackAfterItsOldAddressFailed(t *testing.T) {
	gossiptest.Bubble(t, func(t *testing.T, network *gossiptest.Network) {
		a := start(t, on(network, "a", "127.0.0.1:8301"))
		b := start(t, on(network, "b", "127.0.0.2:8301"))
		mustJoin(t, b, a.addr())
		if err := b.Shutdown(); err != nil {
			t.Fatal(err)
		}
		moved := start(t, on(network, "b", "127.0.0.3:8301"))
		err := gossip.RetryJoin(t.Context(), []string{a.addr()}, moved.Join,
			gossip.RetryOptions{Pool: "LAN", Log: hclog.NewNullLogger()})
		if err != nil {
			t.Fatal(err)
		}
		a.Until(t, "b at its new address", func() bool {
			for _, m := range a.Members() {
				if m.Name == "b" && m.Addr.String() == "127.0.0.3" && m.Status == serf.StatusAlive {
					return true
				}
			}
			return false
		})
	})
}

func TestNodeIDsAreUnique(t *testing.T) {
	gossiptest.Bubble(t, func(t *testing.T, network *gossiptest.Network) {
		a := start(t, on(network, "a", "127.0.0.1:8301"))
		b := start(t, on(network, "b", "127.0.0.2:8301"))
		mustJoin(t, b, a.addr())

		cfg := on(network, "c", "127.0.0.3:8301")
		cfg.NodeID = b.Local().Tags["id"]
		c := start(t, cfg)
		mustRefuse(t, c, a.addr(), "Member 'b' has conflicting node ID 'id-of-b' with this agent's ID", "node_id")
		time.Sleep(time.Minute)
		if n := len(a.Members()); n != 2 {
			t.Errorf("a has %d members, want 2", n)
		}

		// A member that is renamed is let in once its former name has failed.
		if err := b.Shutdown(); err != nil {
			t.Fatal(err)
		}
		a.UntilStatus(t, "b", serf.StatusFailed)
		mustJoin(t, c, a.addr())
		a.UntilStatus(t, "c", serf.StatusAlive)
	})
}

func TestJoinToldApartFromBeingListed(t *testing.T) {
	gossiptest.Bubble(t, func(t *testing.T, network *gossiptest.Network) {
		a := start(t, on(network, "a", "127.0.0.1:8301"))
		b := start(t, on(network, "b", "127.0.0.2:8301"))
		mustJoin(t, b, a.addr())
		if err := b.Shutdown(); err != nil {
			t.Fatal(err)
		}
		a.UntilStatus(t, "b", serf.StatusFailed)
		// For a while after the failure memberlist keeps the name for the old address,
		// and does not tell the joiner.
		moved := start(t, on(network, "b", "127.0.0.3:8301"))
		mustRefuse(t, moved, a.addr(), "does not list this agent as 'b'", "30s")
	})
}

func TestOneGoodAddressIsEnough(t *testing.T) {
	gossiptest.Bubble(t, func(t *testing.T, network *gossiptest.Network) {
		a := start(t, on(network, "a", "127.0.0.1:8301"))
		b := start(t, on(network, "b", "127.0.0.2:8301"))
		n, err := b.Join([]string{"127.0.0.77:8301", a.addr(), "127.0.0.77:99999"})
		if n != 1 || err != nil {
			t.Errorf("join answered %d, %v", n, err)
		}
		mustRefuse(t, b, "127.0.0.77:8301", "connection refused", "ports.serf_lan")
	})
}

func TestRejoinFromSnapshot(t *testing.T) {
	a := start(t, onHost(t, "a"))
	cfg := onHost(t, "b")
	cfg.DataDir = t.TempDir()
	b := start(t, cfg)
	mustJoin(t, b, a.addr())
	b.UntilStatus(t, "a", serf.StatusAlive)
	if err := b.Shutdown(); err != nil {
		t.Fatal(err)
	}

	// What a crash may leave at the end of the file is no obstacle.
	snapshot := filepath.Join(cfg.DataDir, "serf", "local.snapshot")
	f, err := os.OpenFile(snapshot, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("alive: torn\n\x00\x00\xff\nclock: x\nali"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}

	b = start(t, cfg)
	b.UntilStatus(t, "a", serf.StatusAlive)
	a.UntilStatus(t, "b", serf.StatusAlive)
	if err := b.Leave(); err != nil {
		t.Fatal(err)
	}
	if err := b.Shutdown(); err != nil {
		t.Fatal(err)
	}

	cfg.RejoinAfterLeave = true // too late for this leave: it emptied the snapshot
	b = start(t, cfg)
	mustJoin(t, b, a.addr())
	if err := b.Leave(); err != nil {
		t.Fatal(err)
	}
	if err := b.Shutdown(); err != nil {
		t.Fatal(err)
	}
	b = start(t, cfg)
	b.UntilStatus(t, "a", serf.StatusAlive)
}

func key(b byte) []byte { return []byte(strings.Repeat(string(b), 32)) }

func TestKeysMustBeEqual(t *testing.T) {
	keyed := onHost(t, "keyed")
	keyed.Key = key('k')
	a := start(t, keyed)
	plain := start(t, onHost(t, "plain"))
	other := onHost(t, "other")
	other.Key = key('o')
	b := start(t, other)

	mustRefuse(t, b, a.addr(), "gossip keys differ", "encrypt")
	mustRefuse(t, plain, a.addr(), "remote state is encrypted and encryption is not configured", "encrypt key")
	mustRefuse(t, b, plain.addr(), "this agent has an encrypt key and the other has none")

	same := onHost(t, "same")
	same.Key = key('k')
	c := start(t, same)
	mustJoin(t, c, a.addr())
	if !c.Encrypted() || plain.Encrypted() {
		t.Errorf("encrypted: %v with a key, %v without", c.Encrypted(), plain.Encrypted())
	}
}

func TestKeysRotateAndAreKept(t *testing.T) {
	cfg := onHost(t, "a")
	cfg.Key = key('k')
	cfg.DataDir = t.TempDir()
	a := start(t, cfg)
	cfg2 := onHost(t, "b")
	cfg2.Key = key('k')
	b := start(t, cfg2)
	mustJoin(t, b, a.addr())
	b.UntilStatus(t, "a", serf.StatusAlive)
	a.UntilStatus(t, "b", serf.StatusAlive)

	file := filepath.Join(cfg.DataDir, "serf", "local.keyring")
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("keyring file: %v, %v", info, err)
	}
	next := base64.StdEncoding.EncodeToString(key('n'))
	for _, step := range []func(string) (*serf.KeyResponse, error){a.Keys().InstallKey, a.Keys().UseKey} {
		if r, err := step(next); err != nil {
			t.Fatalf("%v: %+v", err, r)
		}
	}
	r, err := b.Keys().ListKeys()
	if err != nil || r.Keys[next] != 2 || r.PrimaryKeys[next] != 2 {
		t.Fatalf("keys are %+v, %v", r, err)
	}

	// The file goes before the configured key, which is now the second one.
	if err := a.Shutdown(); err != nil {
		t.Fatal(err)
	}
	a = start(t, cfg)
	a.UntilStatus(t, "b", serf.StatusAlive)
	if r, err := a.Keys().ListKeys(); err != nil || r.PrimaryKeys[next] != 2 {
		t.Fatalf("after a restart keys are %+v, %v", r, err)
	}
}

func TestGarbageDoesNotEndThePool(t *testing.T) {
	for name, k := range map[string][]byte{"plain": nil, "encrypted": key('k')} {
		t.Run(name, func(t *testing.T) {
			cfg := onHost(t, "a")
			cfg.Key = k
			a := start(t, cfg)
			random := rand.NewChaCha8([32]byte{1})
			var halfOpen []net.Conn
			for i := range 200 {
				conn, err := net.Dial("tcp", a.addr())
				if err != nil {
					t.Fatal(err)
				}
				packets, err := net.Dial("udp", a.addr())
				if err != nil {
					t.Fatal(err)
				}
				b := make([]byte, 1+i*7%1000)
				_, _ = random.Read(b)
				b[0] = byte(i % 16) // memberlist's message types, and some that are none
				_, _ = packets.Write(b)
				_ = packets.Close()
				if i%4 == 0 {
					_, _ = conn.Write(b[:1])
					halfOpen = append(halfOpen, conn)
					continue
				}
				_, _ = conn.Write(b)
				_ = conn.Close()
			}
			cfg = onHost(t, "b")
			cfg.Key = k
			b := start(t, cfg)
			mustJoin(t, b, a.addr())
			a.UntilStatus(t, "b", serf.StatusAlive)
			for _, conn := range halfOpen {
				_ = conn.Close()
			}
		})
	}
}

func TestAddressesThatCannotBeUsed(t *testing.T) {
	taken := start(t, onHost(t, "a"))
	cases := map[string]struct {
		change func(*Config)
		want   []string
	}{
		"the port is taken": {
			func(c *Config) { c.BindPort = int(taken.Local().Port) },
			[]string{taken.addr(), "ports.serf_lan", "address already in use", "another process"}},
		"no interface has the address": {
			func(c *Config) { c.BindAddr = "192.0.2.1" },
			[]string{"192.0.2.1:", "bind_addr", "cannot assign requested address", "ip addr"}},
		"the address is a name": {
			func(c *Config) { c.BindAddr = "localhost" },
			[]string{`bind_addr is "localhost"`, "not an IP address"}},
		"the advertised address is none": {
			func(c *Config) { c.AdvertiseAddr = "0.0.0.0" },
			[]string{`advertise_addr is "0.0.0.0"`}},
		"everywhere in IPv6 tells nobody an address": {
			func(c *Config) { c.BindAddr = "::" },
			[]string{`bind_addr is "::"`, "advertise_addr"}},
		"the name holds a slash": {
			func(c *Config) { c.NodeName = "a/b" },
			[]string{`"a/b"`, "node_name"}},
		"the key has a wrong size": {
			func(c *Config) { c.Key = []byte("short") },
			[]string{"encrypt has 5 bytes", "keygen"}},
		"the data directory is a file": {
			func(c *Config) { c.DataDir = os.Args[0] },
			[]string{"data_dir"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cfg := onHost(t, "b")
			c.change(&cfg)
			p, err := New(defaults(t, cfg))
			if err == nil {
				_ = p.Shutdown()
				t.Fatal("started, want an error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error is %q, want %q in it", err, want)
				}
			}
		})
	}
}

func TestTornKeyringIsNamed(t *testing.T) {
	cfg := onHost(t, "a")
	cfg.DataDir = t.TempDir()
	cfg.Key = key('k')
	file := filepath.Join(cfg.DataDir, "serf", "local.keyring")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(`["a2tra2tra2t`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := New(defaults(t, cfg))
	if err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "remove it") {
		t.Fatalf("error is %v, want the file and the fix in it", err)
	}
	// Nothing listens after the failure.
	ln, err := net.Listen("tcp", fmt.Sprintf("127.21.8.1:%d", cfg.BindPort))
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
}
