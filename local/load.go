package local

import (
	"fmt"
	"reflect"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/config"
)

// set is what the files of a configuration define.
type set struct {
	services map[string]*Service
	checks   map[string]*Check
}

// Load registers what the files of a configuration define, in the place of what earlier
// ones did. Whatever is equal goes on undisturbed. After an error nothing has changed.
//
// The first call also takes in what was kept in the data directory. Where both know an
// ID, the file's word stands.
func (s *State) Load(defs []config.Definition) error {
	wanted, err := s.readAll(defs)
	if err != nil {
		return err
	}
	s.change.Lock()
	defer s.change.Unlock()
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
		cfg: Config{RemoteScripts: cfg.EnableScriptChecks, FileScripts: cfg.EnableLocalScriptChecks},
		log: hclog.NewNullLogger(),
	}
	_, err := s.readAll(cfg.Definitions)
	return err
}

// readAll decodes and checks definitions.
func (s *State) readAll(defs []config.Definition) (*set, error) {
	all := &set{map[string]*Service{}, map[string]*Check{}}
	scripts := s.cfg.RemoteScripts || s.cfg.FileScripts
	for _, d := range defs {
		if err := s.read(all, d, scripts); err != nil {
			return nil, err
		}
	}
	for id, c := range all.checks {
		if c.ServiceID == "" {
			continue
		}
		_, defined := all.services[c.ServiceID]
		if _, _, _, registered := s.Service(c.ServiceID); !defined && !registered {
			return nil, fmt.Errorf("check %q: ServiceID %q does not exist", id, c.ServiceID)
		}
	}
	return all, nil
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
		all.checks[def.ID] = def
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
	all.services[def.ID] = def
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
		s.report("service", id, s.removeService(id))
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
