package local

import (
	"errors"
	"hash/maphash"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/hanse-project/hanse/catalog"
)

// RegisterService takes in a service that came over HTTP, in the place of one with the
// same ID. Checks that the service has and the definition does not stay, unless replace
// is set. It is kept across restarts.
func (s *State) RegisterService(def *Service, replace bool) error {
	def.complete()
	if err := s.validate(def, s.cfg.RemoteScripts, errRemoteScripts); err != nil {
		return err
	}
	defer s.laneOf(def.ID, def.wantsSidecar())()
	side, err := s.sidecarOf(def, s.cfg.RemoteScripts, errRemoteScripts)
	if err != nil {
		return err
	}
	all := []*Service{def}
	if side != nil {
		all = append(all, side)
	}
	if err := s.take(all, replace); err != nil {
		return err
	}
	if side == nil && s.hasSidecar(def.ID) {
		return s.removeService(def.ID + sidecarSuffix)
	}
	return nil
}

// take keeps definitions and makes them the registered ones: all, or none if one cannot be
// kept. The caller holds their lanes.
func (s *State) take(defs []*Service, replace bool) error {
	kept := slices.Clone(defs)
	for i, def := range defs {
		if !replace {
			kept[i] = s.withOthers(def)
		}
		if err := s.files.saveService(kept[i]); err != nil {
			return errors.Join(err, s.keepAgain(defs[:i]))
		}
	}
	for i, def := range defs {
		for _, w := range def.warnings() {
			s.log.Warn(w, "service", def.Name)
		}
		s.put(kept[i], false)
		for _, c := range def.Checks {
			s.runner.Renew(c.ID) // who registers is alive
		}
	}
	if !replace {
		return nil
	}
	for _, def := range defs {
		if err := s.removeOthers(def); err != nil {
			return err
		}
	}
	return nil
}

// keepAgain puts what is registered in the place of definitions that were kept too early.
func (s *State) keepAgain(defs []*Service) error {
	var errs []error
	for _, def := range defs {
		s.mu.Lock()
		old := s.services[def.ID]
		s.mu.Unlock()
		if old == nil || old.fromFile {
			errs = append(errs, s.files.removeService(def.ID))
		} else {
			errs = append(errs, s.files.saveService(old.def))
		}
	}
	return errors.Join(errs...)
}

// laneOf is lane for a service that may have a sidecar, which has a lane of its own: with
// one nobody else changes anything meanwhile.
func (s *State) laneOf(id string, sidecar bool) (leave func()) {
	leave = s.lane(id)
	if !sidecar && !s.hasSidecar(id) {
		return leave // and nobody gives it one before leave
	}
	leave()
	s.change.Lock()
	return s.change.Unlock
}

// lane waits until nobody else changes the service or everything.
func (s *State) lane(id string) (leave func()) {
	s.change.RLock()
	lane := &s.lanes[maphash.String(seed, id)%uint64(len(s.lanes))]
	lane.Lock()
	return func() {
		lane.Unlock()
		s.change.RUnlock()
	}
}

var seed = maphash.MakeSeed()

// removeOthers removes the checks of a service that were registered by themselves and
// that its definition does not have. Maintenance goes on. The caller holds s.change.
func (s *State) removeOthers(def *Service) error {
	s.mu.Lock()
	var others []string
	for id := range s.services[def.ID].checks {
		if !s.checks[id].def.maintains() && !slices.ContainsFunc(def.Checks, func(c *Check) bool { return c.ID == id }) {
			others = append(others, id)
		}
	}
	s.mu.Unlock()
	for _, id := range others {
		if err := s.removeCheck(id); err != nil {
			return err
		}
	}
	return nil
}

// validate checks a complete definition with its checks.
func (s *State) validate(def *Service, scripts bool, refusal error) error {
	if err := def.validate(); err != nil {
		return err
	}
	for _, c := range def.Checks {
		if err := c.validate(); err != nil {
			return err
		}
		if c.script() && !scripts {
			return refusal
		}
	}
	return nil
}

// withOthers is the definition with those checks of the registered service that it
// lacks and that came with the service.
func (s *State) withOthers(def *Service) *Service {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, known := s.services[def.ID]
	if !known {
		return def
	}
	all := *def
	all.Checks = slices.Clone(def.Checks)
	for _, c := range old.def.Checks {
		if !slices.ContainsFunc(def.Checks, func(n *Check) bool { return n.ID == c.ID }) {
			all.Checks = append(all.Checks, c)
		}
	}
	return &all
}

