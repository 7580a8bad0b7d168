package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/acltoken"
	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/rpc"
)

const (
	// pushers is how many registrations are on their way at once.
	pushers = 16
	// pushWithin bounds one registration. It outlasts an election.
	pushWithin = 15 * time.Second
	// retryFirst is the wait after a failure; it doubles up to retryMost.
	retryFirst = 500 * time.Millisecond
	retryMost  = 15 * time.Second
	// enough failures end a round: there is no server to be had.
	enough = 3
)

// push carries the queue to the catalog until ctx ends. What comes while calls are on
// their way goes with the next round. What fails is tried again after a while, and what
// is new does not wait for it.
func (s *State) push(ctx context.Context) {
	var failed work
	wait := retryFirst
	retry, due := stoppedTimer(), stoppedTimer()
	defer retry.Stop()
	defer due.Stop()
	for {
		select {
		case <-s.queue.wake:
		case <-due.C:
		case <-retry.C:
			s.queue.back(failed)
			failed = work{}
		case <-s.kick:
			s.queue.back(failed)
			failed, wait = work{}, retryFirst
		case <-ctx.Done():
			return
		}
		w, next := s.queue.take()
		if !next.IsZero() {
			due.Reset(time.Until(next))
		}
		if w.empty() {
			continue
		}
		left, err := s.round(ctx, w)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			wait = retryFirst
			continue
		}
		level := hclog.Warn
		if errors.Is(err, rpc.ErrNoServers) || errors.Is(err, rpc.ErrNoLeader) {
			level = hclog.Debug // which is told elsewhere
		}
		s.log.Log(level, "the catalog could not be told of every change, will retry", "error", err, "in", wait)
		failed = merge(failed, left)
		retry.Reset(wait/2 + rand.N(wait/2+1))
		wait = min(2*wait, retryMost)
	}
}

func stoppedTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

func merge(a, b work) work {
	q := newQueue()
	q.back(a)
	q.back(b)
	return work{q.node, q.services, q.checks}
}

// Kick tries again at once what failed, and compares with the catalog soon, because a
// server has come.
func (s *State) Kick() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
	select {
	case s.look <- struct{}{}:
	default:
	}
}

// task is one call: what it is about, and what to do.
type task struct {
	about work
	do    func(context.Context) error
}

// round makes the calls for w, and returns what has to be done again.
func (s *State) round(ctx context.Context, w work) (left work, err error) {
	s.syncing.Lock()
	defer s.syncing.Unlock()
	if w.node {
		// First: what follows leaves the node as it is.
		if err := s.try(ctx, task{work{node: true}, s.pushNode}); err != nil {
			return w, err
		}
	}
	q := newQueue()
	var mu sync.Mutex
	var first error
	failures := 0
	hopeless := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return failures >= enough
	}
	tasks := make(chan task)
	var wg sync.WaitGroup
	all := s.tasks(w)
	for range min(pushers, len(all)) {
		wg.Go(func() {
			for t := range tasks {
				if hopeless() {
					q.back(t.about)
					continue
				}
				err := s.try(ctx, t)
				if err == nil {
					continue
				}
				q.back(t.about)
				mu.Lock()
				first = cmp.Or(first, err)
				if rpc.ReasonOf(err) != rpc.ReasonInvalid {
					failures++
				}
				mu.Unlock()
			}
		})
	}
	for _, t := range all {
		tasks <- t
	}
	close(tasks)
	wg.Wait()
	left, _ = q.take()
	return left, first
}

// try makes a call in its time. A refusal is final until the next comparison: nothing
// gets better by asking at once.
func (s *State) try(ctx context.Context, t task) error {
	ctx, cancel := context.WithTimeout(ctx, pushWithin)
	defer cancel()
	err := t.do(ctx)
	if errors.Is(err, rpc.ErrPermissionDenied) || errors.Is(err, rpc.ErrACLNotFound) {
		s.log.Warn("the catalog does not take a registration from us", "error", err)
		return nil
	}
	return err
}

