package link

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hanse-project/hanse/kv"
	"github.com/hanse-project/hanse/replicate"
	"github.com/hanse-project/hanse/store"
)

// report is what a link is doing, in the engine's words.
func (m *Manager) report(v *store.View, r *Row) replicate.Status {
	w := m.worker(r)
	if w == nil {
		return resting(v, r)
	}
	w.mu.Lock()
	runner, refused := w.runner, w.refused
	w.mu.Unlock()
	if refused == "" {
		return runner.Status()
	}
	s := resting(v, r)
	s.State, s.LastError = replicate.Refused, refused
	return s
}

// resting is the status of a link that does not run: where it stands.
func resting(v *store.View, r *Row) replicate.Status {
	s := replicate.Status{Link: r.Name, State: replicate.Syncing} // it is about to
	switch {
	case !r.Enabled:
		s.State = replicate.Disabled
	case r.Paused:
		s.State = replicate.Paused
	}
	if c := checkpointOf(v.Unwatched(), r.CreateIndex); c != nil {
		if at, err := replicate.DecodeCheckpoint(c.Value, r.engine()); err == nil {
			s.AppliedIndex, s.Keys, s.HeldReason = at.Reached().Index, at.Keys, at.Held
		}
	}
	return s
}

// statuses are those of all links, nil on a server that does not lead.
func (m *Manager) statuses() []replicate.Status {
	m.mu.Lock()
	leads := m.workers != nil
	m.mu.Unlock()
	if !leads {
		return nil
	}
	v := m.cfg.Store.Read(nil)
	var all []replicate.Status
	for _, r := range rows(v) {
		all = append(all, m.report(v, r))
	}
	return all
}

// status is what a link is doing.
func (m *Manager) status(r *Row) Status {
	s := m.report(m.cfg.Store.Read(nil), r)
	return Status{
		State: string(s.State), SourceIndex: s.SourceIndex, AppliedIndex: s.AppliedIndex,
		LagSeconds: s.Lag.Seconds(), LagEntries: s.Pending, Keys: s.Keys,
		Done: s.Done, Total: s.Total, EtaSeconds: s.Left.Seconds(), KeysPerSecond: s.KeysRate, BytesPerSecond: s.BytesRate,
		Applied: s.Applied, Deleted: s.Deleted, Bytes: s.Bytes, Conflicts: s.Conflicts, Errors: s.Errors, ConflictKeys: s.ConflictKeys,
		HeldDeletes: s.HeldDeletes, HeldReason: s.HeldReason, HeldExamples: s.HeldExamples,
		DivergentKeys: s.DivergentKeys, DivergentExamples: s.DivergentExamples, Repaired: s.Repaired,
		LastVerify: utc(s.LastVerify), Verifying: s.Verifying,
		LastError: s.LastError, LastErrorAt: utc(s.LastErrorAt), NextRetry: utc(s.NextRetry), LastSuccess: utc(s.LastSuccess),
	}
}

// utc is how times travel: without a zone of their own, and without a monotonic clock.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC().Round(time.Millisecond)
}

// explainPatience is how long a source may take to say what it has.
const explainPatience = 5 * time.Second

// explain says what each link does with a key.
func (m *Manager) explain(ctx context.Context, key string) (*ExplainReply, error) {
	ctx, cancel := context.WithTimeout(ctx, explainPatience)
	defer cancel()
	v := m.cfg.Store.Read(nil)
	present := rows(v)
	rep := &ExplainReply{Key: key, Links: make([]Explanation, len(present))}
	_, rep.Exists = kv.Lookup(v, key)
	var wg sync.WaitGroup
	for i, r := range present {
		wg.Go(func() { rep.Links[i] = m.explainLink(ctx, v, r, key) })
	}
	wg.Wait()
	return rep, nil
}

func (m *Manager) explainLink(ctx context.Context, v *store.View, r *Row, key string) Explanation {
	runner := m.runner(r) // a link that rests can be asked as well
	if w := m.worker(r); w != nil {
		runner = w.current()
	}
	x, err := runner.Explain(ctx, key)
	status := m.report(v, r)
	out := Explanation{
		Link: r.Name, Role: x.Role, Action: x.Action, Reason: x.Reason, SourceKey: x.SourceKey, DestinationKey: x.DestinationKey,
		SourceIndex: x.SourceIndex, AppliedIndex: status.AppliedIndex,
	}
	if err != nil {
		out.Action = replicate.ActionUnknown
		out.Reason = fmt.Sprintf("what it does is not known, as one side cannot be asked: %v", err)
	}
	switch status.State {
	case replicate.Paused, replicate.Disabled, replicate.Refused:
		out.Reason += fmt.Sprintf(". The link is %s: nothing moves", status.State)
	}
	if e, found := kv.Lookup(v, x.DestinationKey); found && e.Origin != 0 {
		for _, other := range rows(v) {
			if other.CreateIndex == e.Origin {
				out.Origin = other.Name
			}
		}
	}
	return out
}
