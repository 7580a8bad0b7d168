package local

import (
	"fmt"
	"time"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/rpc"
)

// update takes in what a check found. A new state goes to the catalog at once, and a
// new output of the same state when it has waited.
func (s *State) update(id, status, output string) {
	if s.cfg.DiscardOutput {
		output = ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, known := s.checks[id]
	if !known || c.row.Status == status && c.row.Output == output {
		return
	}
	before := c.row.Status
	row := *c.row
	row.Status, row.Output = status, output
	c.row = &row
	s.aliases.changed()
	if before == status {
		s.queue.output(id, s.cfg.CheckUpdateInterval)
		return
	}
	c.criticalSince = time.Time{}
	if status == catalog.Critical {
		c.criticalSince = time.Now()
	}
	s.queue.check(id)
}

// SetTTL tells how the thing behind a TTL check is, and begins its time anew.
func (s *State) SetTTL(id, status, output string) error {
	switch status {
	case catalog.Passing, catalog.Warning, catalog.Critical:
	default:
		return invalidf("Invalid check status: '%s'", status)
	}
	s.mu.Lock()
	c, known := s.checks[id]
	s.mu.Unlock()
	if !known {
		return noCheck(id)
	}
	if c.def.TTL == 0 {
		return rpc.Failed(fmt.Sprintf("CheckID %q does not have associated TTL", id))
	}
	if err := s.runner.SetTTL(id, status, output); err != nil {
		return err
	}
	return s.keepState(id, c, status)
}

// keepState writes the state of a TTL check when it changed, and otherwise twice in its
// time, so that a restart finds it. A definition of a file is found again with it too.
func (s *State) keepState(id string, c *check, status string) error {
	s.mu.Lock()
	now := time.Now()
	due := c.keptStatus != status || now.Sub(c.keptAt) > time.Duration(c.def.TTL)/2
	if due {
		c.keptAt, c.keptStatus = now, status
	}
	row, ttl := c.row, time.Duration(c.def.TTL)
	s.mu.Unlock()
	if !due {
		return nil
	}
	return s.files.saveState(id, keptState{Status: status, Output: row.Output, Expires: now.Add(ttl)})
}

// keepStates writes the states of all TTL checks that are not critical, at the end.
func (s *State) keepStates() {
	s.mu.Lock()
	kept := map[string]keptState{}
	for id, c := range s.checks {
		if c.def.TTL > 0 && c.row.Status != catalog.Critical {
			kept[id] = keptState{Status: c.row.Status, Output: c.row.Output, Expires: time.Now().Add(time.Duration(c.def.TTL))}
		}
	}
	s.mu.Unlock()
	for id, state := range kept {
		if err := s.files.saveState(id, state); err != nil {
			s.log.Warn("the state of a check is not kept", "check", id, "error", err)
			return
		}
	}
}

// restoreState gives a TTL check the state it had before a restart, if its time is not
// over.
func (s *State) restoreState(def *Check) {
	if def.TTL == 0 {
		return
	}
	state, found := s.files.loadState(def.ID)
	if !found || time.Now().After(state.Expires) {
		return
	}
	if err := s.runner.SetTTL(def.ID, state.Status, state.Output); err != nil {
		s.log.Warn("the state of a check is lost", "check", def.ID, "error", err)
	}
}
