package federation

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hanse-project/hanse/rpc"
)

func TestReportTellsOfEveryDatacenter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, "here/a", "here/b", "mute/m", "sick/s", "there/t", "there/u")
		f.measured("here", "a", 20*time.Microsecond)
		f.measured("here", "b", 400*time.Microsecond)
		f.measured("there", "t", 50*time.Millisecond)
		f.MemberFailed("there", "u")
		f.Failed("sick", "s.sick:8300", errRefused)
		asked := make(chan string, 10)
		e := NewEndpoint(EndpointConfig{Directory: f, Forwarder: calm{sick: "sick"}, Datacenter: "here", Node: "a",
			Leader: func(ctx context.Context, dc string) (string, error) {
				asked <- dc
				switch dc {
				case "mute":
					<-ctx.Done()
					return "", context.Cause(ctx)
				case "there":
					return "10.0.0.1:8300", nil // by another address than gossip has
				}
				return "b.here:8300", nil
			},
			Links: func(ctx context.Context, dc, token string) ([]LinkReport, error) {
				switch {
				case token != "secret":
					return nil, rpc.ErrPermissionDenied
				case dc == "mute":
					<-ctx.Done()
					return nil, context.Cause(ctx)
				case dc == "here":
					return []LinkReport{into("b", "sick", "here"), into("a", "there", "here"), into("c", "here", "here")}, nil
				}
				return []LinkReport{into("a", "here", "there")}, nil
			}})
		begin := time.Now()
		got, err := e.status(t.Context(), &rpc.Call{Authz: rpc.AllowAll{}}, &StatusRequest{Read: rpc.Read{QueryOptions: rpc.QueryOptions{Token: "secret"}}})
		if took := time.Since(begin); err != nil || took != leaderPatience {
			t.Fatalf("%v after %v", err, took)
		}
		well := func(s ServerReport) ServerReport {
			s.Alive, s.Reachable = true, true
			return s
		}
		want := &Report{Datacenter: "here", Node: "a", Datacenters: []DatacenterReport{
			{Datacenter: "here", Local: true, Leader: "b", Alive: 2, RTTMedianMs: 0.4, Breaker: "closed",
				Links: []LinkReport{into("a", "there", "here"), into("b", "sick", "here"), into("c", "here", "here"), into("a", "here", "there")}, Servers: []ServerReport{
					well(ServerReport{Name: "a", Address: "a.here:8300"}), well(ServerReport{Name: "b", Address: "b.here:8300", RTTMs: 0.4})}},
			{Datacenter: "there", Leader: "10.0.0.1:8300", Alive: 1, Failed: 1, RTTMedianMs: 50, Breaker: "closed",
				Links: []LinkReport{into("a", "here", "there"), into("a", "there", "here")}, Servers: []ServerReport{
					well(ServerReport{Name: "t", Address: "t.there:8300", RTTMs: 50}), {Name: "u", Address: "u.there:8300", Reachable: true}}},
			{Datacenter: "mute", Alive: 1, Breaker: "closed", Links: []LinkReport{}, Servers: []ServerReport{well(ServerReport{Name: "m", Address: "m.mute:8300"})}},
			{Datacenter: "sick", Alive: 1, RTTMedianMs: 30, RTTP99Ms: 2000, InFlight: 4, Errors: 5, Sessions: 6, Breaker: "open",
				BreakerSince: "1970-01-01T00:00:01Z", LastError: "connection refused",
				Links:   []LinkReport{into("b", "sick", "here")},
				Servers: []ServerReport{{Name: "s", Address: "s.sick:8300", Alive: true, LastError: "connection refused"}}},
		}}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got\n%+v\nwant\n%+v", got, want)
		}
		if close(asked); len(asked) != 3 {
			t.Errorf("%d datacenters were asked for their leaders, want all but the sick one", len(asked))
		}
	})
}

func into(name, from, to string) LinkReport {
	return LinkReport{Name: name, From: from, To: to, State: "following", LagSeconds: 0.5, LagEntries: 2}
}

func TestReportIsForOperators(t *testing.T) {
	e := NewEndpoint(EndpointConfig{Directory: start(t), Forwarder: calm{}})
	if _, err := e.status(t.Context(), &rpc.Call{Authz: nobody{}}, &StatusRequest{}); !errors.Is(err, rpc.ErrPermissionDenied) {
		t.Errorf("got %v", err)
	}
}

// nobody may do nothing.
type nobody struct{}

func (nobody) Allow(rpc.Resource, rpc.Access, string) bool       { return false }
func (nobody) AllowPrefix(rpc.Resource, rpc.Access, string) bool { return false }
func (nobody) Holder() string                                    { return "nobody" }
