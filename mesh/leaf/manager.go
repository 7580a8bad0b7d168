package leaf

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/mesh"
	"github.com/hanse-project/hanse/mesh/cert"
	"github.com/hanse-project/hanse/rpc"
)

// Config is what a manager needs.
type Config struct {
	// Caller carries the calls to the servers.
	Caller rpc.Caller
	// Roots are those of the datacenter, once their index is above after.
	Roots      func(ctx context.Context, after uint64) (*mesh.Roots, error)
	Datacenter string
	// Spread is over how long the agents of a datacenter ask for new certificates when
	// the root has changed; 0 is [DefaultSpread].
	Spread time.Duration
	Log    hclog.Logger
}

// DefaultSpread keeps the servers from being asked for everything at once.
const DefaultSpread = 10 * time.Second

// Manager keeps certificates. [Manager.Run] must follow [New].
type Manager struct {
	cfg   Config
	start chan *certificate

	mu    sync.Mutex
	known map[question]*certificate
}

// question is what a certificate is known by.
type question struct{ service, token string }

// New makes a manager.
func New(cfg Config) *Manager {
	if cfg.Spread == 0 {
		cfg.Spread = DefaultSpread
	}
	cfg.Log = cfg.Log.Named("leaf")
	return &Manager{cfg: cfg, start: make(chan *certificate), known: map[question]*certificate{}}
}

// Run keeps the certificates until ctx ends.
func (m *Manager) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case c := <-m.start:
			wg.Go(func() { m.keep(ctx, c) })
		case <-ctx.Done():
			return nil
		}
	}
}

// Get returns the certificate of a service for the holder of a token, with its key. With
// an index it waits for one whose ModifyIndex is above that, until ctx ends, and then
// returns the one there is. hit says that it was there when the call came.
func (m *Manager) Get(ctx context.Context, service, token string, after uint64) (leaf *mesh.Issued, hit bool, err error) {
	c, isNew := m.find(question{service, token})
	if isNew {
		select {
		case m.start <- c:
		case <-ctx.Done():
			m.forget(c)
			return nil, false, context.Cause(ctx)
		}
	}
	defer c.wait()()
	for hit = true; ; hit = false {
		leaf, changed, err := c.now()
		switch {
		case leaf != nil && leaf.ModifyIndex > after:
			return leaf, hit, nil
		case err != nil:
			return nil, false, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if leaf != nil {
				return leaf, hit, nil
			}
			return nil, false, context.Cause(ctx)
		}
	}
}

// find finds a certificate, or the place where it will be.
func (m *Manager) find(q question) (c *certificate, isNew bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c = m.known[q]; c != nil {
		return c, false
	}
	c = &certificate{question: q, changed: make(chan struct{})}
	m.known[q] = c
	return c, true
}

// forget makes room for another try.
func (m *Manager) forget(c *certificate) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known[c.question] == c {
		delete(m.known, c.question)
	}
}

// certificate is one that is kept, or is being asked for.
type certificate struct {
	question

	mu sync.Mutex
	// leaf is what there is, and err why there is nothing. An error is the end of it: who
	// asks again begins anew.
	leaf    *mesh.Issued
	err     error
	changed chan struct{}
	// wanted says that somebody asked since the last renewal, waiting how many wait.
	wanted  bool
	waiting int
}

func (c *certificate) now() (leaf *mesh.Issued, changed <-chan struct{}, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leaf, c.changed, c.err
}

func (c *certificate) set(leaf *mesh.Issued, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaf, c.err = leaf, err
	close(c.changed)
	c.changed = make(chan struct{})
}

// wait counts somebody who waits, until the returned function is called.
func (c *certificate) wait() (end func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wanted = true
	c.waiting++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.waiting--
	}
}

// stillWanted tells whether somebody asked since the last time.
func (c *certificate) stillWanted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	wanted := c.wanted || c.waiting > 0
	c.wanted = false
	return wanted
}

