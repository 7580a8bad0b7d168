package acltoken

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"github.com/hashicorp/go-hclog"
)

// Kind is what a token is for, by its name in the configuration below acl.tokens.
type Kind string

// The kinds of tokens.
const (
	// Default is sent where a request or a definition has none.
	Default Kind = "default"
	// Agent is for the agent's own work: its node, and comparing it with the catalog.
	Agent Kind = "agent"
	// AgentRecovery opens the agent itself while its servers cannot be asked.
	AgentRecovery Kind = "agent_recovery"
	// Replication is for copying from the primary datacenter.
	Replication Kind = "replication"
	// Files is for registering what definition files hold.
	Files Kind = "config_file_service_registration"
	// DNS is for what DNS is asked.
	DNS Kind = "dns"
)

// Kinds are all kinds.
var Kinds = []Kind{Default, Agent, AgentRecovery, Replication, Files, DNS}

// oldNames are names that kinds had, in requests and in files.
var oldNames = map[string]Kind{
	"acl_token": Default, "acl_agent_token": Agent, "acl_agent_master_token": AgentRecovery,
	"agent_master": AgentRecovery, "recovery": AgentRecovery, "acl_replication_token": Replication,
}

// Named finds a kind by its name, or by one that it had.
func Named(name string) (Kind, bool) {
	if kind, old := oldNames[name]; old {
		return kind, true
	}
	return Kind(name), slices.Contains(Kinds, Kind(name))
}

// Store is the tokens of one agent. A nil store holds none.
type Store struct {
	file *file // nil where nothing is kept
	log  hclog.Logger

	// setting is held while a token is kept and changed.
	setting sync.Mutex

	mu         sync.RWMutex
	configured map[Kind]string
	given      map[Kind]string // over HTTP; an empty one takes a configured one away
}

// Open makes a store of the tokens of the configuration, and of those that were kept in
// dir, which go before them. Without a dir nothing is kept.
func Open(dir string, configured map[Kind]string, log hclog.Logger) (*Store, error) {
	s := &Store{log: log.Named("tokens"), configured: configured, given: map[Kind]string{}}
	if dir == "" {
		return s, nil
	}
	s.file = &file{dir}
	kept, err := s.file.read()
	if err != nil {
		return nil, err
	}
	s.given = kept
	for _, kind := range Kinds {
		if secret, both := kept[kind]; both && configured[kind] != "" && configured[kind] != secret {
			s.log.Warn("a token is in the configuration and was set over HTTP too: the latter counts", "token", kind)
		}
	}
	return s, nil
}

// Configure replaces the tokens of the configuration. Those that were set stay.
func (s *Store) Configure(configured map[Kind]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.configured = configured
}

// Set gives one kind its secret, "" for none. An error means that it could not be kept, and
// that nothing has changed.
func (s *Store) Set(kind Kind, secret string) error {
	s.setting.Lock()
	defer s.setting.Unlock()
	s.mu.RLock()
	given := maps.Clone(s.given)
	s.mu.RUnlock()
	given[kind] = secret
	if s.file != nil {
		if err := s.file.write(given); err != nil {
			return err
		}
	}
	s.mu.Lock()
	s.given = given
	s.mu.Unlock()
	s.log.Info("Updated agent's ACL token", "token", kind)
	return nil
}

// Get returns the secret of one kind as it was set or configured, "" if it was not.
func (s *Store) Get(kind Kind) string {
	if s == nil {
		return ""
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if secret, given := s.given[kind]; given {
		return secret
	}
	return s.configured[kind]
}

// For returns what is sent for the sake of a kind: its own secret, or the default one.
func (s *Store) For(kind Kind) string { return cmp.Or(s.Get(kind), s.Get(Default)) }