// tasks are the calls for w. The checks of a service go with it.
func (s *State) tasks(w work) []task {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []task
	done := map[string]bool{}
	for id := range w.services {
		e, known := s.services[id]
		if !known {
			all = append(all, task{work{services: one(id)}, s.dropService(id)})
			continue
		}
		about := work{services: one(id), checks: map[string]struct{}{}}
		token := s.token(e.def.Token, e.fromFile)
		req := s.registration(token)
		req.Service = e.row
		for check := range e.checks {
			if _, dirty := w.checks[check]; dirty && s.tokenOf(s.checks[check]) == token {
				req.Checks = append(req.Checks, s.checks[check].row)
				about.checks[check] = struct{}{}
				done[check] = true
			}
		}
		all = append(all, task{about, s.register(req, "service", id)})
	}
	for id := range w.checks {
		c, known := s.checks[id]
		switch {
		case done[id]:
		case known:
			req := s.registration(s.tokenOf(c))
			req.Check = c.row
			if owner := s.services[c.row.ServiceID]; owner != nil {
				req.Service = owner.row // the catalog takes no check of a service that it lost
				if req.Token != s.token(owner.def.Token, owner.fromFile) {
					req.Service = nil
				}
			}
			all = append(all, task{work{checks: one(id)}, s.register(req, "check", id)})
		default:
			all = append(all, task{work{checks: one(id)}, s.dropCheck(id)})
		}
	}
	return all
}

// token is what a definition is registered with: its own token, or that of the agent.
func (s *State) token(own string, fromFile bool) string {
	if fromFile {
		return cmp.Or(own, s.cfg.Tokens.For(acltoken.Files))
	}
	return cmp.Or(own, s.cfg.Tokens.Get(acltoken.Default))
}

func (s *State) tokenOf(c *check) string { return s.token(c.def.Token, c.fromFile) }

func one(id string) map[string]struct{} { return map[string]struct{}{id: {}} }

// registration is the frame of a registration, which leaves the node as it is.
func (s *State) registration(token string) *catalog.RegisterRequest {
	req := s.cfg.Node
	req.Token, req.SkipNodeUpdate = token, true
	return &req
}

func (s *State) pushNode(ctx context.Context) error {
	req := s.cfg.Node
	req.Token = s.cfg.Tokens.For(acltoken.Agent)
	if _, err := catalog.Register.Call(ctx, s.cfg.Caller, &req); err != nil {
		return fmt.Errorf("register the node: %w", err)
	}
	s.log.Info("Synced node info")
	return nil
}

func (s *State) register(req *catalog.RegisterRequest, what, id string) func(context.Context) error {
	return func(ctx context.Context) error {
		if _, err := catalog.Register.Call(ctx, s.cfg.Caller, req); err != nil {
			return fmt.Errorf("register %s %q: %w", what, id, err)
		}
		s.log.Info("Synced "+what, what, id)
		return nil
	}
}

func (s *State) dropService(id string) func(context.Context) error {
	return s.drop(&catalog.DeregisterRequest{ServiceID: id}, "service", id)
}

func (s *State) dropCheck(id string) func(context.Context) error {
	return s.drop(&catalog.DeregisterRequest{CheckID: id}, "check", id)
}

func (s *State) drop(req *catalog.DeregisterRequest, what, id string) func(context.Context) error {
	req.Datacenter, req.Node, req.Token = s.cfg.Node.Datacenter, s.cfg.Node.Node, s.cfg.Tokens.For(acltoken.Agent)
	return func(ctx context.Context) error {
		if _, err := catalog.Deregister.Call(ctx, s.cfg.Caller, req); err != nil {
			return fmt.Errorf("deregister %s %q: %w", what, id, err)
		}
		s.log.Info("Deregistered "+what, what, id)
		return nil
	}
}
