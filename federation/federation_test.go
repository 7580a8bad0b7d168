package federation

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hanse-project/hanse/forwarder"
)

func server(dc, name string) Server {
	return Server{Name: name, Datacenter: dc, Addr: name + "." + dc + ":8300"}
}

// start makes a federation of datacenter "here" with servers written as "dc/name".
func start(t testing.TB, servers ...string) *Federation {
	t.Helper()
	f := New(Config{Datacenter: "here"})
	for _, s := range servers {
		dc, name, _ := strings.Cut(s, "/")
		f.Joined(server(dc, name))
	}
	return f
}

func (f *Federation) measured(dc, name string, rtt time.Duration) {
	f.Answered(dc, server(dc, name).Addr, rtt)
}

// names are those of the servers of dc as they would be tried now.
func names(t testing.TB, f *Federation, dc string) []string {
	t.Helper()
	servers, known := f.Servers(dc)
	if !known {
		t.Fatalf("%s is not known", dc)
	}
	var list []string
	for _, s := range servers {
		list = append(list, s.Name)
	}
	return list
}

var errRefused = errors.New("connection refused")

func TestDatacenterExistsAsLongAsItHasAServer(t *testing.T) {
	f := start(t, "there/a", "there/b")
	f.MemberFailed("there", "a")
	f.Left("there", "b")
	if got := names(t, f, "there"); !slices.Equal(got, []string{"a"}) {
		t.Fatalf("got %v", got)
	}
	f.Left("there", "a")
	f.Left("there", "a")
	if _, known := f.Servers("there"); known || len(f.Datacenters()) != 0 {
		t.Fatal("a datacenter without servers is still known")
	}
}

func TestNearestServersComeFirstAndTakeTurns(t *testing.T) {
	f := start(t, "there/far", "there/near1", "there/near2", "there/near3")
	f.measured("there", "far", 200*time.Millisecond)
	for i, name := range []string{"near1", "near2", "near3"} {
		f.measured("there", name, 40*time.Millisecond+time.Duration(i)*10*time.Millisecond)
	}
	first := make(map[string]int)
	for range 30 {
		got := names(t, f, "there")
		if len(got) != 4 || got[3] != "far" {
			t.Fatalf("got %v", got)
		}
		first[got[0]]++
	}
	for _, name := range []string{"near1", "near2", "near3"} {
		if first[name] != 10 {
			t.Errorf("%s came first %d times of 30", name, first[name])
		}
	}
}

func TestServerWhoseConnectionFailedGoesToTheBackUntilItAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, "there/a", "there/b", "there/c")
		f.Failed("there", "a.there:8300", errRefused)
		for range 6 {
			if got := names(t, f, "there"); got[2] != "a" {
				t.Fatalf("got %v", got)
			}
		}
		f.measured("there", "a", 0)
		if !comesFirst(t, f, "a") {
			t.Fatal("a never comes first though it has answered")
		}
		f.Failed("there", "a.there:8300", errRefused)
		if comesFirst(t, f, "a") {
			t.Fatal("a comes first though it has failed again")
		}
		time.Sleep(retryAfter + time.Millisecond) // of the bubble's clock
		if !comesFirst(t, f, "a") {
			t.Fatal("a is not tried again")
		}
	})
}

// comesFirst tells whether a server of "there" is first in some of its orders.
func comesFirst(t *testing.T, f *Federation, name string) bool {
	for range 12 {
		if names(t, f, "there")[0] == name {
			return true
		}
	}
	return false
}

func TestServerThatGossipDoesNotReachIsTriedLast(t *testing.T) {
	f := start(t, "there/a", "there/b", "there/c")
	f.MemberFailed("there", "a")
	f.Failed("there", "b.there:8300", errRefused)
	for range 6 {
		if got := names(t, f, "there"); got[0] != "c" {
			t.Fatalf("got %v", got)
		}
	}
	f.Joined(server("there", "a"))
	if !comesFirst(t, f, "a") {
		t.Fatal("a does not come first though it is back")
	}
}

func TestServerThatMovesIsForgottenAtItsOldAddress(t *testing.T) {
	f := start(t, "there/a")
	f.Failed("there", "a.there:8300", errRefused)
	moved := server("there", "a")
	moved.Addr = "elsewhere:8300"
	f.Joined(moved)
	servers, _ := f.Servers("there")
	if len(servers) != 1 || servers[0].Addr != "elsewhere:8300" {
		t.Fatalf("got %v", servers)
	}
	f.Failed("there", "a.there:8300", errRefused) // a late word of the old address
	if s := f.Status(calm{}); !s[0].Servers[0].Reachable {
		t.Fatalf("got %+v", s)
	}
}

