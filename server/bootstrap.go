package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/hanse-project/hanse/consensus"
	"github.com/hanse-project/hanse/gossip"
)

// bootstrapRetry is how long a failed try to begin a datacenter waits for the next.
const bootstrapRetry = time.Second

// bootstrapper begins a new datacenter once as many servers have met as were announced.
//
// Of those servers only the one with the lowest ID begins it, with all of them as
// voters: two servers that see the pool differently for a moment must not begin two.
type bootstrapper struct {
	node   *consensus.Node
	self   raft.Server
	expect int
	// servers are those that gossip knows in this datacenter.
	servers func() []gossip.Server
	// peersOf asks a server for the members of the log it takes part in.
	peersOf func(ctx context.Context, addr string) ([]string, error)
	log     hclog.Logger
	poke    chan struct{}
	// complained holds what was logged already: somebody has to change a setting before
	// it is worth another line.
	complained map[string]bool
}

// Poke looks at the pool again. It never blocks.
func (b *bootstrapper) Poke() {
	select {
	case b.poke <- struct{}{}:
	default:
	}
}

// Run returns when there is nothing to begin any more.
func (b *bootstrapper) Run(ctx context.Context) {
	if b.node.HasState() || b.expect == 0 {
		return
	}
	retry := time.NewTicker(bootstrapRetry)
	defer retry.Stop()
	for !b.try(ctx) {
		select {
		case <-b.poke:
		case <-retry.C:
		case <-ctx.Done():
			return
		}
	}
}

// try answers true when the datacenter has begun, by us or by others.
func (b *bootstrapper) try(ctx context.Context) bool {
	if b.node.HasState() {
		return true
	}
	if b.expect == 1 {
		return b.begin([]raft.Server{b.self})
	}
	voters, ok := b.voters()
	if !ok || voters[0].ID != b.self.ID {
		return false
	}
	for _, v := range voters[1:] {
		peers, err := b.peersOf(ctx, string(v.Address))
		if err != nil {
			b.log.Debug("server does not say yet whether it is in a cluster", "server", v.Address, "error", err)
			return false
		}
		if len(peers) > 0 {
			b.log.Info("Existing Raft peers reported, disabling bootstrap mode", "server", v.Address)
			return true
		}
	}
	addresses := make([]string, len(voters))
	for i, v := range voters {
		addresses[i] = string(v.Address)
	}
	b.log.Info("Found expected number of peers, attempting bootstrap", "peers", strings.Join(addresses, ","))
	return b.begin(voters)
}

// voters are the live servers, the one with the lowest ID first, if there are as many
// as expected and all of them expect the same.
func (b *bootstrapper) voters() ([]raft.Server, bool) {
	var voters []raft.Server
	for _, s := range b.servers() {
		switch {
		case !s.Alive():
			continue
		case s.Bootstrap:
			b.complain("server is in bootstrap mode, and this one has bootstrap_expect: use bootstrap_expect on all of them", s)
			return nil, false
		case s.Expect != 0 && s.Expect != b.expect:
			b.complain("server has a conflicting bootstrap_expect: use the same number on all of them", s, "theirs", s.Expect, "ours", b.expect)
			return nil, false
		case s.ID == "" || s.ReadReplica:
			continue
		}
		voters = append(voters, raft.Server{Suffrage: raft.Voter, ID: raft.ServerID(s.ID), Address: raft.ServerAddress(s.Addr())})
	}
	slices.SortFunc(voters, func(x, y raft.Server) int { return cmp.Compare(x.ID, y.ID) })
	return voters, len(voters) >= b.expect
}

func (b *bootstrapper) complain(about string, s gossip.Server, facts ...any) {
	if key := fmt.Sprint(about, s.Name, facts); !b.complained[key] {
		b.complained[key] = true
		b.log.Error(about, append([]any{"server", s.Name}, facts...)...)
	}
}

func (b *bootstrapper) begin(servers []raft.Server) bool {
	err := b.node.Bootstrap(servers)
	if err != nil && !errors.Is(err, raft.ErrCantBootstrap) {
		b.log.Error("failed to bootstrap the cluster, will retry", "error", err)
		return false
	}
	return true
}
