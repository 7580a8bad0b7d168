package replicate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/time/rate"
)

// change is an operation with what it makes known of its key.
type change struct {
	rel  string
	op   Op
	next known

	// at is the change's place in the feed, if everything before it is here once the
	// change is.
	at Cursor

	// owned is by how much it changes the number of the link's keys at the destination.
	owned int
}

// ledger is the destination's half of a link: the checkpoint, what the destination
// holds, and the changes on their way there.
type ledger struct {
	sink   Sink
	link   Link
	key    string
	writer string
	limit  *rate.Limiter // in keys, nil for no limit
	status *tracker

	checkpoint Checkpoint
	index      uint64 // of the checkpoint's key at the destination, 0 when there is none
	mirror     *mirror

	queue []change
	bytes int // what the queue costs

	// plan is the checkpoint as it will be once the queue is written.
	plan Checkpoint

	// owes says that a value was written whose checkpoint was not.
	owes bool

	// written is when the checkpoint was last written, 0 since it was read.
	written time.Time
}

// open reads the checkpoint and then, unless it can be asked for keys by name, all that the
// destination holds. In this order a change by another daemon in between makes the first
// batch fail.
func (l *ledger) open(ctx context.Context, s scope, paged bool) error {
	l.queue, l.bytes, l.owes, l.written = nil, 0, false, time.Time{}
	value, index, err := l.sink.Load(ctx, l.key)
	if err != nil {
		return fmt.Errorf("read checkpoint %s: %w", l.key, err)
	}
	l.checkpoint = Checkpoint{SourceDatacenter: l.link.SourceDC, Source: l.link.Source, Destination: l.link.Destination}
	l.index = index
	if index != 0 {
		if l.checkpoint, err = DecodeCheckpoint(value, l.link); err != nil {
			return fmt.Errorf("checkpoint %s is unusable, delete the key to compare afresh: %w", l.key, err)
		}
	}
	l.plan = l.checkpoint
	if paged {
		l.mirror = &mirror{window: true}
		return nil
	}
	if l.mirror, err = readMirror(ctx, l.sink, s); err != nil {
		return fmt.Errorf("list %q at the destination: %w", l.link.Destination, err)
	}
	l.plan.Keys = len(l.mirror.keys)
	return nil
}

