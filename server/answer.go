package server

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// answerer runs handlers against this server's own state.
type answerer struct {
	store    *store.Store
	resolver rpc.Resolver
	position Position
	// waits bounds blocking queries.
	waits rpc.Waits
}

// everLed tells whether this server has ever heard from a leader: before that even a
// stale read has nothing to stand on.
func (a *answerer) everLed() bool {
	return a.position.LeaderAddress() != "" || a.store.AppliedIndex() > 0
}

// answer answers at once, or with a blocking query as soon as the index of the answer is
// above the one the query brought.
//
// Who must not be told old news had the state proven recent before. That holds for the
// whole wait: what wakes a query is a committed change, and the state only goes forward.
func (a *answerer) answer(ctx context.Context, h *rpc.Handler, req rpc.Request) (any, error) {
	env := req.Envelope()
	authz, err := a.resolver.Resolve(ctx, *env.Token)
	if err != nil {
		return nil, err
	}
	call := &rpc.Call{Authz: authz}
	q := env.Query
	if q == nil || !h.Blocking || q.MinQueryIndex == 0 {
		call.Watch = rpc.WatchOf(ctx)
		return a.once(ctx, h, call, req)
	}
	wait := a.waitOf(q)
	wait += rand.N(wait/rpc.JitterFraction + 1)
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for wasAbsent := false; ; {
		call.Watch = make(rpc.WatchSet)
		reply, err := a.once(ctx, h, call, req)
		if err != nil {
			return nil, err
		}
		meta := reply.(rpc.Reply).QueryMeta()
		unchanged := meta.AbsentAt(q.MinQueryIndex) || (wasAbsent && meta.Absent())
		if meta.Index > q.MinQueryIndex && !unchanged {
			return reply, nil
		}
		wasAbsent = meta.Absent()
		if call.Watch.WatchCtx(waiting) != nil {
			if ctx.Err() != nil {
				return nil, fmt.Errorf("wait for index %d: %w", q.MinQueryIndex, context.Cause(ctx))
			}
			a.complete(meta) // the wait is over: what there is, is the answer
			return reply, nil
		}
	}
}

// waitOf is how long a query waits here. One that leaves it to us waits no longer than
// its sender expects.
func (a *answerer) waitOf(q *rpc.QueryOptions) time.Duration {
	wait := a.waits.Of(q.MaxQueryTime)
	if q.MaxQueryTime <= 0 {
		wait = min(wait, q.Wait())
	}
	return wait
}

// complete says how this server stands with its leader at the moment.
func (a *answerer) complete(meta *rpc.Meta) {
	meta.KnownLeader = a.position.LeaderAddress() != ""
	meta.LastContact = a.position.LastContact()
}

// once runs the handler and completes the meta of its reply.
func (a *answerer) once(ctx context.Context, h *rpc.Handler, call *rpc.Call, req rpc.Request) (any, error) {
	reply, err := h.Serve(ctx, call, req)
	if err != nil {
		return nil, err
	}
	if r, ok := reply.(rpc.Reply); ok {
		meta := r.QueryMeta()
		meta.Index = max(meta.Index, 1)
		meta.ResultsFilteredByACLs = call.Filtered()
		a.complete(meta)
		if id, known := a.store.Read(nil).Identity(); known {
			meta.HanseDatacenterID, meta.HanseIncarnation = id.ID, id.Incarnation
		}
	}
	return reply, nil
}
