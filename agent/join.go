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
	if err := startJoin("start_join", cfg.StartJoinLAN, a.lan.Join); err != nil {
		return err
	}
	var wan func([]string) (int, error)
	if a.wan != nil {
		wan = a.wan.Join
		if err := startJoin("start_join_wan", cfg.StartJoinWAN, wan); err != nil {
			return err
		}
	}
	var wg sync.WaitGroup
	var lanErr, wanErr error
	wg.Go(func() { lanErr = a.retryJoin(ctx, "LAN", cfg.RetryJoinLAN, a.lan.Join) })
	if wan != nil {
		wg.Go(func() { wanErr = a.retryJoin(ctx, "WAN", cfg.RetryJoinWAN, wan) })
	}
	wg.Wait()
	return errors.Join(lanErr, wanErr)
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

func (a *Agent) retryJoin(ctx context.Context, pool string, r config.RetryJoin, join func([]string) (int, error)) error {
	return gossip.RetryJoin(ctx, r.Addrs, join, gossip.RetryOptions{
		Pool: pool, Interval: r.Interval, Max: r.MaxAttempts, Log: a.log,
	})
}
