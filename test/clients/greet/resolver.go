package main

import (
	"context"
	"net"
	"strconv"
	"time"

	"github.com/hashicorp/consul/api"
	"google.golang.org/grpc/resolver"
)

// builder makes resolvers for targets like consul:///SERVICE.
type builder struct{ health *api.Health }

func (builder) Scheme() string { return "consul" }

func (b builder) Build(target resolver.Target, conn resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	ctx, cancel := context.WithCancel(context.Background())
	r := &watcher{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		watch(ctx, b.health, target.Endpoint(), conn)
	}()
	return r, nil
}

// watcher is a resolver that follows one service.
type watcher struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func (*watcher) ResolveNow(resolver.ResolveNowOptions) {} // it is told of every change

func (w *watcher) Close() {
	w.cancel()
	<-w.done
}

// watch tells conn of the passing instances of a service, by one long poll after another.
func watch(ctx context.Context, health *api.Health, service string, conn resolver.ClientConn) {
	index := uint64(0)
	for ctx.Err() == nil {
		found, meta, err := health.Service(service, "", true, (&api.QueryOptions{WaitIndex: index, WaitTime: time.Minute}).WithContext(ctx))
		if err != nil {
			conn.ReportError(err)
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
			continue
		}
		if meta.LastIndex == index {
			continue
		}
		if index = meta.LastIndex; len(found) == 0 {
			continue // better the old ones than none
		}
		var state resolver.State
		for _, each := range found {
			state.Addresses = append(state.Addresses, resolver.Address{Addr: net.JoinHostPort(each.Service.Address, strconv.Itoa(each.Service.Port))})
		}
		if err := conn.UpdateState(state); err != nil {
			conn.ReportError(err)
		}
	}
}