// put makes a service the registered one, with exactly the checks that came with it.
// Checks that were registered for it by themselves stay. The caller holds s.change.
func (s *State) put(def *Service, fromFile bool) {
	row := def.row()
	s.mu.Lock()
	old := s.services[def.ID]
	e := &service{def: def, row: row, fromFile: fromFile, changed: make(chan struct{}), checks: map[string]struct{}{}}
	e.hash = hashOf(row)
	var gone []string
	if old != nil {
		if row.EnableTagOverride && slices.Equal(old.def.Tags, def.Tags) && old.row.EnableTagOverride {
			e.row = withTags(row, old.row.Tags) // somebody else's, which stay
		}
		for _, c := range old.def.Checks {
			if !slices.ContainsFunc(def.Checks, func(n *Check) bool { return n.ID == c.ID }) {
				gone = append(gone, c.ID)
			}
		}
		maps.Copy(e.checks, old.checks)
		close(old.changed)
	}
	s.services[def.ID] = e
	for _, id := range gone {
		s.dropCheckLocked(id)
	}
	for id := range e.checks {
		s.ownLocked(id, e)
	}
	var start []*Check
	for _, c := range def.Checks {
		if s.putCheckLocked(c, fromFile) {
			start = append(start, c)
		}
	}
	s.queue.service(def.ID)
	s.mu.Unlock()
	for _, id := range gone {
		s.runner.Remove(id)
		s.files.removeState(id)
	}
	for _, c := range def.Checks {
		s.files.forgetCheck(c.ID) // it stood by itself before
	}
	s.start(start)
}

// ownLocked gives a check the name and tags of its service.
func (s *State) ownLocked(id string, e *service) {
	c := s.checks[id]
	if c.row.ServiceName == e.row.Service && slices.Equal(c.row.ServiceTags, e.row.Tags) {
		return
	}
	row := *c.row
	row.ServiceName, row.ServiceTags = e.row.Service, e.row.Tags
	c.row = &row
	s.queue.check(id)
}

// putCheckLocked makes a check the registered one. It tells whether its runner has to
// be started anew: one whose definition is equal goes on, and the state is kept.
func (s *State) putCheckLocked(def *Check, fromFile bool) (start bool) {
	row := &catalog.HealthCheck{
		Node: s.cfg.Node.Node, CheckID: def.ID, Name: def.Name, Status: def.Status, Notes: def.Notes,
		ServiceID: def.ServiceID, ServiceTags: catalog.Tags{}, Type: def.kind(),
	}
	if def.Interval > 0 {
		row.Interval = time.Duration(def.Interval).String()
	}
	if def.Timeout > 0 {
		row.Timeout = time.Duration(def.Timeout).String()
	}
	if row.Status == "" {
		row.Status = catalog.Critical
	}
	old := s.checks[def.ID]
	start = true
	e := &check{def: def, row: row, fromFile: fromFile}
	if old != nil {
		if other := s.services[old.row.ServiceID]; other != nil && old.row.ServiceID != def.ServiceID {
			delete(other.checks, def.ID)
		}
		if !def.maintains() {
			row.Status, row.Output = old.row.Status, old.row.Output
		}
		start = !reflect.DeepEqual(old.def, def)
		e.keptAt, e.keptStatus = old.keptAt, old.keptStatus
	}
	if owner := s.services[def.ServiceID]; owner != nil {
		row.ServiceName, row.ServiceTags = owner.row.Service, owner.row.Tags
		owner.checks[def.ID] = struct{}{}
	}
	if row.Status == catalog.Critical {
		e.criticalSince = time.Now()
		if old != nil && !old.criticalSince.IsZero() {
			e.criticalSince = old.criticalSince
		}
	}
	s.checks[def.ID] = e
	s.aliases.changed()
	s.queue.check(def.ID)
	return start && !def.maintains()
}

// dropCheckLocked forgets a check.
func (s *State) dropCheckLocked(id string) {
	c, known := s.checks[id]
	if !known {
		return
	}
	if owner := s.services[c.row.ServiceID]; owner != nil {
		delete(owner.checks, id)
	}
	delete(s.checks, id)
	s.aliases.changed()
	s.queue.check(id)
}

