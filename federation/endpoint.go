package federation

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/hanse-project/hanse/forwarder"
	"github.com/hanse-project/hanse/rpc"
)

// StatusRequest asks a server of a datacenter how the federation looks from there.
type StatusRequest struct{ rpc.Read }

// Report is how the federation looks from one server.
type Report struct {
	// Datacenter and Node are where it was made.
	Datacenter string
	Node       string
	// Datacenters begin with that one; the others follow, the nearest first.
	Datacenters []DatacenterReport
}

// DatacenterReport is how one datacenter looks from there.
type DatacenterReport struct {
	Datacenter string
	// Local marks the datacenter where the report was made. The calls within it are not
	// counted: its InFlight and Errors are 0.
	Local bool
	// Leader is the name of its leader, the address if that is not known by name, and ""
	// if it has none or did not say.
	Leader string
	// Alive and Failed count its servers as gossip sees them.
	Alive, Failed int
	Servers       []ServerReport
	// RTTMedianMs and RTTP99Ms are of the last minutes' round trips, in milliseconds: those
	// of pings, and of calls with a small answer. Without any the median is what gossip
	// estimates, and 0 is unknown.
	RTTMedianMs, RTTP99Ms float64
	// InFlight are calls that wait for their answer, and Errors counts those that no server
	// answered.
	InFlight, Errors int64
	// Sessions are the connections that are open to its servers.
	Sessions int
	// Breaker is closed, half-open or open, and BreakerSince when it opened, in RFC 3339.
	Breaker      string
	BreakerSince string `json:",omitempty"`
	// LastError is the last failure of a connection.
	LastError string `json:",omitempty"`
	// Links are the replication links that lead to it and those that come from it, as far as
	// the datacenters that they lead to said something of them.
	Links []LinkReport
}

// LinkReport is how a replication link is, as the datacenter says that it leads to.
type LinkReport struct {
	Name     string
	From, To string
	State    string
	// LagSeconds is how long ago everything that the source had was there, and LagEntries how
	// many differences are known and not yet written.
	LagSeconds float64
	LagEntries int
}

// ServerReport is how one server looks from there.
type ServerReport struct {
	Name    string
	Address string
	// Alive is what gossip says, Reachable what connections say.
	Alive, Reachable bool
	// RTTMs is the smoothed round trip in milliseconds, 0 if it is not known.
	RTTMs     float64
	LastError string `json:",omitempty"`
}

// GetStatus is answered by whichever server of the datacenter is asked.
var GetStatus = rpc.Method[StatusRequest, Report]{Info: rpc.Info{
	Name: "Hanse.FederationStatus", Route: rpc.AnyServer, Resource: rpc.ResourceOperator}}

// EndpointConfig is what the endpoint needs.
type EndpointConfig struct {
	Directory *Federation
	Forwarder Forwarder
	// Datacenter and Node are this server's.
	Datacenter, Node string
	// Leader asks a datacenter for the address of its leader, "" if it has none.
	Leader func(ctx context.Context, dc string) (addr string, err error)
	// Links asks a datacenter for the links that lead to it, with the caller's token.
	Links func(ctx context.Context, dc, token string) ([]LinkReport, error)
}

// Endpoint answers the method on a server.
type Endpoint struct{ EndpointConfig }

// NewEndpoint makes the endpoint.
func NewEndpoint(c EndpointConfig) *Endpoint { return &Endpoint{c} }

// Methods binds the method of this package.
func (e *Endpoint) Methods() []rpc.Handler { return []rpc.Handler{GetStatus.Handle(e.status)} }

// leaderPatience is how long the datacenters have to name their leaders and their links.
const leaderPatience = time.Second

func (e *Endpoint) status(ctx context.Context, call *rpc.Call, req *StatusRequest) (*Report, error) {
	if err := call.Allow(rpc.ResourceOperator, rpc.AccessRead, ""); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, leaderPatience)
	defer cancel()
	// The leaders come first, so that what their question finds out is told, too.
	datacenters := e.Directory.Datacenters()
	leaders := make(map[string]string, len(datacenters))
	links := make(map[string][]LinkReport, len(datacenters))
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, dc := range datacenters {
		if state, _, _ := e.Forwarder.Breaker(dc); state != forwarder.BreakerClosed {
			continue // it would not be asked, and each look would count as an error
		}
		wg.Go(func() {
			addr, err := e.Leader(ctx, dc)
			if err != nil {
				return // why it did not answer is in its row
			}
			mu.Lock()
			defer mu.Unlock()
			leaders[dc] = addr
		})
		wg.Go(func() {
			into, err := e.Links(ctx, dc, req.Token)
			if err != nil {
				return // likewise, and who has no links of this kind does not answer either
			}
			mu.Lock()
			defer mu.Unlock()
			for _, l := range into {
				links[l.To] = append(links[l.To], l)
				if l.From != l.To {
					links[l.From] = append(links[l.From], l)
				}
			}
		})
	}
	wg.Wait()
	rep := &Report{Datacenter: e.Datacenter, Node: e.Node, Datacenters: []DatacenterReport{}}
	for _, s := range e.Directory.Status(e.Forwarder) {
		rep.Datacenters = append(rep.Datacenters, e.report(&s, leaders[s.Datacenter], links[s.Datacenter]))
	}
	return rep, nil
}

// report is s as it is sent; leader is an address.
func (e *Endpoint) report(s *Status, leader string, links []LinkReport) DatacenterReport {
	slices.SortFunc(links, func(a, b LinkReport) int {
		return cmp.Or(compareBool(a.To != s.Datacenter, b.To != s.Datacenter), cmp.Compare(a.To, b.To), cmp.Compare(a.Name, b.Name))
	})
	rep := DatacenterReport{
		Datacenter: s.Datacenter, Local: s.Datacenter == e.Datacenter, Leader: leader, Alive: s.Alive, Failed: s.Failed,
		InFlight: s.Traffic.InFlight, Errors: s.Traffic.Errors, Sessions: s.Traffic.Sessions,
		Breaker: s.Breaker.String(), LastError: s.LastError, Servers: []ServerReport{},
		Links: append([]LinkReport{}, links...),
	}
	if !s.BreakerSince.IsZero() {
		rep.BreakerSince = s.BreakerSince.UTC().Format(time.RFC3339)
	}
	var trips []time.Duration
	for _, server := range s.Servers {
		if server.Addr == leader {
			rep.Leader = server.Name
		}
		if rep.Local && server.Name == e.Node {
			server.RTT = 0 // there is no way from us to us
		}
		if server.RTT > 0 {
			trips = append(trips, server.RTT)
		}
		rep.Servers = append(rep.Servers, ServerReport{
			Name: server.Name, Address: server.Addr, Alive: server.Alive, Reachable: server.Reachable,
			RTTMs: milliseconds(server.RTT), LastError: server.LastError,
		})
	}
	rep.RTTMedianMs, rep.RTTP99Ms = milliseconds(cmp.Or(s.Traffic.Median, median(trips))), milliseconds(s.Traffic.P99)
	return rep
}

// milliseconds rounds to a microsecond.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
