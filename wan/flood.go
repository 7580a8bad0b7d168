package wan

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/serf/serf"

	"github.com/hanse-project/hanse/gossip"
)

// floodInterval is how often LAN servers missing from the WAN are looked for. Those
// that join the LAN are brought in at once.
const floodInterval = time.Minute

// Flooder brings the servers of our datacenter into the WAN pool, so that it is
// enough to join one of them.
//
// It also shares what one of them learns. Gossip tells of a new member a few times, to
// members picked at random, and whom no message reached learns of it from the next
// exchange of whole lists, up to a minute later. So a server that meets one of another
// datacenter exchanges lists with the others of its own at once.
type Flooder struct {
	pool    *Pool
	servers func() []gossip.Server
	log     hclog.Logger
	poke    chan struct{}
	share   atomic.Bool // what we learned has yet to be shared
}

// NewFlooder returns a flooder of the servers that lanServers lists.
func NewFlooder(pool *Pool, lanServers func() []gossip.Server, log hclog.Logger) *Flooder {
	return &Flooder{pool: pool, servers: lanServers, log: log.Named("flood"), poke: make(chan struct{}, 1)}
}

// Poke looks at once, not at the next minute. It is called when a LAN server joins
// or changes its tags, and never blocks.
func (f *Flooder) Poke() {
	select {
	case f.poke <- struct{}{}:
	default:
	}
}

// Met shares the list of members with the other servers of our datacenter, because a
// server of another one is new in it. It never blocks.
func (f *Flooder) Met(s gossip.Server) {
	if s.Datacenter != f.pool.datacenter {
		f.share.Store(true)
		f.Poke()
	}
}

// Run floods until ctx ends.
func (f *Flooder) Run(ctx context.Context) {
	ticker := time.NewTicker(floodInterval)
	defer ticker.Stop()
	for {
		f.flood(ctx)
		select {
		case <-ctx.Done():
			return
		case <-f.poke:
		case <-ticker.C:
		}
	}
}

func (f *Flooder) flood(ctx context.Context) {
	known := make(map[string]bool)
	for _, m := range f.pool.Members() {
		// A server that left the WAN is on its way out, or comes back by its own flooder.
		known[m.Name] = m.Status != serf.StatusFailed
	}
	share := f.share.Swap(false)
	for _, s := range f.servers() {
		name := gossip.WANName(s.Name, s.Datacenter)
		done := known[name] && !share || name == f.pool.Local().Name
		if ctx.Err() != nil || done || !s.Alive() || s.WANJoinPort == 0 {
			continue
		}
		// The name goes before the address for transports that route by name.
		addr := name + "/" + netip.AddrPortFrom(s.IP, uint16(s.WANJoinPort)).String()
		if _, err := f.pool.Join([]string{addr}); err != nil {
			f.log.Debug("failed to flood-join server", "server", name, "address", addr, "error", err)
			continue
		}
		if known[name] {
			f.log.Debug("shared new members with server", "server", name)
			continue
		}
		f.log.Info("successfully performed flood-join for server", "server", name, "address", addr)
	}
}
