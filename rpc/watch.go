package rpc

import "context"

type watchKey struct{}

// WithWatch has a call that is answered in this process, and does not block, add to ws
// what closes when its answer changes. Of a call that goes to another process nothing is
// added. ws must not be used before the call has returned.
func WithWatch(ctx context.Context, ws WatchSet) context.Context {
	return context.WithValue(ctx, watchKey{}, ws)
}

// WatchOf is the set that [WithWatch] put into ctx, nil without one.
func WatchOf(ctx context.Context) WatchSet {
	ws, _ := ctx.Value(watchKey{}).(WatchSet)
	return ws
}
