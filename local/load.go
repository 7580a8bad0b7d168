package local

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/config"
)

// set is what the files of a configuration define.
type set struct {
	services map[string]*Service
	checks   map[string]*Check
	sources  map[string]string // the files of the definitions, by kind and ID
}

// wrong is what is wrong with a service, with the file it is from.
func (s *set) wrong(id string, err error) error {
	return fmt.Errorf("%s: service %q: %w", s.sources["service "+id], id, err)
}

// Load registers what the files of a configuration define, in the place of what earlier
// ones did. Whatever is equal goes on undisturbed. After an error nothing has changed.
//
// The first call also takes in what was kept in the data directory. Where both know an
// ID, the file's word stands.
func (s *State) Load(defs []config.Definition) error {
	s.change.Lock()
	defer s.change.Unlock()
	wanted, err := s.readAll(defs)
	if err != nil {
		return err
	}
	s.removeUndefined(wanted)
	for _, def := range wanted.services {
		s.loadService(def)
	}
	for _, def := range wanted.checks {
		s.loadCheck(def)
	}
	if !s.loaded {
		s.loaded = true
		s.loadKept()
	}
	return nil
}

// Validate says what is wrong with the definitions of files, as an agent with this
// configuration would find it.
func Validate(cfg *config.Config) error {
	s := &State{
		cfg: Config{
			RemoteScripts: cfg.EnableScriptChecks, FileScripts: cfg.EnableLocalScriptChecks,
			SidecarPorts: Ports{cfg.Ports.SidecarMin, cfg.Ports.SidecarMax},
		},
		log: hclog.NewNullLogger(), loaded: true,
	}
	_, err := s.readAll(cfg.Definitions)
	return err
}

