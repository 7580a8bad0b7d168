package catalog

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hanse-project/hanse/store"
)

// maxAnswers bounds how many services' answers are kept.
const maxAnswers = 4096

// answers keeps what was gathered for a service until the service's index moves on, so
// that a thousand watchers of a thousand instances cost one reading of the tables.
// Whatever an answer shows is touched under the service's name when it changes: its
// index stands for its content.
type answers struct {
	mu     sync.RWMutex
	byName map[string]*answer // by the name the store notes changes under

	names atomic.Pointer[names]
}

// names is the list of services with their tags, read-only.
type names struct {
	index uint64
	tags  map[string][]string
}

// all lists the services, or finds them listed. It watches the whole table.
func (a *answers) all(v *store.View) *names {
	at := v.WatchTouch(tableServices)
	if known := a.names.Load(); known != nil && known.index == at {
		return known
	}
	fresh := &names{index: at, tags: map[string][]string{}}
	for i := range store.Rows[*instance](v.Unwatched(), tableServices, "id") {
		addTags(fresh.tags, i.service.Service, i.service.Tags)
	}
	a.names.Store(fresh)
	return fresh
}

// addTags adds those of one instance to the tags of its service.
func addTags(services map[string][]string, name string, more Tags) {
	tags, found := services[name]
	if !found {
		tags = []string{}
	}
	for _, tag := range more {
		if !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	services[name] = tags
}

// answer is everything about the instances of one service, unfiltered and read-only.
type answer struct {
	index     uint64
	instances []CheckServiceNode
	// flat is the same for the catalog, made when it is first asked for.
	flat func() []*ServiceNode
}

// of gathers the instances in an index of the services' table, or finds them gathered.
// name is what their changes are noted under. It watches them all, and answers nil if
// there are none.
func (a *answers) of(v *store.View, index, service, name string) *answer {
	at := v.WatchTouch(name)
	if at == 0 {
		a.forget(name)
		return nil
	}
	a.mu.RLock()
	known := a.byName[name]
	a.mu.RUnlock()
	if known != nil && known.index == at {
		return known
	}
	instances := instancesOf(v.Unwatched(), index, service)
	var older []CheckServiceNode
	if known != nil {
		older = known.instances
	}
	remember(instances, older)
	fresh := &answer{index: at, instances: instances, flat: sync.OnceValue(func() []*ServiceNode {
		flat := make([]*ServiceNode, len(instances))
		for i, in := range instances {
			flat[i] = flatten(in.Node, in.Service)
			flat[i].encoded = new(encoded)
		}
		return flat
	})}
	a.keep(name, fresh)
	return fresh
}

// keep takes an answer in, unless a reader of a later state was faster.
func (a *answers) keep(name string, fresh *answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if known := a.byName[name]; known != nil && known.index > fresh.index {
		return
	}
	if len(a.byName) >= maxAnswers {
		clear(a.byName)
	}
	a.byName[name] = fresh
}

func (a *answers) forget(name string) {
	a.mu.RLock()
	_, known := a.byName[name]
	a.mu.RUnlock()
	if known {
		a.mu.Lock()
		delete(a.byName, name)
		a.mu.Unlock()
	}
}