// start runs checks. They were found right before, so one that cannot be run says why
// in its output.
func (s *State) start(defs []*Check) {
	for _, def := range defs {
		s.mu.Lock()
		c := s.checks[def.ID]
		if c == nil || c.def != def {
			s.mu.Unlock()
			continue // somebody else has registered it meanwhile
		}
		status := c.row.Status
		s.mu.Unlock()
		if err := s.runner.Set(def.ID, def.runnable(), status); err != nil {
			s.log.Error("a check cannot be run", "check", def.ID, "error", err)
			s.update(def.ID, catalog.Critical, err.Error())
		}
	}
}

// RegisterCheck takes in a check that came over HTTP, of a service or of the node. It
// is kept across restarts.
func (s *State) RegisterCheck(def *Check) error {
	def.complete()
	if def.ID == "" {
		def.ID = def.Name
	}
	if err := def.validate(); err != nil {
		return err
	}
	if def.script() && !s.cfg.RemoteScripts {
		return errRemoteScripts
	}
	s.change.Lock()
	defer s.change.Unlock()
	return s.addCheck(def)
}

// addCheck keeps and starts a check that stands by itself. The caller holds s.change.
func (s *State) addCheck(def *Check) error {
	s.mu.Lock()
	_, known := s.services[def.ServiceID]
	s.mu.Unlock()
	if def.ServiceID != "" && !known {
		return &NotFoundError{"ServiceID \"" + def.ServiceID + "\" does not exist"}
	}
	if err := s.files.saveCheck(def); err != nil {
		return err
	}
	if err := s.disown(def.ID); err != nil {
		return err
	}
	s.mu.Lock()
	start := s.putCheckLocked(def, false)
	s.mu.Unlock()
	if start {
		s.start([]*Check{def})
	}
	s.runner.Renew(def.ID)
	return nil
}

// disown takes a check out of the definition of the service it came with, if any. The
// caller holds s.change.
func (s *State) disown(id string) error {
	s.mu.Lock()
	var owner *service
	if c := s.checks[id]; c != nil {
		owner = s.services[c.row.ServiceID]
	}
	if owner == nil || !slices.ContainsFunc(owner.def.Checks, func(c *Check) bool { return c.ID == id }) {
		s.mu.Unlock()
		return nil
	}
	def := *owner.def
	def.Checks = slices.DeleteFunc(slices.Clone(def.Checks), func(c *Check) bool { return c.ID == id })
	owner.def = &def
	fromFile := owner.fromFile
	s.mu.Unlock()
	if fromFile {
		return nil
	}
	return s.files.saveService(&def)
}

// DeregisterService forgets a service, its checks, and the sidecar that came with it.
func (s *State) DeregisterService(id string) error {
	defer s.laneOf(id, false)()
	return s.removeService(id)
}

// removeService is DeregisterService for who holds s.change, or the lane of a service
// without a sidecar.
func (s *State) removeService(id string) error {
	s.mu.Lock()
	e, known := s.services[id]
	if !known {
		s.mu.Unlock()
		return noService(id)
	}
	checks := slices.Collect(maps.Keys(e.checks))
	s.mu.Unlock()
	if err := s.files.removeService(id); err != nil {
		return err
	}
	for _, c := range checks {
		if err := s.files.removeCheck(c); err != nil {
			return err
		}
	}
	s.mu.Lock()
	close(e.changed)
	for _, c := range checks {
		s.dropCheckLocked(c)
	}
	delete(s.services, id)
	s.queue.service(id)
	s.mu.Unlock()
	for _, c := range checks {
		s.runner.Remove(c)
	}
	if s.hasSidecar(id) {
		return s.removeService(id + sidecarSuffix)
	}
	return nil
}

// DeregisterCheck forgets a check.
func (s *State) DeregisterCheck(id string) error {
	s.change.Lock()
	defer s.change.Unlock()
	return s.removeCheck(id)
}

// removeCheck is DeregisterCheck for who holds s.change.
func (s *State) removeCheck(id string) error {
	if _, known := s.Check(id); !known {
		return noCheck(id)
	}
	if err := s.files.removeCheck(id); err != nil {
		return err
	}
	if err := s.disown(id); err != nil {
		return err
	}
	s.mu.Lock()
	s.dropCheckLocked(id)
	s.mu.Unlock()
	s.runner.Remove(id)
	return nil
}