// readAll decodes and checks definitions, and names all that are wrong in themselves
// before it looks at them together. The caller holds s.change.
func (s *State) readAll(defs []config.Definition) (*set, error) {
	all := &set{map[string]*Service{}, map[string]*Check{}, map[string]string{}}
	scripts := s.cfg.RemoteScripts || s.cfg.FileScripts
	var errs []error
	for _, d := range defs {
		errs = append(errs, s.read(all, d, scripts))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if err := s.readSidecars(all, scripts); err != nil {
		return nil, err
	}
	for _, id := range slices.Sorted(maps.Keys(all.checks)) {
		c := all.checks[id]
		if c.ServiceID == "" {
			continue
		}
		_, defined := all.services[c.ServiceID]
		if _, _, _, registered := s.Service(c.ServiceID); !defined && !registered {
			errs = append(errs, fmt.Errorf("%s: check %q: ServiceID %q does not exist", all.sources["check "+id], id, c.ServiceID))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return all, nil
}

// readSidecars adds the proxies that come with services. Each has its port, the one that
// it had before if possible.
func (s *State) readSidecars(all *set, scripts bool) error {
	taken := s.takenPorts(func(e *service) bool { return !e.fromFile })
	if !s.loaded {
		for _, def := range s.files.loadServices() {
			taken[def.Port] = true
		}
	}
	var sides []*Service
	for _, id := range slices.Sorted(maps.Keys(all.services)) {
		def := all.services[id]
		side, err := def.sidecar()
		if err != nil {
			return all.wrong(id, err)
		}
		if side != nil {
			sides = append(sides, side)
		} else {
			taken[def.Port] = true
		}
	}
	for _, side := range sides {
		taken[all.services[side.sidecarOf].Port] = true
		if _, twice := all.services[side.ID]; twice {
			return all.wrong(side.sidecarOf, invalidf("its sidecar_service has the ID of another service, %q: give that one another ID", side.ID))
		}
		if side.Port > 0 {
			taken[side.Port] = true
		}
	}
	if without, err := s.assign(sides, taken); err != nil {
		return all.wrong(without, err)
	}
	for _, side := range sides {
		if err := s.finish(side, scripts, errFileScripts); err != nil {
			return all.wrong(side.sidecarOf, err)
		}
		all.services[side.ID] = side
	}
	return nil
}

// read adds one definition to a set.
func (s *State) read(all *set, d config.Definition, scripts bool) error {
	if d.Kind == "check" {
		def, err := decodeFile[Check](d.Body)
		if err != nil {
			return fmt.Errorf("%s: check: %w", d.Source, err)
		}
		def.complete()
		def.ID = or(def.ID, def.Name)
		if err := def.validate(); err != nil {
			return fmt.Errorf("%s: check %q: %w", d.Source, def.ID, err)
		}
		if def.script() && !scripts {
			return fmt.Errorf("%s: check %q: %w", d.Source, def.ID, errFileScripts)
		}
		if _, twice := all.checks[def.ID]; twice {
			s.log.Warn("a check is defined twice, and the later definition counts", "check", def.ID, "file", d.Source)
		}
		all.checks[def.ID], all.sources["check "+def.ID] = def, d.Source
		return nil
	}
	def, err := decodeFile[Service](d.Body)
	if err != nil {
		return fmt.Errorf("%s: service: %w", d.Source, err)
	}
	def.complete()
	if err := s.validate(def, scripts, errFileScripts); err != nil {
		return fmt.Errorf("%s: service %q: %w", d.Source, def.ID, err)
	}
	if _, twice := all.services[def.ID]; twice {
		s.log.Warn("a service is defined twice, and the later definition counts", "service", def.ID, "file", d.Source)
	}
	for _, w := range def.warnings() {
		s.log.Warn(w, "service", def.Name)
	}
	all.services[def.ID], all.sources["service "+def.ID] = def, d.Source
	return nil
}

// removeUndefined removes what earlier files defined and these do not.
func (s *State) removeUndefined(wanted *set) {
	s.mu.Lock()
	var services, checks []string
	for id, e := range s.services {
		if e.fromFile && wanted.services[id] == nil {
			services = append(services, id)
		}
	}
	for id, c := range s.checks {
		// Those that came with a service go with it, or with its new definition.
		if c.fromFile && !s.cameWithLocked(id, c) && wanted.checks[id] == nil {
			checks = append(checks, id)
		}
	}
	s.mu.Unlock()
	for _, id := range checks {
		s.report("check", id, s.removeCheck(id))
	}
	for _, id := range services {
		if _, _, _, there := s.Service(id); there { // it may have gone with another
			s.report("service", id, s.removeService(id))
		}
	}
}

// cameWithLocked tells whether a check is part of its service's definition.
func (s *State) cameWithLocked(id string, c *check) bool {
	owner := s.services[c.row.ServiceID]
	if owner == nil {
		return false
	}
	for _, def := range owner.def.Checks {
		if def.ID == id {
			return true
		}
	}
	return false
}

func (s *State) report(what, id string, err error) {
	if err != nil {
		s.log.Warn("the data directory keeps what a file replaced", what, id, "error", err)
	}
}

func (s *State) loadService(def *Service) {
	s.mu.Lock()
	old := s.services[def.ID]
	s.mu.Unlock()
	if old != nil && old.fromFile && reflect.DeepEqual(old.def, def) {
		return
	}
	s.report("service", def.ID, s.files.removeService(def.ID))
	s.put(def, true)
	if !def.wantsSidecar() && s.hasSidecar(def.ID) {
		id := def.ID + sidecarSuffix
		s.report("service", id, s.removeService(id))
	}
	for _, c := range def.Checks {
		s.restoreState(c)
	}
}

func (s *State) loadCheck(def *Check) {
	s.mu.Lock()
	old := s.checks[def.ID]
	s.mu.Unlock()
	if old != nil && old.fromFile && reflect.DeepEqual(old.def, def) {
		return
	}
	s.files.forgetCheck(def.ID)
	s.mu.Lock()
	start := s.putCheckLocked(def, true)
	s.mu.Unlock()
	if start {
		s.start([]*Check{def})
		s.restoreState(def)
	}
}

// loadKept takes in what was registered over HTTP before a restart. What the files
// define by now is theirs, and what has become wrong is named and left out.
func (s *State) loadKept() {
	for _, def := range s.files.loadServices() {
		def.complete()
		if _, _, _, known := s.Service(def.ID); known {
			s.report("service", def.ID, s.files.removeService(def.ID))
			continue
		}
		if err := s.validate(def, s.cfg.RemoteScripts, errRemoteScripts); err != nil {
			s.log.Warn("a service that was registered before is left out", "service", def.ID, "error", err)
			continue
		}
		if def.sidecarOf != "" && !s.belongs(def) {
			s.report("service", def.ID, s.files.removeService(def.ID))
			continue
		}
		s.put(def, false)
		for _, c := range def.Checks {
			s.restoreState(c)
		}
	}
	for _, def := range s.files.loadChecks() {
		def.complete()
		s.loadKeptCheck(def)
	}
}

// belongs tells whether the service of a sidecar that was kept is there, and has it.
func (s *State) belongs(side *Service) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.services[side.sidecarOf]
	return of != nil && !of.fromFile && of.def.wantsSidecar()
}

func (s *State) loadKeptCheck(def *Check) {
	if _, known := s.Check(def.ID); known {
		s.files.forgetCheck(def.ID)
		return
	}
	if !def.maintains() {
		err := def.validate()
		if err == nil && def.script() && !s.cfg.RemoteScripts {
			err = errRemoteScripts
		}
		if err != nil {
			s.log.Warn("a check that was registered before is left out", "check", def.ID, "error", err)
			return
		}
	}
	if _, _, _, known := s.Service(def.ServiceID); def.ServiceID != "" && !known {
		s.report("check", def.ID, s.files.removeCheck(def.ID))
		return
	}
	s.mu.Lock()
	start := s.putCheckLocked(def, false)
	s.mu.Unlock()
	if start {
		s.start([]*Check{def})
		s.restoreState(def)
	}
}
