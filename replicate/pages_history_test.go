package replicate

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// past remembers what a source held at each index of each history, to check what a link says.
type past struct {
	t      *testing.T
	source *store
	sink   *store
	link   Link
	rules  rules

	mu     sync.Mutex                     // guards states: a note has the source's lock, a check the sink's
	states map[Position]map[string]string // by relative key

	// touched are the keys that somebody else wrote or deleted at the destination since the link
	// wrote them, stray those that were somebody else's or given up at some time.
	touched, stray map[string]bool
	at             Position // of the last checkpoint
	said           int      // checkpoints that were checked
}

func newPast(t *testing.T, source, sink *store, cfg RunnerConfig) *past {
	p := &past{
		t: t, source: source, sink: sink, link: cfg.Link,
		rules:  rules{conflict: cfg.Conflict, prune: cfg.Prune, delete: cfg.Delete},
		states: map[Position]map[string]string{}, touched: map[string]bool{}, stray: map[string]bool{},
	}
	sink.landed = p.landed
	return p
}

// note remembers the source as it is now.
func (p *past) note() {
	at := p.source.identity
	at.Index = p.source.index
	p.mu.Lock()
	defer p.mu.Unlock()
	p.states[at] = under(p.source, p.link.Source, p.link.Excludes)
}

// under is what the store holds, by relative key, without what is excluded. Its lock is held.
func under(s *store, prefix string, excludes []string) map[string]string {
	all := map[string]string{}
	for k, e := range s.keys {
		rel, ok := strings.CutPrefix(k, prefix)
		for _, x := range excludes {
			ok = ok && !strings.HasPrefix(k, x)
		}
		if ok {
			all[rel] = fmt.Sprintf("%d:%s", e.Flags, e.Value)
		}
	}
	return all
}

// landed checks a checkpoint that says that everything is here.
func (p *past) landed(b Batch) {
	for _, op := range b.Ops {
		rel := strings.TrimPrefix(op.Key, p.link.Destination)
		if op.Kind != AdoptKey || p.sink.mine[op.Key] { // otherwise it was written over at the last moment
			delete(p.touched, rel)
		}
		if op.Kind == ReleaseKey {
			p.stray[rel] = true
		}
		if strings.HasPrefix(rel, "own/") && !p.rules.prune {
			p.t.Errorf("%q was touched, which is none of the link's", op.Key)
		}
		if strings.HasPrefix(rel, "private/") {
			p.t.Errorf("%q was touched, which is excluded", op.Key)
		}
	}
	var c Checkpoint
	if err := json.Unmarshal(b.Record.Value, &c); err != nil {
		p.t.Error(err)
	}
	to := Position{Index: c.FeedIndex, Datacenter: c.DatacenterID, Incarnation: c.Incarnation}
	was := p.at
	p.at = to
	if c.FeedAfter != "" || c.Pass.active() {
		p.at = Position{} // what it says of its index it says when it gets there
	}
	if len(b.Ops) == 1 && len(b.Ops[0].Value) > p.sink.limits.Bytes {
		return // it lands before its checkpoint
	}
	if p.at == was || c.FeedIndex == 0 || c.FeedAfter != "" || c.Held != "" || c.Pass.active() {
		return
	}
	p.mu.Lock()
	want, known := p.states[to]
	p.mu.Unlock()
	if !known {
		p.t.Errorf("no such position of the source: %+v", c)
		return
	}
	p.said++
	p.compare(want, fmt.Sprintf("at %d", c.FeedIndex))
}

// compare holds the destination against a state of the source.
func (p *past) compare(want map[string]string, when string) {
	got := under(p.sink, p.link.Destination, nil)
	for rel, value := range want {
		foreign := !p.sink.mine[p.link.Destination+rel]
		if got[rel] != value && !p.touched[rel] && !(foreign && p.rules.conflict == ReportOnly) {
			p.t.Errorf("%s: %q is %.30q, want %.30q", when, rel, got[rel], value)
		}
	}
	for rel := range got {
		if _, ok := want[rel]; !ok && !p.touched[rel] && !p.stray[rel] {
			p.t.Errorf("%s: %q is there, and not at the source", when, rel)
		}
	}
}

// foreign writes or deletes a key at the destination.
func (p *past) foreign(rel, value string) {
	p.sink.mutate(func() {
		p.sink.index++
		p.touched[rel], p.stray[rel] = true, true
		if value == "" {
			p.sink.delLocked(p.link.Destination + rel)
		} else {
			p.sink.putLocked(p.link.Destination+rel, []byte(value), 0)
		}
	})
}

// restore puts the source back to an older state, as a restore from a snapshot does.
func (p *past) restore(backup map[string]Entry, incarnation string) {
	p.source.mutate(func() {
		s := p.source
		s.index += 10
		s.identity.Incarnation = incarnation
		s.keys, s.log, s.reaped = map[string]Entry{}, map[string]Change{}, s.index
		for k, e := range backup {
			s.putLocked(k, e.Value, e.Flags)
		}
		p.note()
	})
}

