package local

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/hanse-project/hanse/acltoken"
	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/rpc"
)

const (
	// compareEvery is how often all is compared in a small cluster, even if nothing was
	// heard of a change.
	compareEvery = time.Minute
	// scaleFrom is the number of nodes from which comparisons become rarer.
	scaleFrom = 128
	// compareGap is the least time between two comparisons, and compareEach what every
	// service and check adds: while much is registered, each is for many changes.
	compareGap  = time.Second
	compareEach = time.Millisecond
	// lookSpread is within which time agents compare after a server has come.
	lookSpread = 3 * time.Second
	// lookWithin bounds the reading of our node.
	lookWithin = 15 * time.Second

	// serversService is the service that every server is an instance of. Leaders own it.
	serversService = "consul"
)

// every is the time between two comparisons in a cluster of n nodes: a minute up to 128
// of them, and a minute more with each doubling.
func every(n int) time.Duration {
	if n <= scaleFrom {
		return compareEvery
	}
	return compareEvery * time.Duration(math.Ceil(math.Log2(float64(n)/scaleFrom))+1)
}

// watch compares the catalog with what is registered here until ctx ends: now, whenever
// something of our node changes there, and now and then.
func (s *State) watch(ctx context.Context) {
	wait := retryFirst
	for {
		err := s.compare(ctx)
		if err == nil {
			err = s.await(ctx, s.seen)
		}
		pause := s.gap()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.log.Debug("this node cannot be compared with the catalog, will retry", "error", err, "in", wait)
			pause = wait/2 + rand.N(wait/2+1)
			wait = min(2*wait, retryMost)
		default:
			wait = retryFirst
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// gap is how long to leave the servers alone after a comparison.
func (s *State) gap() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return compareGap + compareEach*time.Duration(len(s.services)+len(s.checks))
}

// await returns when our node may have changed in the catalog, when a server has come,
// or when it is time to compare anyhow.
func (s *State) await(parent context.Context, index uint64) error {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	ended := make(chan error, 1)
	interval := every(s.cfg.Members())
	go func() {
		_, err := s.ask(ctx, rpc.QueryOptions{MinQueryIndex: index, MaxQueryTime: interval/2 + rand.N(interval)})
		ended <- err
	}()
	select {
	case err := <-ended:
		return err
	case <-s.look:
		cancel()
		<-ended
	}
	// Every agent of the datacenter has seen the server come.
	select {
	case <-time.After(rand.N(lookSpread)):
	case <-parent.Done():
	}
	return nil
}

// ask reads all that the catalog has of our node.
func (s *State) ask(ctx context.Context, q rpc.QueryOptions) (*catalog.IndexedNodeDump, error) {
	q.Token = s.cfg.Tokens.For(acltoken.Agent)
	rep, err := catalog.GetNodeInfo.Call(ctx, s.cfg.Caller, &catalog.NodeSpecificRequest{
		Read: rpc.Read{Datacenter: s.cfg.Node.Datacenter, QueryOptions: q}, Node: s.cfg.Node.Node,
	})
	if err != nil {
		return nil, fmt.Errorf("read our node from the catalog: %w", err)
	}
	return rep, nil
}

// compare queues what the catalog has otherwise. No push is on its way meanwhile: what
// is read holds all that was pushed.
func (s *State) compare(ctx context.Context) error {
	s.syncing.Lock()
	defer s.syncing.Unlock()
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	rep, err := s.ask(ctx, rpc.QueryOptions{})
	if err != nil {
		return err
	}
	s.seen = rep.Index
	theirs := &catalog.NodeInfo{}
	if len(rep.Dump) > 0 {
		theirs = rep.Dump[0]
	}
	if !s.sameNode(theirs) {
		s.queue.nodeInfo()
	}
	s.compareServices(theirs.Services)
	s.compareChecks(theirs)
	return nil
}

func (s *State) sameNode(n *catalog.NodeInfo) bool {
	ours := &s.cfg.Node
	return strings.EqualFold(n.ID, ours.ID) && n.Address == ours.Address &&
		maps.Equal(n.TaggedAddresses, ours.TaggedAddresses) && maps.Equal(n.Meta, ours.NodeMeta)
}

func (s *State) compareServices(theirs []*catalog.NodeService) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[string]bool{}
	for _, t := range theirs {
		seen[t.ID] = true
		e, known := s.services[t.ID]
		if !known {
			if t.ID != serversService {
				s.queue.service(t.ID)
			}
			continue
		}
		if e.row.EnableTagOverride && !slices.Equal(e.row.Tags, t.Tags) {
			e.row = withTags(e.row, t.Tags)
			for id := range e.checks {
				s.ownLocked(id, e)
			}
		}
		if !sameService(e.row, t) {
			s.queue.service(t.ID)
		}
	}
	for id := range s.services {
		if !seen[id] {
			s.queue.service(id)
		}
	}
}

func (s *State) compareChecks(n *catalog.NodeInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[string]bool{}
	for _, t := range n.Checks {
		seen[t.CheckID] = true
		c, known := s.checks[t.CheckID]
		switch {
		case known:
			if !sameCheck(c.row, t, s.queue.waiting(t.CheckID)) {
				s.queue.check(t.CheckID)
			}
		case t.CheckID == catalog.SerfCheckID, t.ServiceID == serversService:
		case t.ServiceID != "" && s.services[t.ServiceID] == nil && hasService(n, t.ServiceID):
			// It goes with its service.
		default:
			s.queue.check(t.CheckID)
		}
	}
	for id := range s.checks {
		if !seen[id] {
			s.queue.check(id)
		}
	}
}

func hasService(n *catalog.NodeInfo, id string) bool {
	return slices.ContainsFunc(n.Services, func(s *catalog.NodeService) bool { return s.ID == id })
}

// withTags is a row with other tags.
func withTags(row *catalog.NodeService, tags catalog.Tags) *catalog.NodeService {
	changed := *row
	changed.Tags = tags
	return &changed
}

// sameService tells whether the catalog has a service as it is here.
func sameService(ours, theirs *catalog.NodeService) bool {
	a, b := *ours, *theirs
	same := slices.Equal(a.Tags, b.Tags) && maps.Equal(a.Meta, b.Meta) && maps.Equal(a.TaggedAddresses, b.TaggedAddresses)
	for _, row := range []*catalog.NodeService{&a, &b} {
		row.Tags, row.Meta, row.TaggedAddresses, row.Revision = nil, nil, nil, catalog.Revision{}
	}
	return same && (reflect.DeepEqual(&a, &b) || bytes.Equal(text(&a), text(&b)))
}

// sameCheck does so for a check. An output that is on its way is not looked at.
func sameCheck(ours, theirs *catalog.HealthCheck, outputWaits bool) bool {
	a, b := *ours, *theirs
	same := slices.Equal(a.ServiceTags, b.ServiceTags)
	for _, row := range []*catalog.HealthCheck{&a, &b} {
		row.ServiceTags, row.Revision = nil, catalog.Revision{}
		if outputWaits {
			row.Output = ""
		}
	}
	return same && (reflect.DeepEqual(&a, &b) || bytes.Equal(text(&a), text(&b)))
}

// text is a row without the differences that its way to a server and back makes, such
// as between no list and an empty one.
func text(row any) []byte {
	plain, err := json.Marshal(row)
	if err != nil {
		return nil // what cannot be written is different
	}
	return plain
}

// hashOf is a hash of a service's content, as clients of a blocking query pass it back.
func hashOf(row *catalog.NodeService) string {
	h := fnv.New64a()
	_, _ = h.Write(text(row)) // never fails
	return fmt.Sprintf("%016x", h.Sum64())
}
