package replicatehttp

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/hanse-project/hanse/replicate"
)

// checkSession is the verb of an operation that fails if a key is not locked by a session.
const checkSession = "check-session"

// What a server takes as one transaction, unless it is configured otherwise.
const (
	txnOps   = 128
	txnBytes = 512 << 10
)

// Sink writes to the agent's own datacenter.
type Sink struct {
	agent *Agent
	fence *txnOp // after the record in every transaction: it fails where a lock was lost
}

// Sink returns the sink for the agent's own datacenter.
func (a *Agent) Sink() *Sink { return &Sink{agent: a} }

// List implements replicate.Sink.
func (s *Sink) List(ctx context.Context, prefix string) (*replicate.Listing, error) {
	listing, _, err := s.agent.list(ctx, prefix, url.Values{"consistent": {""}}, answerTime)
	return listing, err
}

// Load implements replicate.Sink.
func (s *Sink) Load(ctx context.Context, key string) ([]byte, uint64, error) {
	r, err := s.agent.do(ctx, http.MethodGet, "/v1/kv/"+key, url.Values{"consistent": {""}}, nil, answerTime)
	if err != nil {
		return nil, 0, err
	}
	defer r.Close()
	listing, _, err := r.listing(key)
	if err != nil {
		return nil, 0, err
	}
	var found replicate.Entry
	for e, err := range listing.Entries {
		if err != nil {
			return nil, 0, err
		}
		if e.Key == key {
			found = e
		}
	}
	return found.Value, found.ModifyIndex, nil
}

// Limits implements replicate.Sink.
func (s *Sink) Limits() replicate.Limits {
	limits := replicate.Limits{Ops: txnOps, Bytes: txnBytes - len("[]")}
	if s.fence != nil {
		limits.Ops--
		limits.Bytes -= s.Cost(replicate.Op{Key: s.fence.KV.Key}) + len(`,"Session":""`) + keyCost(s.fence.KV.Session)
	}
	return limits
}

// Cost implements replicate.Sink: the most that the operation takes in a transaction's
// JSON.
func (s *Sink) Cost(op replicate.Op) int {
	const frame = len(`{"KV":{"Verb":"delete","Key":,"Value":"","Flags":18446744073709551615,"Index":18446744073709551615}},`)
	return frame + keyCost(op.Key) + base64.StdEncoding.EncodedLen(len(op.Value))
}

// keyCost is the length of the key as a JSON string, in which a byte takes at most six.
func keyCost(key string) int {
	b, err := json.Marshal(key)
	if err != nil {
		return 6*len(key) + 2
	}
	return len(b)
}

// txnOp is an operation as /v1/txn takes it.
type txnOp struct{ KV txnKV }

type txnKV struct {
	Verb  string
	Key   string
	Value []byte `json:",omitempty"`
	Flags uint64 `json:",omitempty"`
	Index uint64 `json:",omitempty"`

	Session string `json:",omitempty"`
}

// Apply implements replicate.Sink.
func (s *Sink) Apply(ctx context.Context, b replicate.Batch) (uint64, error) {
	if len(b.Ops) == 1 && s.tooLarge(b) {
		return s.applyLarge(ctx, b.Record, b.Ops[0])
	}
	ops := []txnOp{{txnKV{Verb: "cas", Key: b.Record.Key, Value: b.Record.Value, Index: b.Record.Index}}}
	if s.fence != nil {
		ops = append(ops, *s.fence)
	}
	for _, op := range b.Ops {
		if op.Kind == replicate.DeleteKey {
			ops = append(ops, txnOp{txnKV{Verb: "delete", Key: op.Key}})
			continue
		}
		ops = append(ops, txnOp{txnKV{Verb: "set", Key: op.Key, Value: op.Value, Flags: op.Flags}})
	}
	return s.transact(ctx, ops)
}

