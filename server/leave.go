package server

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// expelled is how long a server that leaves waits until the others have taken it out
// of the log.
const expelled = 5 * time.Second

// Leave hands over the lead, tells both pools that this server goes, and waits until
// the leader has taken it out of the log. The server keeps answering meanwhile.
func (s *Server) Leave(ctx context.Context) error {
	members, _ := s.node.Node.Configuration()
	s.handOver()
	var lanErr, wanErr error
	var wg sync.WaitGroup
	wg.Go(func() { lanErr = s.cfg.LAN.Leave() })
	if s.cfg.WAN != nil {
		wg.Go(func() { wanErr = s.cfg.WAN.Leave() })
	}
	wg.Wait()
	if len(members) > 1 {
		s.awaitExpulsion(ctx)
	}
	return errors.Join(lanErr, wanErr)
}

// handOverTime is how long another server may take to come to lead.
const handOverTime = 2 * time.Second

// handOver lets another server lead if this one does, so that nobody has to wait until
// it is missed.
func (s *Server) handOver() {
	members, _ := s.node.Node.Configuration()
	voters := 0
	for _, m := range members {
		if m.Suffrage == raft.Voter {
			voters++
		}
	}
	if !s.node.IsLeader() || voters < 2 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), handOverTime)
	defer cancel()
	if err := s.node.TransferLeadership(ctx, raft.Server{}); err != nil {
		s.log.Warn("failed to hand over the lead, the others will elect a leader when they miss this one", "error", err)
	}
}

func (s *Server) awaitExpulsion(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, expelled)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		members, _ := s.node.Node.Configuration()
		left := true
		for _, m := range members {
			left = left && string(m.ID) != s.cfg.NodeID
		}
		if left {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.log.Warn("failed to leave the Raft configuration gracefully, timeout: the leader removes this server later")
			return
		}
	}
}

// Datacenters are all datacenters of the federation, the nearest first.
func (s *Server) Datacenters() []string {
	return pools{datacenter: s.cfg.Datacenter, lan: s.cfg.LAN, wan: s.cfg.WAN}.all()
}
