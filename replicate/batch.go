package replicate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// change is an operation with what it makes known of its key.
type change struct {
	rel  string
	op   Op
	next known

	// at is the change's place in the feed, if everything before it is here once the
	// change is.
	at Cursor
}

// ledger is the destination's half of a link: the checkpoint, what the destination
// holds, and the changes on their way there.
type ledger struct {
	sink   Sink
	link   Link
	key    string
	writer string
	status *tracker

	checkpoint Checkpoint
	index      uint64 // of the checkpoint's key at the destination, 0 when there is none
	mirror     *mirror

	queue []change
	bytes int // what the queue costs

	// end is where the checkpoint may move with the queue, 0 if it stays.
	end Cursor

	// owes says that a value was written whose checkpoint was not.
	owes bool

	// written is when the checkpoint was last written, 0 since it was read.
	written time.Time
}

// open reads the checkpoint and then what the destination holds. In this order a
// change by another daemon in between makes the first batch fail.
func (l *ledger) open(ctx context.Context, s scope) error {
	l.queue, l.bytes, l.end, l.owes, l.written = nil, 0, Cursor{}, false, time.Time{}
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
	if l.mirror, err = readMirror(ctx, l.sink, s); err != nil {
		return fmt.Errorf("list %q at the destination: %w", l.link.Destination, err)
	}
	return nil
}

// add queues a change, and writes the queue out when the change does not fit.
func (l *ledger) add(ctx context.Context, c change) error {
	limits, cost := l.limits(c.at), l.sink.Cost(c.op)
	if len(l.queue) > 0 && (len(l.queue) >= limits.Ops || l.bytes+cost > limits.Bytes) {
		if err := l.flush(ctx, l.reached()); err != nil {
			return err
		}
	}
	l.queue = append(l.queue, c)
	l.bytes += cost
	l.status.queued(1)
	if cost > limits.Bytes {
		// Beyond every limit: alone, and before its checkpoint.
		if err := l.flush(ctx, l.reached()); err != nil {
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
	if len(l.queue) > 0 && l.bytes > l.limits(at).Bytes {
		if err := l.flush(ctx, l.reached()); err != nil {
			return err
		}
	}
	l.end = at
	return nil
}

// reached is the checkpoint, moved as far as the queue goes.
func (l *ledger) reached() Checkpoint {
	c := l.checkpoint
	c.advance(l.end)
	return c
}

// pass writes what is left of a page that is not the last.
func (l *ledger) pass(ctx context.Context) error {
	if len(l.queue) == 0 {
		return nil
	}
	return l.flush(ctx, l.reached())
}

// arrive writes what is left at the end of a feed with the checkpoint's next state and
// what is held. A checkpoint that only moved is written rarely.
func (l *ledger) arrive(ctx context.Context, next Checkpoint, held, suspect string) error {
	if held == "" {
		suspect = ""
	}
	now := l.checkpoint
	next.Held, next.Suspect = held, suspect
	news := len(l.queue) > 0 || l.owes || l.index == 0 || now.Held != held || now.Suspect != suspect || now.FeedAfter != next.FeedAfter
	if !news && time.Since(l.written) < idleMove {
		return nil
	}
	return l.finish(ctx, next)
}

// finish writes what is left together with the checkpoint's next state, and
// nothing at all when neither has news.
func (l *ledger) finish(ctx context.Context, next Checkpoint) error {
	if len(l.queue) == 0 && l.index != 0 && next == l.checkpoint {
		return nil
	}
	return l.flush(ctx, next)
}

// limits are the sink's, less what the checkpoint takes at that place in the feed,
// which grows a little as its numbers do.
func (l *ledger) limits(at Cursor) Limits {
	const room = 1024 + 512 // counters, times, reasons to hold
	limits := l.sink.Limits()
	limits.Ops--
	limits.Bytes -= room + 2*l.sink.Cost(Op{Key: l.key + l.link.String() + l.writer + longer(at.After, l.end.After)})
	return limits
}

// flush applies the queue under the checkpoint next. After an error the
// destination is unknown, and must be opened again.
func (l *ledger) flush(ctx context.Context, next Checkpoint) error {
	batch := Batch{Ops: make([]Op, 0, len(l.queue))}
	for _, c := range l.queue {
		batch.Ops = append(batch.Ops, c.op)
		if c.op.Kind == DeleteKey {
			next.Deleted++
			continue
		}
		next.Applied++
		next.Bytes += uint64(len(c.op.Value))
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
		if c.op.Kind == DeleteKey {
			delete(l.mirror.keys, c.rel)
		} else {
			l.mirror.keys[c.rel] = c.next
		}
	}
	l.status.wrote(l.checkpoint, next, len(l.queue))
	l.queue, l.bytes = slices.Delete(l.queue, 0, len(l.queue)), 0
	l.checkpoint, l.index, l.written = next, index, time.Now()
	l.end, l.owes = Cursor{}, false
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
	l.queue, l.bytes, l.end = nil, 0, Cursor{}
}
