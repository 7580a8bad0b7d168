package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"

	"github.com/hanse-project/hanse/config"
	"github.com/hanse-project/hanse/gossip"
)

func hostPort(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// join enters the pools that the configuration names. What must be reached at once is
// an error; what is retried goes on until it is reached or given up.
func (a *Agent) join(ctx context.Context) error {
	cfg := a.cfg
	lan := whileWanted(ctx, a.lan.Join)
	if err := startJoin("start_join", cfg.StartJoinLAN, lan); err != nil {
		return err
	}
	var wan func([]string) (int, error)
	if a.wan != nil {
		wan = whileWanted(ctx, a.wan.Join)
		if err := startJoin("start_join_wan", cfg.StartJoinWAN, wan); err != nil {
			return err
		}
	}
	var wg sync.WaitGroup
	var lanErr, wanErr error
	wg.Go(func() {
		a.rejoin(ctx, "LAN", cfg.RetryJoinLAN, a.lan.Pool)
		lanErr = a.retryJoin(ctx, "LAN", cfg.RetryJoinLAN, lan)
	})
	if wan != nil {
		wg.Go(func() {
			a.rejoin(ctx, "WAN", cfg.RetryJoinWAN, a.wan.Pool)
			wanErr = a.retryJoin(ctx, "WAN", cfg.RetryJoinWAN, wan)
		})
	}
	wg.Wait()
	return errors.Join(lanErr, wanErr)
}

// whileWanted has join return when ctx ends. An exchange with somebody who does not
// answer cannot be cut short: it ends by itself, with gossip's own timeout of seconds.
func whileWanted(ctx context.Context, join func([]string) (int, error)) func([]string) (int, error) {
	type result struct {
		joined int
		err    error
	}
	return func(addrs []string) (int, error) {
		done := make(chan result, 1)
		go func() {
			joined, err := join(addrs)
			done <- result{joined, err}
		}()
		select {
		case r := <-done:
			return r.joined, r.err
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

func startJoin(key string, addrs []string, join func([]string) (int, error)) error {
	if len(addrs) == 0 {
		return nil
	}
	if _, err := join(addrs); err != nil {
		return fmt.Errorf("%s is tried once (retry_join would go on): %w", key, err)
	}
	return nil
}

const (
	// rejoinTries is how often the members of an earlier run are looked for, in about
	// ten minutes: they may all start at the same time as this one.
	rejoinTries = 24
	// rejoinMost bounds how many of them are looked for.
	rejoinMost = 16
)

// rejoin looks for the members of an earlier run, where the configuration names none.
// One that is found is not enough: two halves that start at once could each be content
// with itself.
func (a *Agent) rejoin(ctx context.Context, name string, r config.RetryJoin, pool *gossip.Pool) {
	missing := pool.Missing()
	if len(r.Addrs) > 0 || len(missing) == 0 {
		return
	}
	r.Addrs, r.MaxAttempts = missing[:min(len(missing), rejoinMost)], rejoinTries
	err := a.retryJoin(ctx, name, r, func([]string) (int, error) {
		var errs []error
		found := 0
		for _, addr := range pool.Missing() {
			if _, err := pool.Join([]string{addr}); err != nil {
				errs = append(errs, err)
			} else {
				found++
			}
			if len(errs) == rejoinMost {
				break
			}
		}
		return found, errors.Join(errs...)
	})
	if err != nil && ctx.Err() == nil {
		a.log.Warn("some members of the last run are not found, and are looked for no more", "pool", name, "error", err)
	}
}

func (a *Agent) retryJoin(ctx context.Context, pool string, r config.RetryJoin, join func([]string) (int, error)) error {
	return gossip.RetryJoin(ctx, r.Addrs, join, gossip.RetryOptions{
		Pool: pool, Interval: r.Interval, Max: r.MaxAttempts, Log: a.log,
	})
}
