package forwarder

import (
	"context"
	"fmt"
	"net"

	"github.com/hanse-project/hanse/rpc"
)

// OpenSnapshot opens a connection for a snapshot to the server of dc at addr, or to the
// first that answers if addr is "".
func (r *Router) OpenSnapshot(ctx context.Context, dc, addr string) (net.Conn, error) {
	if addr != "" {
		conn, err := r.dialSnapshot(ctx, dc, addr)
		if err != nil {
			return nil, fmt.Errorf("open a snapshot connection to %s: %w", addr, err)
		}
		return conn, nil
	}
	servers, known := r.config.Picker.Servers(dc)
	if !known {
		return nil, rpc.Wrap(rpc.ErrNoPath, dc)
	}
	var last error
	for _, s := range servers {
		conn, err := r.dialSnapshot(ctx, dc, s.Addr)
		if err == nil {
			return conn, nil
		}
		r.config.Picker.Failed(dc, s.Addr, err)
		last = err
	}
	if dc == r.config.Datacenter {
		return nil, rpc.Wrap(rpc.ErrNoServers, fmt.Sprintf("%d tried, the last one said: %v", len(servers), last))
	}
	return nil, rpc.Wrap(rpc.ErrUnreachable, fmt.Sprintf("%s: %d servers tried, the last one said: %v", dc, len(servers), last))
}

func (r *Router) dialSnapshot(ctx context.Context, dc, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return r.config.Dialer.open(ctx, dc, addr, byteSnapshot)
}

// OpenSnapshot opens a connection for a snapshot to a server of the agent's datacenter.
func (c *Client) OpenSnapshot(ctx context.Context) (net.Conn, error) {
	return c.router.OpenSnapshot(ctx, c.router.config.Datacenter, "")
}
