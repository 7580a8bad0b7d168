package leaf

import (
	"context"
	"crypto/tls"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/mesh"
	"github.com/hanse-project/hanse/mesh/cert"
	"github.com/hanse-project/hanse/rpc"
)

// servers sign, and say so slowly.
type servers struct {
	signed atomic.Int64
	life   time.Duration

	mu      sync.Mutex
	fails   error
	roots   *mesh.Roots
	key     *cert.Authority
	changed chan struct{}
}

const meshID = "63b30006-ceaf-91d0-2cb2-0060db459b92"

func newServers(t *testing.T) *servers {
	s := &servers{life: 72 * time.Hour, roots: &mesh.Roots{TrustDomain: cert.TrustDomain(meshID)}, changed: make(chan struct{})}
	s.rotate(t)
	return s
}

func (s *servers) rotate(t *testing.T) {
	t.Helper()
	key, err := cert.NewKey(cert.EC, 256)
	if err != nil {
		t.Fatal(err)
	}
	a, err := cert.NewRoot(key, meshID, 1, 10*365*24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next := *s.roots
	next.ActiveRootID, next.Index = cert.Fingerprint(a.Cert), next.Index+1
	s.roots, s.key = &next, a
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *servers) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = err
}

func (s *servers) Roots(ctx context.Context, after uint64) (*mesh.Roots, error) {
	for {
		s.mu.Lock()
		roots, changed := s.roots, s.changed
		s.mu.Unlock()
		if roots.Index > after {
			return roots, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return roots, nil
		}
	}
}

// Call implements rpc.Caller.
func (s *servers) Call(ctx context.Context, m *rpc.Info, req rpc.Request, _ func() any) (any, error) {
	if m.Name != mesh.Sign.Name {
		return nil, rpc.ErrUnknownMethod
	}
	n := s.signed.Add(1)
	if !sleep(ctx, 100*time.Millisecond) {
		return nil, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails != nil {
		return nil, s.fails
	}
	csr, id, err := cert.ParseRequest(req.(*mesh.SignRequest).CSR)
	if err != nil {
		return nil, err
	}
	c, err := s.key.SignLeaf(csr, id, uint64(n), s.life)
	if err != nil {
		return nil, err
	}
	return &mesh.Issued{
		CertPEM: cert.Encode(c), SerialNumber: cert.Serial(c), Service: id.Service,
		ValidAfter: c.NotBefore, ValidBefore: c.NotAfter, ModifyIndex: uint64(10 + n),
	}, nil
}

// manage runs a test against a manager, in a bubble.
func manage(t *testing.T, run func(t *testing.T, s *servers, m *Manager)) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers(t)
		m := New(Config{Caller: s, Roots: s.Roots, Datacenter: "dc1", Log: hclog.NewNullLogger()})
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { m.Run(ctx) })
		run(t, s, m)
		stop()
		wg.Wait()
	})
}

func get(t *testing.T, m *Manager, service, token string, after uint64) (*mesh.Issued, bool) {
	t.Helper()
	leaf, hit, err := m.Get(t.Context(), service, token, after)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair([]byte(leaf.CertPEM), []byte(leaf.PrivateKeyPEM)); err != nil {
		t.Fatal(err)
	}
	return leaf, hit
}

func TestManyCallersGetOneCertificate(t *testing.T) {
	manage(t, func(t *testing.T, s *servers, m *Manager) {
		var all sync.WaitGroup
		leaves := make([]*mesh.Issued, 100)
		for i := range leaves {
			all.Go(func() { leaves[i], _, _ = m.Get(t.Context(), "web", "", 0) })
		}
		all.Wait()
		for _, leaf := range leaves {
			if leaf == nil || leaf != leaves[0] {
				t.Fatal("they got several")
			}
		}
		if again, hit := get(t, m, "web", "", 0); again != leaves[0] || !hit || s.signed.Load() != 1 {
			t.Errorf("%d were signed", s.signed.Load())
		}
		if other, hit := get(t, m, "web", "another", 0); other == leaves[0] || hit {
			t.Error("another token got the same")
		}
		if other, _ := get(t, m, "db", "", 0); other.Service != "db" {
			t.Error("another service got the same")
		}
	})
}