func (s *Sink) tooLarge(b replicate.Batch) bool {
	record := s.Cost(replicate.Op{Key: b.Record.Key, Value: b.Record.Value})
	return record+s.Cost(b.Ops[0]) > s.Limits().Bytes
}

// applyLarge writes a value that no transaction takes. The order fences off
// another daemon: its write of the key after our look at it makes our write fail, and
// one before had to move the record first.
func (s *Sink) applyLarge(ctx context.Context, record replicate.Record, op replicate.Op) (uint64, error) {
	_, index, err := s.Load(ctx, op.Key)
	if err != nil {
		return 0, err
	}
	moved, err := s.Apply(ctx, replicate.Batch{Record: record})
	if err != nil {
		return 0, err
	}
	params := url.Values{"cas": {strconv.FormatUint(index, 10)}, "flags": {strconv.FormatUint(op.Flags, 10)}}
	r, err := s.agent.do(ctx, http.MethodPut, "/v1/kv/"+op.Key, params, op.Value, answerTime)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	if err := r.want(http.StatusOK); err != nil {
		return 0, fmt.Errorf("value of %d bytes: %w", len(op.Value), err)
	}
	said, err := io.ReadAll(io.LimitReader(r, 16))
	if err != nil {
		return 0, r.explain(err)
	}
	if strings.TrimSpace(string(said)) != "true" {
		return 0, fmt.Errorf("%s: the key was written by someone else meanwhile", r.name)
	}
	return moved, nil
}

// txnAnswer is what /v1/txn says of a transaction.
type txnAnswer struct {
	Results []struct {
		KV struct{ ModifyIndex uint64 }
	}
	Errors []txnError
}

type txnError struct {
	OpIndex int
	What    string
}

// fences reports whether the error says that the lock is not the session's any more.
func (e txnError) fences(ops []txnOp) bool {
	return e.OpIndex >= 0 && e.OpIndex < len(ops) && ops[e.OpIndex].KV.Verb == checkSession &&
		(strings.Contains(e.What, "session check") || strings.Contains(e.What, "check session"))
}

// transact returns the modify index of the first operation's key.
func (s *Sink) transact(ctx context.Context, ops []txnOp) (uint64, error) {
	body, err := json.Marshal(ops)
	if err != nil {
		return 0, fmt.Errorf("encode transaction: %w", err)
	}
	r, err := s.agent.do(ctx, http.MethodPut, "/v1/txn", nil, body, answerTime)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	if r.StatusCode != http.StatusConflict {
		if err := r.want(http.StatusOK); err != nil {
			return 0, err
		}
	}
	index, err := decodeTxn(r, ops)
	if err != nil {
		return 0, r.explain(err)
	}
	return index, nil
}

// decodeTxn reads the answer to a transaction whose first operation is the record's cas.
func decodeTxn(body io.Reader, ops []txnOp) (uint64, error) {
	var answer txnAnswer
	if err := json.NewDecoder(body).Decode(&answer); err != nil {
		return 0, fmt.Errorf("decode answer: %w", whole(err))
	}
	if slices.ContainsFunc(answer.Errors, func(e txnError) bool { return e.fences(ops) }) {
		return 0, replicate.ErrLost
	}
	var errs []error
	for _, e := range answer.Errors {
		if e.OpIndex == 0 && strings.Contains(e.What, "index is stale") {
			return 0, replicate.ErrMoved
		}
		if e.OpIndex < 0 || e.OpIndex >= len(ops) {
			return 0, fmt.Errorf("refused: %s", e.What)
		}
		errs = append(errs, fmt.Errorf("%s of %q: %s", ops[e.OpIndex].KV.Verb, ops[e.OpIndex].KV.Key, e.What))
	}
	if len(errs) > 0 {
		return 0, errors.Join(errs...)
	}
	if len(answer.Results) == 0 || answer.Results[0].KV.ModifyIndex == 0 {
		return 0, errors.New("the answer has neither results nor errors")
	}
	return answer.Results[0].KV.ModifyIndex, nil
}