// add queues changes that belong together: they land in one batch if they fit in one. What
// does not fit beside what is queued has that written out first.
func (l *ledger) add(ctx context.Context, group ...change) error {
	cost := 0
	for _, c := range group {
		cost += l.sink.Cost(c.op)
	}
	limits := l.limits(group[len(group)-1].at.After)
	if len(l.queue) > 0 && (len(l.queue)+len(group) > limits.Ops || l.bytes+cost > limits.Bytes) {
		if err := l.flush(ctx); err != nil {
			return err
		}
	}
	for _, c := range group {
		if err := l.put(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

func (l *ledger) put(ctx context.Context, c change) error {
	limits, cost := l.limits(c.at.After), l.sink.Cost(c.op)
	if len(l.queue) > 0 && (len(l.queue) >= limits.Ops || l.bytes+cost > limits.Bytes) {
		if err := l.flush(ctx); err != nil {
			return err
		}
	}
	l.queue = append(l.queue, c)
	l.bytes += cost
	l.status.queued(1)
	if cost > limits.Bytes {
		// Beyond every limit: alone, and before its checkpoint.
		if err := l.flush(ctx); err != nil {
			return err
		}
		l.owes = true
	}
	return l.reach(ctx, c.at)
}

// reach lets the checkpoint move to the place in the feed with the next write.
func (l *ledger) reach(ctx context.Context, at Cursor) error {
	if at.Index == 0 {
		return nil
	}
	if err := l.makeRoom(ctx, at.After); err != nil {
		return err
	}
	l.plan.advance(at)
	return nil
}

// makeRoom writes the queue out if a key of that name in the checkpoint would make the batch
// too large.
func (l *ledger) makeRoom(ctx context.Context, name string) error {
	if len(l.queue) > 0 && l.bytes > l.limits(name).Bytes {
		return l.flush(ctx)
	}
	return nil
}

// pass writes what is left of a page that is not the last.
func (l *ledger) pass(ctx context.Context) error {
	if len(l.queue) == 0 {
		return nil
	}
	return l.flush(ctx)
}

// arrive writes what is left at the end of a feed. A checkpoint that only moved is written
// rarely.
func (l *ledger) arrive(ctx context.Context) error {
	moved := l.checkpoint
	moved.FeedIndex, moved.LastReplicated = l.plan.FeedIndex, l.plan.LastReplicated
	if moved == l.plan && !l.owes && time.Since(l.written) < idleMove {
		return l.pass(ctx)
	}
	return l.finish(ctx)
}

// finish writes what is left together with the checkpoint, and nothing at all when neither
// has news.
func (l *ledger) finish(ctx context.Context) error {
	if len(l.queue) == 0 && l.index != 0 && l.plan == l.checkpoint {
		return nil
	}
	return l.flush(ctx)
}

// limits are the sink's, less what the checkpoint takes with a key of that name in it,
// which grows a little as its numbers do.
func (l *ledger) limits(name string) Limits {
	const room = 2048 + 512 // counters, times, reasons to hold
	name = longer(name, longer(l.plan.FeedAfter, longer(l.plan.Pass.FeedAfter, string(l.plan.Pass.After))))
	limits := l.sink.Limits()
	limits.Ops--
	limits.Bytes -= room + 2*l.sink.Cost(Op{Key: l.key + l.link.String() + l.writer + name})
	if l.limit != nil {
		limits.Ops = min(limits.Ops, max(l.limit.Burst(), leastBatch))
	}
	return limits
}

// leastBatch is how many keys are written at once whatever the rate limit: a small
// transaction of the source lands whole.
const leastBatch = 64

// await lets the rate limit pass.
func (l *ledger) await(ctx context.Context, keys int) error {
	for l.limit != nil && keys > 0 {
		n := min(keys, l.limit.Burst())
		if err := l.limit.WaitN(ctx, n); err != nil {
			return fmt.Errorf("wait for the rate limit: %w", err)
		}
		keys -= n
	}
	return nil
}

// flush applies the queue with the checkpoint as planned. After an error the destination is
// unknown, and must be opened again.
func (l *ledger) flush(ctx context.Context) error {
	if err := l.await(ctx, len(l.queue)); err != nil {
		l.mirror = nil
		return err
	}
	batch, next := Batch{Ops: make([]Op, 0, len(l.queue))}, l.plan
	for _, c := range l.queue {
		batch.Ops = append(batch.Ops, c.op)
		next.Keys += c.owned
		switch c.op.Kind {
		case SetKey:
			next.Applied++
			next.Bytes += uint64(len(c.op.Value))
		case DeleteKey:
			next.Deleted++
		}
	}
	next.Batch++
	next.Writer, next.Updated = l.writer, time.Now().UTC().Round(0)
	value, err := next.encode()
	if err != nil {
		return fmt.Errorf("encode checkpoint: %w", err)
	}
	batch.Record = Record{Key: l.key, Value: value, Index: l.index}
	index, err := l.sink.Apply(ctx, batch)
	if err != nil {
		l.mirror = nil
		return l.explain(ctx, err)
	}
	for _, c := range l.queue {
		l.mirror.note(c)
	}
	l.status.wrote(l.checkpoint, next, len(l.queue))
	l.queue, l.bytes = slices.Delete(l.queue, 0, len(l.queue)), 0
	l.checkpoint, l.plan, l.index, l.written = next, next, index, time.Now()
	l.owes = false
	return nil
}

// explain says who moved the checkpoint, if that is what happened.
func (l *ledger) explain(ctx context.Context, err error) error {
	if !errors.Is(err, ErrMoved) {
		return fmt.Errorf("write to the destination: %w", err)
	}
	who := "someone deleted it"
	if value, index, loadErr := l.sink.Load(ctx, l.key); loadErr != nil {
		who = "who did cannot be read: " + loadErr.Error()
	} else if index != 0 {
		c, decodeErr := DecodeCheckpoint(value, l.link)
		who = "last written by " + c.Writer
		if decodeErr != nil {
			who = "it now is " + decodeErr.Error()
		}
	}
	return fmt.Errorf("%w (%s, %s)", err, l.key, who)
}

// moved reports whether another daemon wrote the checkpoint since this one did.
func (l *ledger) moved(ctx context.Context) (bool, error) {
	_, index, err := l.sink.Load(ctx, l.key)
	if err != nil {
		return false, fmt.Errorf("read checkpoint %s: %w", l.key, err)
	}
	return index != l.index, nil
}

// drop forgets changes that were not written.
func (l *ledger) drop() {
	l.status.queued(-len(l.queue))
	keys := l.plan.Keys
	l.queue, l.bytes, l.plan = nil, 0, l.checkpoint
	l.plan.Keys = keys
}