func TestACertificateIsRenewedWhileItIsWanted(t *testing.T) {
	manage(t, func(t *testing.T, s *servers, m *Manager) {
		first, _ := get(t, m, "web", "", 0)
		next, hit := get(t, m, "web", "", first.ModifyIndex) // waits, in the bubble's time
		if left := time.Until(first.ValidBefore); hit || next == first || left < 7*time.Hour || left > 29*time.Hour {
			t.Errorf("renewed %v before the end of the first", left)
		}
		time.Sleep(10 * 72 * time.Hour) // nobody asks
		if n := s.signed.Load(); n > 3 {
			t.Errorf("%d certificates of which nobody knows", n)
		}
		if last, hit := get(t, m, "web", "", 0); hit || time.Until(last.ValidBefore) < 71*time.Hour {
			t.Errorf("an old one: %v", time.Until(last.ValidBefore))
		}
	})
}

func TestAnotherRootMeansAnotherCertificate(t *testing.T) {
	manage(t, func(t *testing.T, s *servers, m *Manager) {
		first, _ := get(t, m, "web", "", 0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if same, _, err := m.Get(ctx, "web", "", first.ModifyIndex); same != first || err != nil {
			t.Errorf("after the wait: %v, %v", same, err)
		}
		s.rotate(t)
		began := time.Now()
		next, _ := get(t, m, "web", "", first.ModifyIndex)
		if took := time.Since(began); took > DefaultSpread+time.Second || next == first {
			t.Errorf("took %v", took)
		}
		c, err := cert.Parse(next.CertPEM)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.CheckSignatureFrom(s.key.Cert); err != nil {
			t.Error(err)
		}
	})
}

func TestItWaitsForTheServers(t *testing.T) {
	manage(t, func(t *testing.T, s *servers, m *Manager) {
		s.mu.Lock()
		signs := s.roots.ActiveRootID
		s.roots.ActiveRootID = ""
		s.mu.Unlock()
		if _, _, err := m.Get(t.Context(), "early", "", 0); !errors.Is(err, errNoRoot) {
			t.Errorf("without a root: %v", err)
		}
		go func() {
			time.Sleep(2 * time.Second)
			s.rotate(t)
		}()
		get(t, m, "web", "", 0)
		if signs == s.roots.ActiveRootID {
			t.Error("the root is the same")
		}
		s.fail(rpc.Failed("rpc error: rate limit reached, try again later"))
		go func() {
			time.Sleep(2 * time.Second)
			s.fail(nil)
		}()
		get(t, m, "db", "", 0)
	})
}

func TestARefusalIsToldToThoseWhoWait(t *testing.T) {
	manage(t, func(t *testing.T, s *servers, m *Manager) {
		refused := rpc.Wrap(rpc.ErrPermissionDenied, "no")
		s.fail(refused)
		var all sync.WaitGroup
		var told atomic.Int64
		for range 10 {
			all.Go(func() {
				if _, _, err := m.Get(t.Context(), "web", "", 0); errors.Is(err, rpc.ErrPermissionDenied) {
					told.Add(1)
				}
			})
		}
		all.Wait()
		if told.Load() != 10 || s.signed.Load() != 1 {
			t.Errorf("%d were told, after %d tries", told.Load(), s.signed.Load())
		}
		s.fail(nil)
		leaf, _ := get(t, m, "web", "", 0)

		// A failure to renew takes nothing away before its time.
		s.fail(rpc.ErrNoLeader)
		s.rotate(t)
		time.Sleep(time.Hour)
		if same, _ := get(t, m, "web", "", 0); same != leaf {
			t.Error("another one")
		}
		tries := s.signed.Load()
		s.fail(nil)
		time.Sleep(3 * time.Minute)
		if next, _ := get(t, m, "web", "", 0); next == leaf || tries > 100 {
			t.Errorf("not renewed after %d tries", tries)
		}
	})
}
