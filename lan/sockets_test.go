package lan

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/serf/serf"

	"github.com/hanse-project/hanse/gossip"
)

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

func TestRejoinFromSnapshot(t *testing.T) {
	a := start(t, onHost(t, "a"))
	cfg := onHost(t, "b")
	cfg.DataDir = t.TempDir()
	b := start(t, cfg)
	mustJoin(t, b, a.addr())
	snapshot := filepath.Join(cfg.DataDir, "serf", "local.snapshot")
	b.untilWritten(t, snapshot, "a")
	if err := b.Shutdown(); err != nil {
		t.Fatal(err)
	}

	// What a crash may leave at the end of the file is no obstacle.
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
	b.untilWritten(t, snapshot, "a")
	if err := b.Leave(); err != nil {
		t.Fatal(err)
	}
	if err := b.Shutdown(); err != nil {
		t.Fatal(err)
	}
	b = start(t, cfg)
	b.UntilStatus(t, "a", serf.StatusAlive)
}

// untilWritten waits until m has written down, since it last left, that another member is
// alive: that comes after the member is known, and what is not written then is lost by an
// end or a leave.
func (m member) untilWritten(t *testing.T, snapshot, other string) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		text, err := os.ReadFile(snapshot)
		if err != nil {
			t.Fatal(err)
		}
		if strings.LastIndex(string(text), "alive: "+other+" ") > strings.LastIndex(string(text), "leave\n") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not written down: %s", other, text)
		}
		// What is written next has serf write out what it has held back.
		if err := m.UserEvent("next", nil, false); err != nil {
			t.Fatal(err)
		}
	}
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

func TestEncryptionIsTurnedOnStepByStep(t *testing.T) {
	plain := start(t, onHost(t, "plain"))
	cfg := onHost(t, "turning")
	cfg.Key, cfg.AcceptPlain, cfg.SendPlain = key('k'), true, true
	turning := start(t, cfg)
	mustJoin(t, turning, plain.addr())
	cfg = onHost(t, "keyed")
	cfg.Key, cfg.AcceptPlain = key('k'), true
	keyed := start(t, cfg)
	mustJoin(t, keyed, turning.addr())
	mustRefuse(t, keyed, plain.addr(), "encrypt key")
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
	ask := func(m member, what string, question func(*serf.KeyManager) (*serf.KeyResponse, error)) {
		t.Helper()
		for deadline := time.Now().Add(2 * time.Minute); ; { // who answers late counts as one who did not
			r, err := question(m.Keys())
			if err == nil {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %v: %+v", what, err, r)
			}
		}
	}
	both := func(keys *serf.KeyManager) (*serf.KeyResponse, error) {
		r, err := keys.ListKeys()
		if err == nil && (r.Keys[next] != 2 || r.PrimaryKeys[next] != 2) {
			err = errors.New("the new key is not the first one of both")
		}
		return r, err
	}
	ask(a, "install", func(keys *serf.KeyManager) (*serf.KeyResponse, error) { return keys.InstallKey(next) })
	ask(a, "use", func(keys *serf.KeyManager) (*serf.KeyResponse, error) { return keys.UseKey(next) })
	ask(b, "list", both)

	// The file goes before the configured key, which is now the second one.
	if err := a.Shutdown(); err != nil {
		t.Fatal(err)
	}
	a = start(t, cfg)
	a.UntilStatus(t, "b", serf.StatusAlive)
	ask(a, "list after a restart", both)
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
