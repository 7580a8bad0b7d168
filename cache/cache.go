package cache

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hanse-project/hanse/rpc"
)

const (
	// DefaultMaxEntries bounds the answers that are kept. Each may have a blocking query
	// under way, of which there are some thousands at most to one datacenter.
	DefaultMaxEntries = 2048
	// DefaultMaxBytes bounds the memory of the answers that are kept.
	DefaultMaxBytes = 64 << 20
	// keepFor is how long an answer is kept after it was last asked for. It outlives a
	// weekend without servers.
	keepFor = 72 * time.Hour
	// refreshFor is how long an answer is kept up to date after it was last asked for.
	refreshFor = time.Hour
	// sweepEvery is how often unused answers are looked for.
	sweepEvery = time.Minute
)

// Config is what a cache needs.
type Config struct {
	// Caller carries the calls to the servers.
	Caller rpc.Caller
	// FetchRate bounds the refreshes of one answer, per second; 0 is no bound.
	FetchRate float64
	// FetchBurst is how many refreshes may come at once before FetchRate holds; 0 is 1.
	FetchBurst int
	// MaxEntries and MaxBytes bound what is kept; 0 is the default.
	MaxEntries int
	MaxBytes   int64
	Registerer prometheus.Registerer
	Log        hclog.Logger
}

// Cache keeps answers. [Cache.Run] must follow [New].
type Cache struct {
	cfg     Config
	metrics *metrics
	log     hclog.Logger

	// ctx is that of all fetches. It ends with Run.
	ctx   context.Context
	end   context.CancelCauseFunc
	tasks sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	entries map[string]*entry
	// used holds the entries, the last one asked for in front.
	used  list.List
	bytes int64
}

// errStopped is the error of calls that the end of the cache interrupts.
var errStopped = errors.New("the agent's cache is stopped")

// New makes a cache.
func New(cfg Config) *Cache {
	if cfg.MaxEntries == 0 {
		cfg.MaxEntries = DefaultMaxEntries
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = DefaultMaxBytes
	}
	c := &Cache{cfg: cfg, metrics: newMetrics(cfg.Registerer), log: cfg.Log.Named("cache"), entries: map[string]*entry{}}
	c.ctx, c.end = context.WithCancelCause(context.Background())
	return c
}

// Run drops what nobody asks for any more, until ctx ends. It returns after the last
// fetch has ended.
func (c *Cache) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.sweep(time.Now())
		case <-ctx.Done():
			c.close()
			return ctx.Err()
		}
	}
}

func (c *Cache) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.end(errStopped)
	c.tasks.Wait()
}

// sweep ends refreshes and drops entries that were not used for long.
func (c *Cache) sweep(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for at := c.used.Back(); at != nil; {
		e := at.Value.(*entry)
		at = at.Prev()
		idle := now.Sub(e.usedAt)
		switch {
		case idle < refreshFor:
			return // all before it were used later
		case e.waiters > 0:
		case idle >= keepFor:
			c.dropLocked(e)
			c.metrics.expired()
		default:
			c.stopLocked(e, now)
		}
	}
}

// enterLocked finds the entry of a key, or makes it with what fetches it. It is nil if
// there is no room, because all that is kept is waited for.
func (c *Cache) enterLocked(key string, fetch fetch, refreshes bool) *entry {
	now := time.Now()
	if e := c.entries[key]; e != nil {
		e.usedAt = now
		c.used.MoveToFront(e.place)
		return e
	}
	if len(c.entries) >= c.cfg.MaxEntries && !c.evictLocked() {
		return nil
	}
	e := &entry{key: key, fetch: fetch, refreshes: refreshes, changed: make(chan struct{}), usedAt: now}
	e.place = c.used.PushFront(e)
	c.entries[key] = e
	c.metrics.entries.Set(float64(len(c.entries)))
	return e
}

// evictLocked drops the entry that was not used for longest and that nobody waits for.
func (c *Cache) evictLocked() bool {
	for at := c.used.Back(); at != nil; at = at.Prev() {
		if e := at.Value.(*entry); e.waiters == 0 {
			c.dropLocked(e)
			c.metrics.evicted.Inc()
			return true
		}
	}
	return false
}

// dropLocked forgets an entry. Who holds it still may read it.
func (c *Cache) dropLocked(e *entry) {
	if c.entries[e.key] != e {
		return
	}
	c.stopLocked(e, time.Now())
	delete(c.entries, e.key)
	c.used.Remove(e.place)
	c.bytes -= e.size
	e.size = 0
	c.metrics.entries.Set(float64(len(c.entries)))
	c.metrics.bytes.Set(float64(c.bytes))
}

// resizeLocked counts the memory of an entry anew, and makes room for it.
func (c *Cache) resizeLocked(e *entry, size int64) {
	if c.entries[e.key] != e {
		return
	}
	c.bytes += size - e.size
	e.size = size
	for c.bytes > c.cfg.MaxBytes && c.evictLocked() {
	}
	c.metrics.bytes.Set(float64(c.bytes))
}
