package coordinate

import (
	"context"
	"math"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/rpc"
)

const (
	// minInterval is the least time between two looks of an agent at its coordinate.
	minInterval = 15 * time.Second
	// perSecond is how many agents of a datacenter may tell their coordinates in a second.
	// A larger one has longer intervals.
	perSecond = 64
	// reminder is after how many intervals an agent tells its coordinate again, changed or
	// not, since the leader may have lost it.
	reminder = 8
)

// SenderConfig is what a [Sender] works with.
type SenderConfig struct {
	Node       string
	Datacenter string
	// Own is where this agent is now.
	Own func() (*Point, error)
	// Members is how many members the LAN pool has.
	Members func() int
	// Caller is the way to a server.
	Caller rpc.Caller
	Log    hclog.Logger
}

// Sender tells the servers where an agent is.
type Sender struct {
	cfg SenderConfig
	// sent is what was told last, nil before the first time.
	sent *Point
	// quiet is how many intervals ago that was.
	quiet int
}

// NewSender makes a sender.
func NewSender(cfg SenderConfig) *Sender { return &Sender{cfg: cfg} }

// Run tells the servers where this agent is, until ctx ends. The first time is after a
// random part of an interval, so that agents that start together do not speak together.
func (s *Sender) Run(ctx context.Context) error {
	wait := rand.N(s.interval())
	for {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		if err := s.tell(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Log.Warn("failed to tell the servers this node's coordinate, will retry", "error", err)
		}
		interval := s.interval()
		wait = interval + rand.N(interval/2)
	}
}

// interval grows with the datacenter, so that its leader is told of about as many
// coordinates in a second, however many agents there are.
func (s *Sender) interval() time.Duration {
	return max(minInterval, time.Duration(s.cfg.Members())*time.Second/perSecond)
}

// tell sends the coordinate, unless it is where it was.
func (s *Sender) tell(ctx context.Context) error {
	own, err := s.cfg.Own()
	if err != nil {
		return err
	}
	s.quiet++
	if s.sent != nil && s.quiet < reminder && !moved(s.sent, own) {
		return nil
	}
	req := &UpdateRequest{Node: s.cfg.Node, Coord: own}
	req.Datacenter = s.cfg.Datacenter
	if _, err := Update.Call(ctx, s.cfg.Caller, req); err != nil {
		return err
	}
	s.sent, s.quiet = own.Clone(), 0
	return nil
}

// Distances that were estimated from a coordinate hardly change while it moves by less
// than a tenth of its own length, or by less than what a packet varies anyway.
const (
	leastPart = 0.1
	leastMove = 50e-6 // seconds
)

// moved tells whether a node is noticeably elsewhere.
func moved(from, to *Point) bool {
	if !from.IsCompatibleWith(to) {
		return true
	}
	var move, length float64
	for i := range from.Vec {
		move += (to.Vec[i] - from.Vec[i]) * (to.Vec[i] - from.Vec[i])
		length += from.Vec[i] * from.Vec[i]
	}
	by := math.Sqrt(move) + math.Abs(to.Height-from.Height) + math.Abs(to.Adjustment-from.Adjustment)
	return by > max(leastMove, leastPart*(math.Sqrt(length)+from.Height))
}
