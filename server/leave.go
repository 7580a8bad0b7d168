package server

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"github.com/hashicorp/serf/serf"

	"github.com/hanse-project/hanse/gossip"
)

// expelled is how long a server that leaves waits until the others have taken it out
// of the log.
const expelled = 5 * time.Second

// Leave hands over the lead, tells both pools that this server goes, and waits until
// the leader has taken it out of the log, and for the time to drain. The server keeps
// answering meanwhile.
func (s *Server) Leave(ctx context.Context) error {
	members, _ := s.node.Node.Configuration()
	others := s.peers()
	s.handOver()
	var lanErr, wanErr error
	var wg sync.WaitGroup
	wg.Go(func() { lanErr = s.cfg.LAN.Leave() })
	if s.cfg.WAN != nil {
		wg.Go(func() { wanErr = s.cfg.WAN.Leave() })
	}
	wg.Wait()
	if len(members) > 1 {
		wg.Go(func() {
			s.awaitExpulsion(ctx)
			s.table.handOn(s.successor())
		})
	}
	if len(others) > 0 {
		wg.Go(func() { s.drain(ctx) })
	}
	wg.Wait()
	return errors.Join(lanErr, wanErr)
}

// peers are the other servers that are alive.
func (s *Server) peers() []gossip.Server {
	return slices.DeleteFunc(s.cfg.LAN.Servers(), func(p gossip.Server) bool {
		return p.Name == s.cfg.NodeName || p.Status != serf.StatusAlive
	})
}

// successor is the address of the server that answers in the place of this one: the
// leader if it is known, "" if there is nobody.
func (s *Server) successor() string {
	if leader := s.node.LeaderAddress(); leader != "" && leader != s.cfg.Advertise.String() {
		return leader
	}
	for _, p := range s.peers() {
		return p.Addr()
	}
	return ""
}

// drain goes on answering those who have not heard that this server has left.
func (s *Server) drain(ctx context.Context) {
	over := time.NewTimer(s.cfg.Drain)
	defer over.Stop()
	select {
	case <-over.C:
	case <-ctx.Done():
	}
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
