package replicatehttp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/hanse-project/hanse/replicate"
)

// DefaultLockTTL is how long a daemon that fell silent keeps its locks, and the shortest
// time that Consul takes. Servers may let up to twice as much pass.
const DefaultLockTTL = 10 * time.Second

// Lease implements [replicate.Lease] by locks in the agent's own datacenter: a key per
// link, which says who has it, and one session for those that are ours.
type Lease struct {
	agent  *Agent
	holder string
	ttl    time.Duration

	mu   sync.Mutex
	live *session // the last one, nil before the first
}

// session holds locks as long as it is renewed.
type session struct {
	id   string
	held context.Context // ends when the session is known to be gone
	end  context.CancelFunc
}

// Lease returns locks whose keys name the holder. Close gives them back.
func (a *Agent) Lease(holder string, ttl time.Duration) *Lease {
	return &Lease{agent: a, holder: holder, ttl: ttl}
}

// Acquire implements replicate.Lease. The session is made before it is needed: whoever
// may not have one learns that when he stands by, not when he has to take over.
func (l *Lease) Acquire(ctx context.Context, key string, standby func(holder string)) (*replicate.Hold, error) {
	const again = time.Second // a lock that was free and not to be had is looked at again
	for after := uint64(0); ; {
		s, err := l.session(ctx)
		if err != nil {
			return nil, err
		}
		lock, index, err := l.look(ctx, key, after)
		if err != nil {
			return nil, err
		}
		if after = index; lock.Session != "" && lock.Session != s.id {
			standby(string(lock.Value))
			continue
		}
		won, err := l.lock(ctx, key, s)
		if err != nil {
			return nil, err
		}
		if won {
			return &replicate.Hold{Sink: l.agent.lockedSink(key, s.id), Held: s.held}, nil
		}
		after = 0
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(again):
		}
	}
}

// lockedSink is a sink whose writes fail once the session does not hold the key.
func (a *Agent) lockedSink(key, session string) *Sink {
	return &Sink{agent: a, fence: &txnOp{txnKV{Verb: checkSession, Key: key, Session: session}}}
}

// session returns the session that is renewed, and makes one if there is none.
func (l *Lease) session(ctx context.Context) (*session, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.live != nil && l.live.held.Err() == nil {
		return l.live, nil
	}
	// A lock delay would keep the next daemon waiting. It is not needed: what the last one
	// still writes is fenced off.
	body, err := json.Marshal(map[string]string{
		"Name": "hanse replicate " + l.holder, "TTL": l.ttl.String(), "Behavior": "release", "LockDelay": "0s",
	})
	if err != nil {
		return nil, fmt.Errorf("encode session: %w", err)
	}
	r, err := l.agent.do(ctx, http.MethodPut, "/v1/session/create", nil, body, answerTime)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if err := r.want(http.StatusOK); err != nil {
		return nil, fmt.Errorf("make the session of the locks, with a time to live of %v: %w", l.ttl, err)
	}
	id, err := decodeSession(r)
	if err != nil {
		return nil, r.explain(err)
	}
	s := &session{id: id}
	s.held, s.end = context.WithCancel(context.WithoutCancel(ctx))
	l.live = s
	go l.keep(s)
	return s, nil
}

// decodeSession reads the ID of a session that was made.
func decodeSession(body io.Reader) (string, error) {
	var answer struct{ ID string }
	if err := json.NewDecoder(body).Decode(&answer); err != nil {
		return "", fmt.Errorf("decode: %w", whole(err))
	}
	if answer.ID == "" {
		return "", errors.New("the answer has no ID")
	}
	return answer.ID, nil
}

// keep renews the session until it ends. An agent that does not answer is asked more
// often: if the session outlives that, nothing was lost.
func (l *Lease) keep(s *session) {
	for {
		wait := l.ttl / 2
		if err := l.renew(s.held, s); err != nil {
			wait = l.ttl / 10
		}
		select {
		case <-s.held.Done():
			return
		case <-time.After(wait):
		}
	}
}

// renew keeps the session alive, and ends it here if it is gone there.
func (l *Lease) renew(ctx context.Context, s *session) error {
	r, err := l.agent.do(ctx, http.MethodPut, "/v1/session/renew/"+s.id, nil, nil, l.ttl/2)
	if err != nil {
		return err
	}
	defer r.Close()
	if r.StatusCode == http.StatusNotFound {
		s.end()
		return nil
	}
	return r.want(http.StatusOK)
}

// lockKey is a lock as the key/value store shows it.
type lockKey struct {
	Key     string
	Value   []byte
	Session string
}

// look returns the lock, or its zero value where there is none, once it has another index
// than after, or a wait is over.
func (l *Lease) look(ctx context.Context, key string, after uint64) (lock lockKey, index uint64, err error) {
	params, patience := url.Values{}, answerTime
	if after > 0 {
		patience = waitFor(params, after, pollTime)
	}
	r, err := l.agent.do(ctx, http.MethodGet, "/v1/kv/"+key, params, nil, patience)
	if err != nil {
		return lock, 0, err
	}
	defer r.Close()
	if err := headerNumber(r.Header, "X-Consul-Index", &index); err != nil {
		return lock, 0, r.explain(err)
	}
	if r.StatusCode == http.StatusNotFound && index > 0 {
		return lock, index, nil
	}
	if err := r.want(http.StatusOK); err != nil {
		return lock, 0, err
	}
	if index == 0 {
		return lock, 0, r.explain(errors.New("the answer has no index"))
	}
	if lock, err = decodeLock(r, key); err != nil {
		return lock, 0, r.explain(err)
	}
	return lock, index, nil
}

// decodeLock reads the one key of the answer.
func decodeLock(body io.Reader, key string) (lockKey, error) {
	var locks []lockKey
	if err := json.NewDecoder(body).Decode(&locks); err != nil {
		return lockKey{}, fmt.Errorf("decode: %w", whole(err))
	}
	if len(locks) != 1 || locks[0].Key != key {
		return lockKey{}, fmt.Errorf("the answer is not about %q", key)
	}
	return locks[0], nil
}

// lock takes the key for the session. After an error the session is looked at: it may be
// gone.
func (l *Lease) lock(ctx context.Context, key string, s *session) (bool, error) {
	won, err := l.acquire(ctx, key, s.id)
	if err != nil && ctx.Err() == nil {
		_ = l.renew(ctx, s) // the next attempt tells what is wrong with the agent
	}
	return won, err
}

func (l *Lease) acquire(ctx context.Context, key, id string) (bool, error) {
	r, err := l.agent.do(ctx, http.MethodPut, "/v1/kv/"+key, url.Values{"acquire": {id}}, []byte(l.holder), answerTime)
	if err != nil {
		return false, err
	}
	defer r.Close()
	if err := r.want(http.StatusOK); err != nil {
		return false, err
	}
	said, err := io.ReadAll(io.LimitReader(r, 16))
	if err != nil {
		return false, r.explain(err)
	}
	return string(bytes.TrimSpace(said)) == "true", nil
}

// Close gives the locks back at once, so that nobody has to wait until they run out.
func (l *Lease) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.live == nil || l.live.held.Err() != nil {
		return nil
	}
	l.live.end()
	ctx, cancel := context.WithTimeout(context.Background(), l.ttl/2)
	defer cancel()
	r, err := l.agent.do(ctx, http.MethodPut, "/v1/session/destroy/"+l.live.id, nil, nil, l.ttl/2)
	if err != nil {
		return err
	}
	defer r.Close()
	return r.want(http.StatusOK)
}
