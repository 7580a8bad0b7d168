package link

import (
	"context"
	"fmt"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// ManagerConfig is what a Manager needs.
type ManagerConfig struct {
	Store      *store.Store
	Datacenter string
	// Caller carries calls to this datacenter and to others.
	Caller rpc.Caller
}

// Manager runs the links of a datacenter at its leader.
type Manager struct {
	cfg ManagerConfig
}

// NewManager makes a manager.
func NewManager(cfg ManagerConfig) *Manager { return &Manager{cfg: cfg} }

// loop says by which way a link would be fed with what it writes, "" if it is not, or if
// that is not known: sure is false then.
func (m *Manager) loop(ctx context.Context, l *Link) (way string, sure bool) {
	if !l.Enabled {
		return "", true
	}
	n := neighbours{
		datacenter: m.cfg.Datacenter, caller: m.cfg.Caller,
		own: func() []*Row { return rows(m.cfg.Store.Read(nil)) },
	}
	return n.loop(ctx, l)
}

// status is what a link is doing.
func (m *Manager) status(r *Row) Status { return Status{} }

// verify starts a verification of a link.
func (m *Manager) verify(r *Row, _ bool) error {
	return rpc.Conflict(fmt.Sprintf("link %q does not run, so it cannot be verified", r.Name))
}

// explain says what each link does with a key.
func (m *Manager) explain(_ context.Context, key string) (*ExplainReply, error) {
	return &ExplainReply{Key: key, Links: []Explanation{}}, nil
}
