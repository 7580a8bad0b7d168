package link

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/hanse-project/hanse/kv"
	"github.com/hanse-project/hanse/kv/digest"
	"github.com/hanse-project/hanse/replicate"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// sink writes what a link copies to the log of its own datacenter, at the leader.
type sink struct {
	store *store.Store
	log   store.Log
	// caller answers what this server does not read itself.
	caller     rpc.Caller
	datacenter string
	// link is the CreateIndex of the link, and prune says that it deletes what others wrote.
	link  uint64
	prune bool
	// maxValue is how large a value may be, in bytes.
	maxValue int
	// onHold is called when deletes are held from now on. It must not wait.
	onHold func()
	// held is why deletes are held by the checkpoint as it is, "" if they are not.
	held string
}

var _ replicate.Sink = (*sink)(nil)

const (
	// batchOps and batchBytes bound one entry of the log: other writes wait for it.
	batchOps   = 1000
	batchBytes = 512 << 10
	// opBytes is what an operation takes in the log beside its key and value, at most.
	opBytes = 32
)

// List implements [replicate.Sink].
func (s *sink) List(context.Context, string) (*replicate.Listing, error) { return nil, errNoListings }

// Load implements [replicate.Sink]: each link has one record, whatever its key.
func (s *sink) Load(context.Context, string) ([]byte, uint64, error) {
	c := checkpointOf(s.store.Read(nil), s.link)
	if c == nil {
		s.held = ""
		return nil, 0, nil
	}
	s.held = heldBy(c.Value)
	return c.Value, c.ModifyIndex, nil
}

// heldBy is why a checkpoint says that deletes are held.
func heldBy(checkpoint []byte) string {
	var c struct{ Held string }
	if json.Unmarshal(checkpoint, &c) != nil {
		return "" // the engine says what is wrong with it
	}
	return c.Held
}

// Apply implements [replicate.Sink] by one command.
func (s *sink) Apply(ctx context.Context, b replicate.Batch) (uint64, error) {
	cmd := &mirror{Link: s.link, Expect: b.Record.Index, Checkpoint: b.Record.Value, Ops: make([]kv.MirrorOp, 0, len(b.Ops))}
	for _, op := range b.Ops {
		kind, known := kinds[op.Kind]
		if !known {
			return 0, fmt.Errorf("key %q: the engine asks for an unknown operation %d", op.Key, op.Kind)
		}
		m := kv.MirrorOp{Kind: kind, Key: op.Key, Value: op.Value, Flags: op.Flags, Spare: op.Spare}
		largest := s.maxValue
		if op.Kind == replicate.AdoptKey {
			largest = max(largest, len(op.Value)) // it is there already
		}
		if err := m.Check(largest); err != nil {
			return 0, fmt.Errorf("key %q cannot be written here (see limits.kv_max_value_size): %w", op.Key, err)
		}
		cmd.Ops = append(cmd.Ops, m)
	}
	index, _, err := store.Propose[uint64](ctx, s.log, opMirror, cmd)
	if err != nil {
		return 0, err
	}
	held := heldBy(b.Record.Value)
	if held != "" && s.held == "" {
		s.onHold()
	}
	s.held = held
	return index, nil
}

// kinds are the engine's operations as the log has them.
var kinds = map[replicate.OpKind]kv.MirrorKind{
	replicate.SetKey: kv.MirrorSet, replicate.DeleteKey: kv.MirrorDelete,
	replicate.AdoptKey: kv.MirrorAdopt, replicate.ReleaseKey: kv.MirrorRelease,
}

// Entries implements [replicate.Reader] by this server's own state: whoever leads has
// applied what the link wrote before, and what others write may come a moment later anyway.
func (s *sink) Entries(_ context.Context, q replicate.EntriesQuery) (*replicate.EntryPage, error) {
	v := s.store.Read(nil)
	rep := kv.ReadPage(v, pageRequest(q), func(string) bool { return true })
	rep.KnownLeader = true
	if id, known := v.Identity(); known {
		rep.HanseDatacenterID, rep.HanseIncarnation = id.ID, id.Incarnation
	}
	return entryPage(rep, s.link), nil
}

// Digests implements [replicate.Reader].
func (s *sink) Digests(ctx context.Context, q digest.Query) (*digest.Reply, error) {
	req := &kv.DigestsRequest{Query: q, Origin: s.link}
	if s.prune {
		req.Origin = 0 // everything that is there
	}
	req.Datacenter = s.datacenter
	rep, err := kv.Digests.Call(ctx, s.caller, req)
	if err != nil {
		return nil, err
	}
	return rep.Reply(), nil
}

// Limits implements [replicate.Sink].
func (s *sink) Limits() replicate.Limits { return replicate.Limits{Ops: batchOps, Bytes: batchBytes} }

// Cost implements [replicate.Sink].
func (s *sink) Cost(op replicate.Op) int { return opBytes + len(op.Key) + len(op.Value) }
