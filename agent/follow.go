package agent

import (
	"bytes"
	"context"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/rpc"
)

// followerLines is how many lines may wait for a follower. What comes while it is full
// is left out: the log of an agent waits for nobody.
const followerLines = 512

// logger is a log that can be followed at a level of the follower's own. Its loggers by
// name have the same followers.
type logger struct {
	hclog.InterceptLogger
	followers *followers
}

// followers are those who read a log while it is written.
type followers struct {
	mu     sync.Mutex
	levels map[*follower]hclog.Level
	// least is the most talkative of the levels, [hclog.Off] if there is none.
	least atomic.Int32
}

func newLogger(opts *hclog.LoggerOptions) *logger {
	l := &logger{hclog.NewInterceptLogger(opts), &followers{levels: map[*follower]hclog.Level{}}}
	l.followers.least.Store(int32(hclog.Off))
	return l
}

// wants tells whether a follower reads lines of this level.
func (l *logger) wants(level hclog.Level) bool { return hclog.Level(l.followers.least.Load()) <= level }

// Who asks whether a line is wanted would else not write it for a follower.

func (l *logger) IsTrace() bool { return l.wants(hclog.Trace) || l.InterceptLogger.IsTrace() }
func (l *logger) IsDebug() bool { return l.wants(hclog.Debug) || l.InterceptLogger.IsDebug() }
func (l *logger) IsInfo() bool  { return l.wants(hclog.Info) || l.InterceptLogger.IsInfo() }
func (l *logger) IsWarn() bool  { return l.wants(hclog.Warn) || l.InterceptLogger.IsWarn() }

// Named implements [hclog.Logger].
func (l *logger) Named(name string) hclog.Logger {
	return &logger{l.NamedIntercept(name), l.followers}
}

// ResetNamed implements [hclog.Logger].
func (l *logger) ResetNamed(name string) hclog.Logger {
	return &logger{l.ResetNamedIntercept(name), l.followers}
}

// With implements [hclog.Logger].
func (l *logger) With(args ...any) hclog.Logger {
	return &logger{l.InterceptLogger.With(args...).(hclog.InterceptLogger), l.followers}
}

// follower takes the lines for one reader.
type follower struct {
	lines   chan []byte
	skipped atomic.Int64
}

// Write implements [io.Writer] for one line, and never waits.
func (f *follower) Write(line []byte) (int, error) {
	select {
	case f.lines <- bytes.Clone(line):
	default:
		f.skipped.Add(1)
	}
	return len(line), nil
}

// add registers a follower. leave takes it out again.
func (l *logger) add(f *follower, level hclog.Level, json bool) (leave func()) {
	sink := hclog.NewSinkAdapter(lineOptions(level, json, f))
	l.followers.set(f, level)
	l.RegisterSink(sink)
	return func() {
		l.DeregisterSink(sink)
		l.followers.set(f, hclog.Off)
	}
}

func (f *followers) set(who *follower, level hclog.Level) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.levels[who] = level
	if level == hclog.Off {
		delete(f.levels, who)
	}
	least := hclog.Off
	if len(f.levels) > 0 {
		least = slices.Min(slices.Collect(maps.Values(f.levels)))
	}
	f.least.Store(int32(least))
}

// follow writes the log from level on to w until ctx ends or w fails. An empty write says
// that it has begun, and each other is one line or several. A reader that is too slow
// misses lines, and is told how many.
func (l *logger) follow(ctx context.Context, level hclog.Level, json bool, w io.Writer) error {
	f := &follower{lines: make(chan []byte, followerLines)}
	defer l.add(f, level, json)()
	if _, err := w.Write(nil); err != nil {
		return err
	}
	for {
		select {
		case line := <-f.lines:
			if _, err := w.Write(f.more(line, json)); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// more adds to a line those that wait behind it, and how many were left out.
func (f *follower) more(text []byte, json bool) []byte {
	for range len(f.lines) {
		text = append(text, <-f.lines...)
	}
	if n := f.skipped.Swap(0); n > 0 {
		var notice bytes.Buffer
		hclog.New(lineOptions(hclog.Warn, json, &notice)).Warn("lines of the log were left out: they came faster than they were read", "lines", n)
		text = append(text, notice.Bytes()...)
	}
	return text
}

// Monitor implements [httpapi.Agent].
func (s *self) Monitor(ctx context.Context, level hclog.Level, json bool, w io.Writer) error {
	log, ok := s.agent.opts.Log.(*logger)
	if !ok {
		return rpc.Failed("the log of this agent cannot be followed: it belongs to the program around it")
	}
	return log.follow(ctx, level, json, w)
}