func TestAnyHistoryInPagesKeepsItsPromises(t *testing.T) {
	for seed := range uint64(100) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { historyInPages(t, rand.New(rand.NewPCG(seed, 9))) })
		})
	}
}

func historyInPages(t *testing.T, rnd *rand.Rand) {
	source, sink := paged(0)
	luck := newLuck(rnd)
	longest := time.Duration([]int{0, 20, 300}[rnd.IntN(3)]) * time.Millisecond
	for _, s := range []*store{source, sink} {
		s.slow = func() { luck.delay(longest) }
		s.fault = func(string) error { return luck.trouble(7) }
		s.afterApply = func() error { return luck.trouble(10) }
	}
	cfg := runnerConfig(t, source, sink, "config/@shanghai:copy/", "config/private/")
	sink.lenient = true
	cfg.PagesOnly = true
	cfg.Sink = memSink{sink, true}
	cfg.Prune, cfg.Delete = rnd.IntN(4) == 0, rnd.IntN(4) != 0
	cfg.Conflict = []Conflict{SourceWins, ReportOnly}[rnd.IntN(2)]
	if rnd.IntN(2) == 0 {
		cfg.Guard.MaxFraction = 1
	}
	p := newPast(t, source, sink, cfg)
	source.mutate(p.note)
	var orders Orders
	names := []int{maxNames, 3}[rnd.IntN(2)]
	r, stop := startWith(t, cfg, names)
	restart := func() {
		stop()
		r, stop = startWith(t, cfg, names)
		r.Order(orders)
	}
	change := func(n int) {
		source.mutate(func() {
			source.index++
			for range n {
				key := fmt.Sprintf("config/%d", rnd.IntN(60))
				if rnd.IntN(20) == 0 {
					key = "config/private/x"
				}
				switch rnd.IntN(10) {
				case 0, 1, 2, 3:
					source.delLocked(key)
				case 4:
					source.putLocked(key, []byte(strings.Repeat("big", 3000)), 0)
				default:
					source.putLocked(key, []byte(strings.Repeat("x", rnd.IntN(600))), uint64(rnd.IntN(3)))
				}
			}
			p.note()
		})
	}
	p.foreign("own/1", "own")
	p.foreign("private/1", "own")
	backup := map[string]Entry{}
	for i := range 300 {
		if longest > 0 && rnd.IntN(2) == 0 { // so that things change while the link is at it
			time.Sleep(time.Duration(rnd.IntN(60)) * time.Millisecond)
		}
		switch rnd.IntN(24) {
		default:
			change(1)
		case 0:
			change(2 + rnd.IntN(40))
		case 1:
			p.foreign(fmt.Sprint(rnd.IntN(60)), "by hand")
		case 2:
			p.foreign(fmt.Sprint(rnd.IntN(60)), "")
		case 3:
			p.foreign(fmt.Sprint("own/", rnd.IntN(5)), "own")
		case 4:
			source.mutate(func() { backup = maps.Clone(source.keys) })
		case 5:
			if rnd.IntN(4) == 0 {
				p.restore(backup, fmt.Sprint("life ", i))
			}
		case 6, 7:
			time.Sleep(time.Duration(rnd.IntN(5000)) * time.Millisecond)
		case 8:
			synctest.Wait()
		case 9:
			restart()
		case 10:
			source.reap()
		case 11:
			orders.Resync++
			r.Order(orders)
		case 12:
			orders.Decision++
			orders.Approved = rnd.IntN(2) == 0
			r.Order(orders)
		case 14:
			r.Verify(rnd.IntN(2) == 0) // which may be refused
		case 13:
			source.mutate(func() { // everything goes
				source.index++
				for k := range source.keys {
					source.delLocked(k)
				}
				p.note()
			})
		}
	}
	luck.turn()
	time.Sleep(time.Minute)
	for range 3 { // the end puts right what others did
		orders.Resync++
		orders.Decision++
		orders.Approved = true
		r.Order(orders)
		time.Sleep(time.Minute)
	}
	s, c := r.Status(), checkpointOf(t, sink, cfg.Link)
	if s.State != Following || s.Lag != 0 || s.AppliedIndex != source.index || c.Pass.active() || c.Held != "" || c.ResyncDone != orders.Resync || c.DecisionDone != orders.Decision {
		t.Errorf("the source is at %d, orders %+v, status %+v, checkpoint %+v", source.index, orders, s, c)
	}
	stop()
	clear(p.touched)
	p.compare(under(source, "config/", cfg.Link.Excludes), "at the end")
	if got := sink.contents("copy/"); got["own/1"] == "" && !cfg.Prune || got["private/1"] == "" {
		t.Error("what is none of the link's is gone")
	}
	if s.Keys != len(sink.mine) {
		t.Errorf("the link counts %d keys, and has %d", s.Keys, len(sink.mine))
	}
	before := sink.index
	r, stop = start(t, cfg)
	r.Order(orders)
	time.Sleep(time.Minute)
	if sink.index != before {
		t.Errorf("a further run wrote %d times", sink.index-before)
	}
	stop()
	if p.said == 0 {
		t.Error("no checkpoint was checked")
	}
}
