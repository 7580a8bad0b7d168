package forwarder

import (
	"errors"
	"fmt"

	"github.com/hanse-project/hanse/rpc"
)

// A call that its server did not answer ends in one of three ways.
type (
	// notBegun: the connection failed, and the server certainly saw nothing of the call.
	notBegun struct{ err error }
	// lost: the answer will not come, and the server may have begun. open says that the
	// connection as such is well: only the call's stream was closed.
	lost struct {
		err  error
		open bool
	}
	// ended: the caller went away, or the deadline passed while the server was alive.
	ended struct {
		err   error
		begun bool
	}
)

func (e *notBegun) Error() string { return e.err.Error() }
func (e *notBegun) Unwrap() error { return e.err }
func (e *lost) Error() string     { return e.err.Error() }
func (e *lost) Unwrap() error     { return e.err }
func (e *ended) Error() string    { return e.err.Error() }
func (e *ended) Unwrap() error    { return e.err }

// connectionFailed tells whether err is the fault of a connection, so that another
// server may do better.
func connectionFailed(err error) bool {
	_, before := errors.AsType[*notBegun](err)
	_, during := errors.AsType[*lost](err)
	return before || during
}

// serverFailed tells whether err speaks against the server and not only against the call.
func serverFailed(err error) bool {
	if during, ok := errors.AsType[*lost](err); ok {
		return !during.open
	}
	return connectionFailed(err)
}

// mayHaveBegun tells whether the server may have acted on a call that failed.
func mayHaveBegun(err error) bool {
	if end, ok := errors.AsType[*ended](err); ok {
		return end.begun
	}
	_, ok := errors.AsType[*lost](err)
	return ok
}

// unknownOutcome is the error of a write that may have happened.
func unknownOutcome(m *rpc.Info, cause error) error {
	return rpc.Wrap(rpc.ErrOutcomeUnknown, fmt.Sprintf("%s was sent and not answered (%v)", m.Name, cause))
}

// connectionLost is the error of a call to one server.
func connectionLost(m *rpc.Info, addr string, cause error) error {
	return rpc.Wrap(rpc.ErrConnectionLost, fmt.Sprintf("%s to %s (%v)", m.Name, addr, cause))
}
