package main

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	replicate "github.com/hanse-project/hanse/replicate/link"
)

// mirror is the copy of a prefix of the far datacenter in the near one, made by a link of
// the servers or by the daemon.
type mirror struct {
	what   string // names it in rows
	prefix string
	keys   int
	// begin has it made, and daemon says that a process of its own does it.
	begin  func(b *bench, s *setup, m mirror) error
	daemon bool
}

// passPatience is how long a comparison of everything may take.
const passPatience = 10 * time.Minute

const (
	// mirrorValue is the size of the values that are copied.
	mirrorValue = 256
	// mirrorFolders is how many folders they lie in, which are filled at the same time.
	mirrorFolders = 4
)

// The mirrors that are measured.
var (
	byLink    = mirror{what: "link", prefix: "bench/link/", keys: 10_000, begin: setLink}
	byDaemon  = mirror{what: "replicate", prefix: "bench/mirror/", keys: 10_000, begin: startDaemon, daemon: true}
	ofMillion = mirror{what: "link, 1M keys", prefix: "bench/million/", keys: 1_000_000, begin: setLink}
)

// near are the servers that copy, and far those that are copied from.
func (s *setup) near() []*agent { return s.agents[:3] }
func (s *setup) far() []*agent  { return s.agents[3:6] }

// key is the path of the nth key in the API. Keys lie in folders, in the order of their
// numbers.
func (m mirror) key(n int) string { return "/v1/kv/" + m.prefix + m.name(n) }

func (m mirror) name(n int) string {
	per := m.keys / mirrorFolders
	return fmt.Sprintf("%d/%06d", n/per, n%per)
}

// fill gives the far datacenter its keys.
func (m mirror) fill(b *bench, at *agent) error {
	errs := make([]error, mirrorFolders)
	var wg sync.WaitGroup
	for i := range mirrorFolders {
		wg.Go(func() {
			per := m.keys / mirrorFolders
			for n := i * per; n < (i+1)*per && errs[i] == nil; n += 128 {
				_, errs[i] = at.call(b.ctx, "PUT", "/v1/txn", m.sets(n, min(n+128, (i+1)*per)))
			}
		})
	}
	wg.Wait()
	return cmp.Or(errs...)
}

// sets is a transaction that gives keys new values.
func (m mirror) sets(from, to int) []byte {
	type set struct {
		KV struct{ Verb, Key, Value string }
	}
	ops := make([]set, to-from)
	value := make([]byte, mirrorValue)
	for i := range ops {
		_, _ = rand.Read(value) // it never fails
		ops[i].KV.Verb, ops[i].KV.Key = "set", m.prefix+m.name(from+i)
		ops[i].KV.Value = base64.StdEncoding.EncodeToString(value)
	}
	body, err := json.Marshal(ops)
	if err != nil {
		panic("bench: " + err.Error()) // strings always encode
	}
	return body
}

// firstPass fills the far datacenter, has the copy made, and tells how long that took and
// how many bytes the WAN carried.
func (m mirror) firstPass(b *bench, s *setup) (took time.Duration, carried int64, err error) {
	if err := m.fill(b, s.far()[0]); err != nil {
		return 0, 0, fmt.Errorf("fill %s: %w", m.prefix, err)
	}
	before, start := s.carried(), time.Now()
	if err := m.begin(b, s, m); err != nil {
		return 0, 0, err
	}
	err = untilWithin(b.ctx, passPatience, func() error {
		_, err := s.near()[0].call(b.ctx, "GET", m.key(m.keys-1)+"?stale", nil)
		return err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("the first pass: %w", err)
	}
	took, carried = time.Since(start), s.carried()-before
	s.mirrored = true
	return took, carried, m.change(b, s, "first").err
}

// ready makes the copy, unless an earlier row has.
func (m mirror) ready(b *bench, s *setup) error {
	if s.mirrored {
		return nil
	}
	_, _, err := m.firstPass(b, s)
	return err
}

// arrival is when a change was made, and how long it took to be in the near datacenter.
type arrival struct {
	took time.Duration
	err  error
}

// change gives a key at the far leader another value and waits until a near server has it.
func (m mirror) change(b *bench, s *setup, value string) arrival {
	if _, err := s.far()[0].call(b.ctx, "PUT", m.key(7), []byte(value)); err != nil {
		return arrival{err: err}
	}
	start := time.Now()
	err := m.arrived(b, s.near()[0], value)
	return arrival{time.Since(start), err}
}

// arrived waits until a near server has the value that [mirror.change] wrote.
func (m mirror) arrived(b *bench, at *agent, value string) error {
	return until(b.ctx, func() error {
		got, err := at.call(b.ctx, "GET", m.key(7)+"?raw&stale", nil)
		if err == nil && string(got) != value {
			err = fmt.Errorf("%s is %q, not %q", m.key(7), got, value)
		}
		return err
	})
}

// linkPath is where the link is in the API.
const linkPath = "/v1/replicate/links/bench"

// setLink has the near servers make the copy.
func setLink(b *bench, s *setup, m mirror) error {
	body, err := json.Marshal(map[string]any{"source_datacenter": s.far()[0].datacenter, "prefix": m.prefix})
	if err == nil {
		_, err = s.near()[0].call(b.ctx, "PUT", linkPath, body)
	}
	return err
}

// status is what the link is doing.
func (s *setup) status(b *bench) (replicate.Status, error) {
	var report replicate.Report
	body, err := s.near()[0].call(b.ctx, "GET", linkPath, nil)
	if err == nil {
		err = json.Unmarshal(body, &report)
	}
	return report.Status, err
}

// startDaemon has a process make the copy.
func startDaemon(b *bench, s *setup, m mirror) error {
	d := &agent{name: "replicate", dir: filepath.Join(b.dir, "replicate"), bin: b.bin,
		args: []string{"replicate", "-http-addr", s.near()[0].http, "-prefix", m.prefix + "@" + s.far()[0].datacenter}}
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return err
	}
	s.agents = append(s.agents, d) // behind the servers; it ends with them
	return d.start()
}
