package link

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hanse-project/hanse/replicate"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// ManagerConfig is what a Manager needs.
type ManagerConfig struct {
	Store      *store.Store
	Log        store.Log
	Datacenter string
	// Node names this server in checkpoints.
	Node string
	// MaxValue is how large a value may be here, in bytes.
	MaxValue int
	// Caller carries calls to this datacenter and to others.
	Caller rpc.Caller
	// Links are those of the configuration files.
	Links []Link
	// Event tells the datacenter that something happened.
	Event func(ctx context.Context, name string, payload []byte) error
	// Registerer takes the metrics; it may be nil.
	Registerer prometheus.Registerer
	Logger     hclog.Logger
}

// Manager runs the links of a datacenter as long as this server leads it.
type Manager struct {
	cfg ManagerConfig

	mu sync.Mutex
	// workers are by the CreateIndex of their link, nil while this server does not lead.
	workers map[uint64]*worker
	wanted  []Link
	// rewanted is closed, and made anew, when wanted changes.
	rewanted chan struct{}
}

// NewManager makes a manager, which runs nothing before [Manager.Run].
func NewManager(cfg ManagerConfig) *Manager {
	m := &Manager{cfg: cfg, rewanted: make(chan struct{})}
	m.Want(cfg.Links)
	if cfg.Registerer != nil {
		cfg.Registerer.MustRegister(replicate.Statuses(m.statuses))
	}
	return m
}

// Want replaces the links of the configuration files.
func (m *Manager) Want(links []Link) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wanted = nil
	for _, l := range links {
		l.FromConfig = true
		m.wanted = append(m.wanted, l)
	}
	close(m.rewanted)
	m.rewanted = make(chan struct{})
}

// configureAgain is how long links of the files wait that could not be written to the log.
const configureAgain = 5 * time.Second

// Run runs the links until ctx ends. It is a duty of a leader.
func (m *Manager) Run(ctx context.Context) {
	m.mu.Lock()
	m.workers = map[uint64]*worker{}
	m.mu.Unlock()
	defer m.stopAll()
	complained := map[string]bool{}
	incarnation := ""
	for ctx.Err() == nil {
		ws := make(rpc.WatchSet)
		m.mu.Lock()
		wanted := m.wanted
		ws.Add(m.rewanted)
		m.mu.Unlock()
		v := m.cfg.Store.Read(ws)
		present := rows(v)
		if id, _ := v.Identity(); id.Incarnation != incarnation {
			incarnation = id.Incarnation
			m.adjust(ctx, nil) // what the links know of this side was replaced with it
		}
		err := m.configure(ctx, wanted, present)
		if err != nil && ctx.Err() == nil && !complained[err.Error()] {
			complained[err.Error()] = true
			m.cfg.Logger.Error("links of the configuration files are not as they stand there", "error", err)
		}
		m.adjust(ctx, present)
		waiting, cancel := ctx, context.CancelFunc(func() {})
		if err != nil {
			waiting, cancel = context.WithTimeout(ctx, configureAgain)
		}
		ws.WatchCtx(waiting) // whatever ended the wait, it is time to look again
		cancel()
	}
}

// configure makes the links of the files those that stand in the log. What it changes is
// seen by who watches the log.
func (m *Manager) configure(ctx context.Context, wanted []Link, present []*Row) error {
	var errs []error
	stands := map[string]*Row{}
	for _, r := range present {
		stands[r.Name] = r
	}
	names := map[string]bool{}
	for i := range wanted {
		names[wanted[i].Name] = true
	}
	var stay []*Row
	for _, r := range present {
		if !r.FromConfig || names[r.Name] {
			stay = append(stay, r)
			continue
		}
		_, _, err := store.Propose[*Row](ctx, m.cfg.Log, opRemove, &removeLink{Name: r.Name, FromConfig: true})
		errs = append(errs, err)
	}
	for i := range wanted {
		l := &wanted[i]
		if r := stands[l.Name]; r != nil && r.same(l) {
			continue
		} else if err := l.mayStand(true, r, stay, m.cfg.Datacenter); err != nil {
			errs = append(errs, err) // without a line in the log each time it is tried
			continue
		}
		_, _, err := store.Propose[*Row](ctx, m.cfg.Log, opSet, &setLink{Link: *l, FromConfig: true, Datacenter: m.cfg.Datacenter})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// adjust starts and stops links, and passes orders on.
func (m *Manager) adjust(ctx context.Context, present []*Row) {
	keep := map[uint64]*worker{}
	var over []*worker
	m.mu.Lock()
	for _, r := range present {
		if w := m.workers[r.CreateIndex]; w != nil && w.row.same(&r.Link) && w.row.Paused == r.Paused {
			keep[r.CreateIndex] = w
			delete(m.workers, r.CreateIndex)
			w.order(r)
		}
	}
	for _, w := range m.workers {
		over = append(over, w)
	}
	m.workers = keep
	m.mu.Unlock()
	for _, w := range over {
		w.cancel()
	}
	for _, w := range over {
		<-w.done
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range present {
		if m.workers[r.CreateIndex] == nil && r.Enabled && !r.Paused {
			m.workers[r.CreateIndex] = m.start(ctx, r)
		}
	}
}

func (m *Manager) stopAll() {
	m.mu.Lock()
	workers := m.workers
	m.workers = nil
	m.mu.Unlock()
	for _, w := range workers {
		w.cancel()
	}
	for _, w := range workers {
		<-w.done
	}
}

// worker is what runs one link.
func (m *Manager) worker(r *Row) *worker {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.workers[r.CreateIndex]
}

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

// verify starts a verification of a link.
func (m *Manager) verify(r *Row, repair bool) error {
	w := m.worker(r)
	if w == nil {
		return rpc.Conflict(fmt.Sprintf("link %q does not run, so it cannot be verified", r.Name))
	}
	if err := w.current().Verify(repair); err != nil {
		return rpc.Conflict(fmt.Sprintf("link %q: %v", r.Name, err))
	}
	return nil
}

// eventHeld is the user event that says that a link holds deletes. Its payload is the
// link's name.
const eventHeld = "hanse:replicate:held"

// eventPatience is how long the event may take to be sent.
const eventPatience = 5 * time.Second

// tellHeld tells the datacenter that a link holds deletes. The log says why.
func (m *Manager) tellHeld(name string) {
	ctx, cancel := context.WithTimeout(context.Background(), eventPatience)
	defer cancel()
	if err := m.cfg.Event(ctx, eventHeld, []byte(name)); err != nil {
		m.cfg.Logger.Warn("failed to send the event that a link holds deletes", "link", name, "error", err)
	}
}