// firstRetry and lastRetry bound the pauses between tries to renew.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// keep asks for a certificate and renews it until nobody wants it any more.
func (m *Manager) keep(ctx context.Context, c *certificate) {
	pause := firstRetry
	for {
		leaf, root, err := m.issue(ctx, c.question)
		if err != nil {
			have, _, _ := c.now()
			if ctx.Err() != nil || have == nil || time.Now().After(have.ValidBefore) {
				m.forget(c)
				c.set(nil, err)
				return
			}
			m.cfg.Log.Warn("failed to renew a certificate, will retry", "service", c.service, "valid_before", have.ValidBefore, "error", err, "in", pause)
			if !sleep(ctx, pause+rand.N(pause)) {
				return
			}
			pause = min(2*pause, lastRetry)
			continue
		}
		pause = firstRetry
		c.set(leaf, nil)
		if !m.awaitRenewal(ctx, leaf, root) {
			return
		}
		if !c.stillWanted() {
			m.forget(c)
			return
		}
	}
}

// patience is how long a certificate is tried for while the servers have no root yet, or
// have too many requests.
const patience = 10 * time.Second

var errNoRoot = rpc.Failed("the datacenter has no root certificate yet: try again later")

// roots are those of the datacenter, of which one signs.
func (m *Manager) roots(ctx context.Context) (*mesh.Roots, error) {
	patient, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for index := uint64(0); ; {
		roots, err := m.cfg.Roots(patient, index)
		switch {
		case err == nil && roots.ActiveRootID != "":
			return roots, nil
		case patient.Err() != nil && ctx.Err() == nil:
			return nil, errNoRoot
		case err != nil:
			return nil, err
		}
		index = max(roots.Index, 1)
	}
}

// sign asks until the servers have time for it.
func (m *Manager) sign(ctx context.Context, req *mesh.SignRequest) (*mesh.Issued, error) {
	patient, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		signed, err := mesh.Sign.Call(ctx, m.cfg.Caller, req)
		if !mesh.Busy(err) || !sleep(patient, firstRetry/2+rand.N(firstRetry)) {
			return signed, err
		}
	}
}

// issue asks the servers for a certificate. root is the ID of the one that was active.
func (m *Manager) issue(ctx context.Context, q question) (leaf *mesh.Issued, root string, err error) {
	roots, err := m.roots(ctx)
	if err != nil {
		return nil, "", err
	}
	kind, bits := cert.EC, 256
	for _, r := range roots.Roots {
		if r.ID == roots.ActiveRootID && cert.CheckKeyType(r.PrivateKeyType, r.PrivateKeyBits) == nil {
			kind, bits = r.PrivateKeyType, r.PrivateKeyBits
		}
	}
	key, err := cert.NewKey(kind, bits)
	if err != nil {
		return nil, "", err
	}
	csr, err := cert.NewRequest(key, cert.ServiceID{
		TrustDomain: roots.TrustDomain, Namespace: "default", Datacenter: m.cfg.Datacenter, Service: q.service,
	})
	if err != nil {
		return nil, "", err
	}
	req := &mesh.SignRequest{CSR: csr}
	req.Datacenter, req.Token = m.cfg.Datacenter, q.token
	signed, err := m.sign(ctx, req)
	if err != nil {
		return nil, "", err
	}
	own := *signed
	if own.PrivateKeyPEM, err = cert.EncodeKey(key); err != nil {
		return nil, "", err
	}
	return &own, roots.ActiveRootID, nil
}

// awaitRenewal returns when it is time for another certificate. It is false when ctx ends.
func (m *Manager) awaitRenewal(ctx context.Context, leaf *mesh.Issued, root string) bool {
	due, cancel := context.WithDeadline(ctx, renewAt(leaf))
	defer cancel()
	for index := uint64(0); ; {
		roots, err := m.cfg.Roots(due, index)
		switch {
		case due.Err() != nil:
			return ctx.Err() == nil
		case err != nil:
			if !sleep(due, firstRetry+rand.N(firstRetry)) {
				return ctx.Err() == nil
			}
			index = 0
		case roots.ActiveRootID != root:
			return sleep(ctx, rand.N(m.cfg.Spread))
		case roots.Index < index:
			index = 0 // the servers began anew
		default:
			index = roots.Index
		}
	}
}

// renewAt is some time between six and nine tenths of a certificate's life, so that
// services which began together do not ask together.
func renewAt(leaf *mesh.Issued) time.Time {
	life := leaf.ValidBefore.Sub(leaf.ValidAfter)
	return leaf.ValidAfter.Add(life*6/10 + rand.N(max(life*3/10, 1)))
}

// sleep is false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
