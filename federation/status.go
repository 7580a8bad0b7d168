package federation

import (
	"cmp"
	"slices"
	"time"

	"github.com/hanse-project/hanse/forwarder"
)

// Status is how a datacenter looks from here.
type Status struct {
	Datacenter string
	Servers    []ServerStatus
	// Alive and Failed count the servers as gossip sees them.
	Alive, Failed int
	// RTT is the median round trip to its servers, 0 if it is not known.
	RTT time.Duration
	// Breaker is closed, half-open or open; BreakerSince is zero while it is closed.
	Breaker      forwarder.BreakerState
	BreakerSince time.Time
	// LastError is the last failure of a connection, "" if there was none.
	LastError string
	// Traffic is what our calls to it are like.
	Traffic forwarder.Traffic
}

// ServerStatus is how one server looks from here.
type ServerStatus struct {
	Server
	// Alive is what gossip says, Reachable what connections say.
	Alive, Reachable bool
	// RTT is the round trip, 0 if it is not known.
	RTT       time.Duration
	LastError string
}

// Forwarder tells about the calls to each datacenter. [*forwarder.Router] does.
type Forwarder interface {
	Breaker(dc string) (state forwarder.BreakerState, since time.Time, last error)
	Traffic(dc string) forwarder.Traffic
}

// Status describes all datacenters, in the order of [Federation.Datacenters].
func (f *Federation) Status(calls Forwarder) []Status {
	var result []Status
	for _, dc := range f.Datacenters() {
		s := Status{Datacenter: dc, Servers: f.serverStatus(dc), Traffic: calls.Traffic(dc)}
		var distances []time.Duration
		for _, server := range s.Servers {
			if server.Alive {
				s.Alive++
			} else {
				s.Failed++
			}
			if server.RTT > 0 {
				distances = append(distances, server.RTT)
			}
		}
		s.RTT = median(distances)
		var last error
		if s.Breaker, s.BreakerSince, last = calls.Breaker(dc); last != nil {
			s.LastError = last.Error()
		}
		result = append(result, s)
	}
	return result
}

func (f *Federation) serverStatus(dc string) []ServerStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	var result []ServerStatus
	for _, m := range f.dcs[dc] {
		s := ServerStatus{Server: m.Server, Alive: !m.gone, Reachable: m.failedAt.IsZero()}
		s.RTT, _ = f.distance(m)
		if m.lastErr != nil {
			s.LastError = m.lastErr.Error()
		}
		result = append(result, s)
	}
	slices.SortFunc(result, func(a, b ServerStatus) int { return cmp.Compare(a.Name, b.Name) })
	return result
}
