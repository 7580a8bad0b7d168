package forwarder

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hanse-project/hanse/rpc"
)

// trial is one call that is tried at the servers of one datacenter in turn.
type trial struct {
	router *Router
	gate   *gate
	call   *call
	// waits has the trial wait for a server that can be reached, for the hold time at
	// most, and not only for a leader.
	waits bool
	// last is the failure that was seen last.
	last error
}

// run tries server after server, and all of them again while that may help.
func (t *trial) run(ctx context.Context) (any, error) {
	for round := 0; ; round++ {
		servers, _ := t.router.config.Picker.Servers(t.gate.dc)
		for _, s := range servers {
			reply, err := t.router.pool.call(ctx, peer{t.gate.dc, s.Addr}, t.call)
			if err == nil {
				t.gate.answered(s.Addr)
				return reply, nil
			}
			if t.isFinal(s, err) {
				return nil, t.fail(len(servers))
			}
		}
		if !t.anotherRound() || backoff(ctx, round) != nil {
			return nil, t.fail(len(servers))
		}
	}
}

// isFinal tells whether no other server shall be tried after s failed with err.
func (t *trial) isFinal(s Server, err error) bool {
	t.last = err
	if !connectionFailed(err) {
		if _, ended := errors.AsType[*ended](err); ended {
			return true
		}
		if errors.Is(err, rpc.ErrOverloaded) {
			return false
		}
		t.gate.answered(s.Addr)
		return !errors.Is(err, rpc.ErrNoLeader) || !t.holding()
	}
	if serverFailed(err) {
		t.gate.failed(s.Addr, err)
	}
	_, begun := errors.AsType[*lost](err)
	return begun && t.call.info.Write || t.spent() || t.gate.refusal() != nil
}

// anotherRound tells whether it may help to try all servers again.
func (t *trial) anotherRound() bool {
	again := errors.Is(t.last, rpc.ErrNoLeader) || t.waits && connectionFailed(t.last)
	return again && t.holding()
}

// holding tells whether there is still time to wait out an election.
func (t *trial) holding() bool { return time.Since(t.call.begin) < t.router.config.Hold }

// spent tells whether the patience with silent servers is at its end.
func (t *trial) spent() bool {
	return !t.call.patience.IsZero() && !time.Now().Before(t.call.patience)
}

// fail ends the trial. It counts the failures of the datacenter: what a handler there
// had to say about a call is an answer, and a caller who goes away is nobody's fault.
func (t *trial) fail(servers int) error {
	err := t.failure(servers)
	if t.datacenterFailed() {
		t.gate.countFailure(err)
	}
	return err
}

func (t *trial) datacenterFailed() bool {
	if t.last == nil || connectionFailed(t.last) {
		return true
	}
	if end, ok := errors.AsType[*ended](t.last); ok {
		return errors.Is(end.err, rpc.ErrTimeout)
	}
	switch rpc.ReasonOf(t.last) {
	case rpc.ReasonNoLeader, rpc.ReasonNotReady, rpc.ReasonOverloaded:
		return true
	}
	return false
}

// failure is the error of the call: what happened last, in the words and with the
// reason that callers look for.
func (t *trial) failure(servers int) error {
	if t.last == nil { // there was no server to try
		return t.unreachable("it has none")
	}
	if t.call.info.Write && mayHaveBegun(t.last) {
		return unknownOutcome(t.call.info, t.last)
	}
	if end, ok := errors.AsType[*ended](t.last); ok {
		return end.err
	}
	if errors.Is(t.last, rpc.ErrNoLeader) && t.gate.refuses {
		return &rpc.Error{
			Reason: rpc.ReasonNoRemoteLeader, Cause: rpc.ErrNoLeader,
			Text: fmt.Sprintf("%s: datacenter %s had none for %v", rpc.ErrNoLeader.Text, t.gate.dc, t.elapsed()),
		}
	}
	if connectionFailed(t.last) {
		return t.unreachable(fmt.Sprintf("%d known, the last one tried failed after %v (%v)", servers, t.elapsed(), t.last))
	}
	return t.last
}

// unreachable is the error of a call that no server could be given.
func (t *trial) unreachable(detail string) error {
	if !t.gate.refuses {
		return rpc.Wrap(rpc.ErrNoServers, detail)
	}
	err := &rpc.Error{
		Reason: rpc.ReasonNoLiveServer, Cause: rpc.ErrUnreachable,
		Text: fmt.Sprintf("%s: servers of datacenter %s: %s", rpc.ErrUnreachable.Text, t.gate.dc, detail),
	}
	switch {
	case isTLS(t.last):
		err.Reason = rpc.ReasonTLS
	case errors.Is(t.last, errSilent):
		err.Reason, err.Cause = rpc.ReasonTimeout, rpc.ErrTimeout
	}
	return err
}

func (t *trial) elapsed() time.Duration {
	return time.Since(t.call.begin).Round(time.Millisecond)
}
