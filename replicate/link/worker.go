package link

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hanse-project/hanse/replicate"
)

const (
	// heartbeat is how often the source of a link lets hear that there is nothing new.
	heartbeat = 5 * time.Second
	// retryFirst and retryMost bound the delay between two attempts of a link: it is to be in
	// step two seconds after its source is back. While that cannot be reached an attempt fails
	// without sending anything.
	retryFirst = 250 * time.Millisecond
	retryMost  = time.Second
	// lookAgain is how long a link waits for a loop to be gone, and lookSoon for those to be
	// heard who know whether there is one: until then it runs.
	lookAgain = time.Minute
	lookSoon  = 5 * time.Second
)

// worker runs one link, from its start to the next change of its settings.
type worker struct {
	manager *Manager
	row     *Row
	cancel  context.CancelFunc
	// done is closed once nothing runs any more.
	done chan struct{}

	mu     sync.Mutex
	runner *replicate.Runner
	orders replicate.Orders
	// refused is why the link does not run, "" if it does.
	refused string
}

// start begins to run a link.
func (m *Manager) start(ctx context.Context, r *Row) *worker {
	ctx, cancel := context.WithCancel(ctx)
	w := &worker{manager: m, row: r, cancel: cancel, done: make(chan struct{}), orders: ordersOf(r)}
	w.renew()
	go func() {
		defer close(w.done)
		defer cancel()
		w.run(ctx)
	}()
	return w
}

func ordersOf(r *Row) replicate.Orders {
	return replicate.Orders{Resync: r.Resync, Decision: r.Decision, Approved: r.Approved}
}

// run runs the link whenever it does not feed itself, until ctx ends.
func (w *worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		way, sure := w.manager.loop(ctx, &w.row.Link)
		if ctx.Err() != nil {
			return
		}
		if way != "" {
			w.refuse(loopText(&w.row.Link, way))
			wait(ctx, lookAgain)
			continue
		}
		w.refuse("")
		w.follow(ctx, sure)
	}
}

// follow runs the link until ctx ends. One of which it is not sure that it does not feed
// itself runs until that is known to be so.
func (w *worker) follow(ctx context.Context, sure bool) {
	ctx, cancel := context.WithCancel(ctx)
	var looking sync.WaitGroup
	defer looking.Wait()
	defer cancel()
	if !sure {
		looking.Go(func() {
			defer cancel()
			w.look(ctx)
		})
	}
	if err := w.renew().Run(ctx); err != nil {
		w.manager.cfg.Logger.Error("a link ended by itself", "link", w.row.Name, "error", err)
		wait(ctx, retryMost)
	}
}

// look returns when the link is known to feed itself. When it is known that it does not, it
// waits for ctx to end.
func (w *worker) look(ctx context.Context) {
	for wait(ctx, lookSoon) {
		way, sure := w.manager.loop(ctx, &w.row.Link)
		if way != "" {
			return
		}
		if sure {
			<-ctx.Done()
		}
	}
}

// wait returns false if ctx ends before the time is over.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (w *worker) refuse(why string) {
	w.mu.Lock()
	was := w.refused
	w.refused = why
	w.mu.Unlock()
	if log := w.manager.cfg.Logger; why != "" && was == "" {
		log.Error("a link is refused", "link", w.row.Name, "reason", why)
	} else if why == "" && was != "" {
		log.Info("a link is not refused any more", "link", w.row.Name)
	}
}

// renew puts a fresh runner in the place of the one there is: each runs once.
func (w *worker) renew() *replicate.Runner {
	runner := w.manager.runner(w.row)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.runner = runner
	runner.Order(w.orders)
	return runner
}

func (w *worker) current() *replicate.Runner {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.runner
}

// order passes on what was asked of the link since.
func (w *worker) order(r *Row) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.orders = ordersOf(r)
	w.runner.Order(w.orders)
}

// runner makes what follows a link.
func (m *Manager) runner(r *Row) *replicate.Runner {
	runner, err := replicate.NewRunner(replicate.RunnerConfig{
		Link: r.engine(), Name: r.Name,
		Source: &source{caller: m.cfg.Caller, datacenter: r.SourceDatacenter, token: r.Token},
		Sink: &sink{
			store: m.cfg.Store, log: m.cfg.Log, caller: m.cfg.Caller, datacenter: m.cfg.Datacenter,
			link: r.CreateIndex, prune: r.Prune, maxValue: m.cfg.MaxValue,
			onHold: func() { go m.tellHeld(r.Name) },
		},
		CheckpointKey: r.Name, StatusPath: replicate.DefaultStatusPath, PagesOnly: true, BinaryNames: true,
		Guard: replicate.Guard{MaxFraction: r.MaxDeleteFraction}, Conflict: r.Conflict,
		Prune: r.Prune, Delete: r.Delete, RateLimit: r.RateLimit,
		VerifyInterval: time.Duration(r.VerifyInterval), Repair: r.Repair, Heartbeat: heartbeat,
		Retry:   replicate.Retry{Base: retryFirst, Max: retryMost},
		ToAllow: fmt.Sprintf("hanse replicate link approve %s; to keep the keys: hanse replicate link reject %s", r.Name, r.Name), Writer: m.cfg.Node, Log: m.cfg.Logger,
	})
	if err != nil {
		panic("link: what was complete is refused: " + err.Error())
	}
	return runner
}
