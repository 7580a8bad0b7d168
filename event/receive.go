package event

import (
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/serf/serf"
)

// ExecName is the name of the events that ask for remote execution. They are carried
// out and not remembered.
const ExecName = "_rexec"

// Config is what a [Receiver] knows of its agent.
type Config struct {
	// Node is the agent's name.
	Node string
	// Services calls yield with the name and the tags of each of the agent's services.
	Services func(yield func(name string, tags []string) bool)
	// Exec is told of the events named [ExecName]. It does not wait for the work.
	Exec func(*Event)
	Log  hclog.Logger
}

// Receiver takes the user events of the LAN pool, and keeps those that this agent is
// meant by.
type Receiver struct {
	cfg     Config
	history *History
	heard   []string // the IDs of the last events, the oldest first
}

// NewReceiver makes a receiver that writes into history.
func NewReceiver(cfg Config, history *History) *Receiver {
	cfg.Log = cfg.Log.Named("event")
	return &Receiver{cfg: cfg, history: history}
}

// Take is told of one event of the pool after the other. Those that servers send each
// other are not ours.
func (r *Receiver) Take(gossiped serf.UserEvent) {
	name, ours := strings.CutPrefix(gossiped.Name, gossipPrefix)
	if !ours {
		return
	}
	e, err := Decode(gossiped.Payload)
	if err != nil {
		r.cfg.Log.Warn("an event cannot be read and is ignored", "event", name, "error", err)
		return
	}
	e.LTime = uint64(gossiped.LTime)
	meant, err := r.meant(e)
	switch {
	case err != nil:
		r.cfg.Log.Warn("the filters of an event are wrong and it is ignored", "event", e.Name, "id", e.ID, "error", err)
	case !meant || !r.first(e.ID):
	case e.Name == ExecName:
		r.cfg.Exec(e)
	default:
		r.cfg.Log.Debug("new event", "event", e.Name, "id", e.ID)
		r.history.add(e)
	}
}

// first tells whether an event is heard for the first time.
func (r *Receiver) first(id string) bool {
	if slices.Contains(r.heard, id) {
		return false
	}
	if len(r.heard) == Kept {
		r.heard = slices.Delete(r.heard, 0, 1)
	}
	r.heard = append(r.heard, id)
	return true
}

// meant tells whether the filters of e let this agent pass.
func (r *Receiver) meant(e *Event) (bool, error) {
	f, err := e.filters()
	if err != nil {
		return false, err
	}
	if f.node != nil && !f.node.MatchString(r.cfg.Node) {
		return false, nil
	}
	if f.service == nil {
		return true, nil
	}
	for name, tags := range r.cfg.Services {
		if f.service.MatchString(name) && (f.tag == nil || slices.ContainsFunc(tags, f.tag.MatchString)) {
			return true, nil
		}
	}
	return false, nil
}
