package forwarder

import (
	"context"
	"time"

	"github.com/hanse-project/hanse/rpc"
)

// Client is the [rpc.Caller] of an agent that is no server: it gives each call to a
// server of its datacenter. A call that may be repeated moves on to the next server
// when one fails, and waits for one within the hold time.
type Client struct{ router *Router }

// NewClient makes a Client. Its picker knows the servers of c.Datacenter.
func NewClient(c Config) *Client { return &Client{New(c)} }

// Run is [Router.Run].
func (c *Client) Run(ctx context.Context) error { return c.router.Run(ctx) }

// Call implements [rpc.Caller].
func (c *Client) Call(ctx context.Context, m *rpc.Info, req rpc.Request, newReply func() any) (any, error) {
	r := c.router
	g := r.gate(r.config.Datacenter)
	defer g.measure(classOf(m, req), time.Now())
	if err := g.enter(); err != nil {
		return nil, err
	}
	defer g.leave()
	call, err := newCall(r.seq.Add(1), m, false, req, newReply)
	if err != nil {
		return nil, err
	}
	defer call.free()
	call.maxReply = r.config.MaxReply
	call.deadline = call.begin.Add(localDeadline(m, req, r.config.Hold))
	t := trial{router: r, gate: g, call: call, waits: true}
	return t.run(ctx)
}
