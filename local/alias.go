package local

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/hanse-project/hanse/acltoken"
	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/checks"
	"github.com/hanse-project/hanse/rpc"
)

// aliases tells alias checks how those are that they follow: from the agent's own list,
// or from the catalog for other nodes.
type aliases struct {
	wake chan struct{} // holds one when a check changed or a follower came

	mu        sync.Mutex
	followers map[string]*follower // by the ID of the alias check
}

type follower struct {
	id     string
	alias  checks.Alias
	tell   func([]checks.Aliased, error)
	gone   context.Context // ends with the alias check
	begun  bool            // a remote one is looked after
	before string          // what was told last
}

func newAliases() *aliases {
	return &aliases{wake: make(chan struct{}, 1), followers: map[string]*follower{}}
}

// follow implements [checks.Follower]. Nothing is told before Run.
func (a *aliases) follow(id string, alias checks.Alias, tell func([]checks.Aliased, error)) (stop func()) {
	gone, end := context.WithCancel(context.Background())
	f := &follower{id: id, alias: alias, tell: tell, gone: gone}
	a.mu.Lock()
	a.followers[id] = f
	a.mu.Unlock()
	a.poke()
	return func() {
		end()
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.followers[id] == f {
			delete(a.followers, id)
		}
	}
}

func (a *aliases) poke() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// changed notes that a check did. It never blocks.
func (a *aliases) changed() {
	a.mu.Lock()
	followed := len(a.followers) > 0
	a.mu.Unlock()
	if followed {
		a.poke()
	}
}

// runAliases looks after alias checks until ctx ends.
func (s *State) runAliases(ctx context.Context) {
	var remote sync.WaitGroup
	defer remote.Wait()
	for {
		select {
		case <-s.aliases.wake:
		case <-ctx.Done():
			return
		}
		s.aliases.mu.Lock()
		var here []*follower
		for _, f := range s.aliases.followers {
			switch {
			case f.alias.Node == "" || strings.EqualFold(f.alias.Node, s.cfg.Node.Node):
				here = append(here, f)
			case !f.begun:
				f.begun = true
				remote.Go(func() { s.followRemote(ctx, f) })
			}
		}
		s.aliases.mu.Unlock()
		for _, f := range here {
			s.tellLocal(f)
		}
	}
}

// tellLocal passes on what the agent's own list holds, if it is news.
func (s *State) tellLocal(f *follower) {
	s.mu.Lock()
	var rows []*catalog.HealthCheck
	_, known := s.services[f.alias.Service]
	for _, c := range s.checks {
		rows = append(rows, c.row)
	}
	s.mu.Unlock()
	var err error
	if f.alias.Service != "" && !known {
		err = fmt.Errorf("service %q is not registered with this agent", f.alias.Service)
	}
	f.pass(rows, err)
}

// pass tells how the followed checks among rows are, if it is news.
func (f *follower) pass(rows []*catalog.HealthCheck, err error) {
	var all []checks.Aliased
	for _, c := range rows {
		if c.CheckID != f.id && (c.ServiceID == "" || c.ServiceID == f.alias.Service) {
			all = append(all, checks.Aliased{Name: c.Name, Status: c.Status, Output: c.Output})
		}
	}
	worst := catalog.Passing
	for _, c := range all {
		worst = Worst(worst, c.Status)
	}
	now := fmt.Sprint(worst, err)
	if f.before == now {
		return
	}
	f.before = now
	f.tell(all, err)
}

// followRemote waits for changes of the checks of another node.
func (s *State) followRemote(ctx context.Context, f *follower) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(f.gone, cancel)()
	var index uint64
	for ctx.Err() == nil {
		rep, err := catalog.NodeChecks.Call(ctx, s.cfg.Caller, &catalog.NodeSpecificRequest{
			Read: rpc.Read{Datacenter: s.cfg.Node.Datacenter, QueryOptions: rpc.QueryOptions{Token: cmp.Or(f.alias.Token, s.cfg.Tokens.Get(acltoken.Default)), MinQueryIndex: index, AllowStale: true}},
			Node: f.alias.Node,
		})
		pause := compareGap
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			f.pass(nil, fmt.Errorf("read the checks of node %q: %w", f.alias.Node, err))
			index, pause = 0, retryMost/2+rand.N(retryMost/2)
		default:
			index = rep.Index
			f.pass(rep.HealthChecks, nil)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}