func TestDatacentersAreSortedByDistance(t *testing.T) {
	f := New(Config{Datacenter: "here", Distance: func(s Server) (time.Duration, bool) {
		return 30 * time.Millisecond, s.Datacenter == "estimated"
	}})
	for _, dc := range []string{"unknown", "far", "near", "estimated", "here"} {
		f.Joined(server(dc, "a"))
	}
	f.measured("far", "a", 300*time.Millisecond)
	f.measured("near", "a", 10*time.Millisecond)
	want := []string{"here", "near", "estimated", "far", "unknown"}
	if got := f.Datacenters(); !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestRoundTripsAreSmoothed(t *testing.T) {
	f := start(t, "there/a")
	f.measured("there", "a", 100*time.Millisecond)
	f.measured("there", "a", 200*time.Millisecond)
	if got := f.Status(calm{})[0].RTT; got != 120*time.Millisecond {
		t.Fatalf("got %v", got)
	}
}

// calm is the forwarder of a federation without trouble, but for one datacenter.
type calm struct{ sick string }

// Traffic implements Forwarder.
func (c calm) Traffic(dc string) forwarder.Traffic {
	if dc != c.sick || dc == "" {
		return forwarder.Traffic{}
	}
	return forwarder.Traffic{Median: 30 * time.Millisecond, P99: 2 * time.Second, InFlight: 4, Errors: 5, Sessions: 6}
}

// Breaker implements Forwarder.
func (c calm) Breaker(dc string) (forwarder.BreakerState, time.Time, error) {
	if dc != c.sick || dc == "" {
		return forwarder.BreakerClosed, time.Time{}, nil
	}
	return forwarder.BreakerOpen, time.Unix(1, 0), errRefused
}

func TestStatusTellsWhatIsWrong(t *testing.T) {
	f := start(t, "here/a", "there/b", "there/c", "there/d")
	f.MemberFailed("there", "c")
	f.Failed("there", "d.there:8300", errRefused)
	f.measured("there", "b", 50*time.Millisecond)
	got := f.Status(calm{sick: "there"})
	if len(got) != 2 || got[0].Datacenter != "here" || got[0].Breaker != forwarder.BreakerClosed {
		t.Fatalf("got %+v", got)
	}
	there := got[1]
	if there.Alive != 2 || there.Failed != 1 || there.RTT != 50*time.Millisecond ||
		there.Breaker != forwarder.BreakerOpen || there.BreakerSince.IsZero() || there.LastError != "connection refused" {
		t.Fatalf("got %+v", there)
	}
	want := []string{"b true true ", "c false true ", "d true false connection refused"}
	for i, s := range there.Servers {
		if line := fmt.Sprintf("%s %v %v %s", s.Name, s.Alive, s.Reachable, s.LastError); line != want[i] {
			t.Errorf("got %q, want %q", line, want[i])
		}
	}
	if s, ok := f.Server("there", "b"); !ok || s.Addr != "b.there:8300" {
		t.Errorf("got %+v, %v", s, ok)
	}
}

func TestMetricsFollowTheDatacenter(t *testing.T) {
	reg := prometheus.NewRegistry()
	f := New(Config{Datacenter: "here", Registerer: reg})
	f.Joined(server("there", "a"))
	f.Joined(server("there", "b"))
	f.MemberFailed("there", "b")
	f.measured("there", "a", 250*time.Millisecond)
	want := []string{
		"hanse_federation_rtt_seconds datacenter=there 0.25",
		"hanse_federation_servers datacenter=there,state=alive 1",
		"hanse_federation_servers datacenter=there,state=failed 1",
	}
	if got := gauges(t, reg); !slices.Equal(got, want) {
		t.Fatalf("got %q", got)
	}
	f.Left("there", "a")
	f.Left("there", "b")
	if got := gauges(t, reg); len(got) != 0 {
		t.Fatalf("left are %q", got)
	}
}

func gauges(t *testing.T, reg *prometheus.Registry) (lines []string) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			lines = append(lines, fmt.Sprint(family.GetName(), " ", strings.Join(labels, ","), " ", m.GetGauge().GetValue()))
		}
	}
	return lines
}

func TestEventsAndCallsAtOnce(t *testing.T) {
	f := start(t, "there/a", "there/b")
	var wg sync.WaitGroup
	for _, do := range []func(i int){
		func(i int) { f.Joined(server("there", fmt.Sprint("s", i%5))) },
		func(i int) { f.Left("there", fmt.Sprint("s", i%5)) },
		func(int) { f.Failed("there", "a.there:8300", errRefused) },
		func(i int) { f.measured("there", "a", time.Duration(i)*time.Millisecond) },
		func(int) { f.Datacenters() },
		func(int) { f.Status(calm{}) },
		func(int) {
			if servers, _ := f.Servers("there"); len(servers) < 2 {
				t.Errorf("got %v", servers)
			}
		},
	} {
		wg.Go(func() {
			for i := range 500 {
				do(i)
			}
		})
	}
	wg.Wait()
}

func BenchmarkServers(b *testing.B) {
	f := start(b, "there/a", "there/b", "there/c")
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			f.Servers("there")
		}
	})
}
