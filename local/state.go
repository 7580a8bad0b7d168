package local

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/acltoken"
	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/checks"
	"github.com/hanse-project/hanse/rpc"
)

// Config is what a [State] needs.
type Config struct {
	// Node is this agent's node as the catalog is to have it, with its datacenter.
	Node catalog.RegisterRequest
	// Caller carries the calls to the servers.
	Caller rpc.Caller
	// Tokens are sent where a definition has none; nil is none.
	Tokens *acltoken.Store
	// DataDir keeps what was registered over HTTP; "" keeps nothing.
	DataDir string
	// RemoteScripts allows script checks from everywhere, FileScripts from files.
	RemoteScripts bool
	FileScripts   bool
	// CheckTLS returns what the TLS connections of checks start from; nil is nothing of ours.
	CheckTLS func() *tls.Config
	// SidecarPorts are given to sidecars that name none.
	SidecarPorts Ports
	// CheckUpdateInterval is how long an output may wait to reach the catalog when
	// nothing else of its check changed; 0 sends it at once.
	CheckUpdateInterval time.Duration
	// ReapEvery is how often services are looked at that have been critical for long, and
	// ReapLeast the least time after which one is deregistered; 0 are 30 seconds and a minute.
	ReapEvery, ReapLeast time.Duration
	// OutputMaxSize is how many bytes of an output are kept where a check does not say; 0
	// is 4096. DiscardOutput keeps none.
	OutputMaxSize int
	DiscardOutput bool
	// Members is the number of nodes of the datacenter, which spreads comparisons.
	Members func() int
	Log     hclog.Logger
}

// State is the list of the agent's services and checks, what runs the checks, and what
// keeps the catalog like it.
type State struct {
	cfg     Config
	log     hclog.Logger
	files   *files
	runner  *checks.Runner
	aliases *aliases
	queue   *queue
	kick    chan struct{} // holds one when what failed is to be tried again
	look    chan struct{} // holds one when the catalog is to be compared

	// syncing is held by a comparison, and by a round of pushes.
	syncing sync.Mutex
	seen    uint64 // index of the last comparison; of watch alone

	// change is held by everything that registers, because what is kept, what is known
	// and what runs change together. Services are registered beside each other, each
	// holding change to read and one of the lanes: waiting for the disk is most of it.
	change sync.RWMutex
	lanes  [64]sync.Mutex
	loaded bool // what was kept is registered

	mu       sync.Mutex
	services map[string]*service
	checks   map[string]*check
}

// service is a registered service. All but tags and checks stay as they are.
type service struct {
	def      *Service
	row      *catalog.NodeService
	fromFile bool
	hash     string
	changed  chan struct{}       // closed when the entry is replaced or removed
	checks   map[string]struct{} // IDs of its checks
}

// check is a registered check.
type check struct {
	def      *Check
	row      *catalog.HealthCheck
	fromFile bool
	// criticalSince is zero while the check is not critical.
	criticalSince time.Time
	// keptAt and keptStatus say when the state of a TTL check was last written to disk.
	keptAt     time.Time
	keptStatus string
}

// New makes a state that holds what was kept in the data directory. The definitions of
// files follow with [State.Load], and then [State.Run].
func New(cfg Config) (*State, error) {
	cfg.ReapEvery = cmp.Or(cfg.ReapEvery, 30*time.Second)
	cfg.ReapLeast = cmp.Or(cfg.ReapLeast, time.Minute)
	s := &State{
		cfg: cfg, log: cfg.Log.Named("local"), services: map[string]*service{}, checks: map[string]*check{},
		aliases: newAliases(), queue: newQueue(), kick: make(chan struct{}, 1), look: make(chan struct{}, 1),
	}
	var err error
	if s.files, err = openFiles(cfg.DataDir, s.log); err != nil {
		return nil, err
	}
	s.runner = s.newRunner()
	return s, nil
}

// Run runs the checks and keeps the catalog right until ctx ends.
func (s *State) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { s.push(ctx) })
	wg.Go(func() { s.watch(ctx) })
	wg.Go(func() { s.reap(ctx) })
	wg.Go(func() { s.runAliases(ctx) })
	err := s.runner.Run(ctx)
	wg.Wait()
	s.keepStates()
	return errors.Join(err, s.files.close())
}

// Services returns the registered services by ID.
func (s *State) Services() map[string]*catalog.NodeService {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]*catalog.NodeService, len(s.services))
	for id, e := range s.services {
		all[id] = e.row
	}
	return all
}

// Checks returns the registered checks by ID.
func (s *State) Checks() map[string]*catalog.HealthCheck {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]*catalog.HealthCheck, len(s.checks))
	for id, e := range s.checks {
		all[id] = e.row
	}
	return all
}

// Service finds a service, with a hash of its content. changed is closed when the
// service is another one or gone.
func (s *State) Service(id string) (row *catalog.NodeService, hash string, changed <-chan struct{}, found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, found := s.services[id]
	if !found {
		return nil, "", nil, false
	}
	return e.row, e.hash, e.changed, true
}

// Check finds a check.
func (s *State) Check(id string) (*catalog.HealthCheck, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, found := s.checks[id]
	if !found {
		return nil, false
	}
	return e.row, true
}

// Health is the state of one service with its checks and those of the node.
type Health struct {
	// Status is the worst of the checks, or [Maintenance].
	Status  string
	Service *catalog.NodeService
	// Checks are in order of their IDs.
	Checks []*catalog.HealthCheck
}

// Maintenance is the status of what is taken out of service by hand.
const Maintenance = "maintenance"

// HealthOf returns the health of the services that which is true for, in order of their IDs.
func (s *State) HealthOf(which func(*catalog.NodeService) bool) []Health {
	s.mu.Lock()
	defer s.mu.Unlock()
	node := map[string]*check{}
	for id, c := range s.checks {
		if c.row.ServiceID == "" {
			node[id] = c
		}
	}
	var all []Health
	for _, id := range slices.Sorted(maps.Keys(s.services)) {
		e := s.services[id]
		if !which(e.row) {
			continue
		}
		h := Health{Status: catalog.Passing, Service: e.row, Checks: []*catalog.HealthCheck{}}
		ids := slices.AppendSeq(slices.Collect(maps.Keys(node)), maps.Keys(e.checks))
		slices.Sort(ids)
		for _, id := range ids {
			c := s.checks[id]
			h.Checks = append(h.Checks, c.row)
			status := c.row.Status
			if c.def.maintains() {
				status = Maintenance
			}
			h.Status = Worst(h.Status, status)
		}
		all = append(all, h)
	}
	return all
}

// badness orders the states.
var badness = map[string]int{catalog.Passing: 1, catalog.Warning: 2, catalog.Critical: 3, Maintenance: 4}

// Worst returns the worse of two states.
func Worst(a, b string) string {
	if badness[b] > badness[a] {
		return b
	}
	return a
}
