package httpapi

import (
	"net/http/httptest"
	"testing"

	"github.com/hanse-project/hanse/catalog"
)

func TestWhereAnswersAreSortedFrom(t *testing.T) {
	a := &API{cfg: Config{Datacenter: "dc1", Node: "alpha"}}
	for name, c := range map[string]struct {
		query, forwarded, remote string
		want                     catalog.QuerySource
	}{
		"nowhere":                      {"", "", "10.0.0.9:1234", catalog.QuerySource{Datacenter: "dc1"}},
		"a node":                       {"near=n1", "", "", catalog.QuerySource{Datacenter: "dc1", Node: "n1"}},
		"a node of another datacenter": {"near=n1&dc=dc2", "", "", catalog.QuerySource{Datacenter: "dc2", Node: "n1"}},
		"this agent":                   {"near=_agent", "", "", catalog.QuerySource{Datacenter: "dc1", Node: "alpha"}},
		"this agent, for another":      {"near=_agent&dc=dc2", "", "", catalog.QuerySource{Datacenter: "dc1", Node: "alpha"}},
		"an address":                   {"near=_ip", "", "10.0.0.9:1234", catalog.QuerySource{Datacenter: "dc1", Node: "_ip", Ip: "10.0.0.9"}},
		"an IPv6 address":              {"near=_ip", "", "[fd00::9]:1234", catalog.QuerySource{Datacenter: "dc1", Node: "_ip", Ip: "fd00::9"}},
		"an IPv4 address as IPv6":      {"near=_ip", "", "[::ffff:10.0.0.9]:1234", catalog.QuerySource{Datacenter: "dc1", Node: "_ip", Ip: "10.0.0.9"}},
		"behind a proxy":               {"near=_ip", "10.1.1.1", "10.0.0.9:1234", catalog.QuerySource{Datacenter: "dc1", Node: "_ip", Ip: "10.1.1.1"}},
		"behind two":                   {"near=_ip", " fd00::1 , 10.1.1.1", "10.0.0.9:1234", catalog.QuerySource{Datacenter: "dc1", Node: "_ip", Ip: "fd00::1"}},
		"behind one that says nothing": {"near=_ip", "unknown", "10.0.0.9:1234", catalog.QuerySource{Datacenter: "dc1", Node: "_ip", Ip: "10.0.0.9"}},
		"through a socket file":        {"near=_ip", "", "@", catalog.QuerySource{Datacenter: "dc1", Node: "_ip"}},
	} {
		hr := httptest.NewRequest("GET", "/v1/catalog/nodes?"+c.query, nil)
		hr.RemoteAddr = c.remote
		hr.Header.Set("X-Forwarded-For", c.forwarded)
		values, err := parseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		if got := a.source(&request{Request: hr, query: values}); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestCoordinatesRefuseWhatTheyCannotTake(t *testing.T) {
	face, _ := newFace(t, nil)
	for name, c := range map[string]struct {
		method, target, body string
		status               int
	}{
		"no node":               {"GET", "/v1/coordinate/node/", "", 400},
		"a segment of nodes":    {"GET", "/v1/coordinate/nodes?segment=alpha", "", 400},
		"a segment of a node":   {"GET", "/v1/coordinate/node/n1?segment=alpha", "", 400},
		"a segment to be told":  {"PUT", "/v1/coordinate/update", `{"Node":"n1","Segment":"alpha"}`, 400},
		"an unknown field":      {"PUT", "/v1/coordinate/update", `{"Nod":"n1"}`, 400},
		"no JSON":               {"PUT", "/v1/coordinate/update", `{`, 400},
		"an update of nothing":  {"PUT", "/v1/coordinate/update", `{}`, 500},
		"a node without a name": {"PUT", "/v1/coordinate/update", `{"Coord":{"Vec":[0,0,0,0,0,0,0,0]}}`, 500},
		"the wrong method":      {"POST", "/v1/coordinate/update", `{}`, 405},
		"an unknown datacenter": {"GET", "/v1/coordinate/nodes?dc=nowhere", "", 500},
	} {
		if w := do(face, c.method, c.target, c.body); w.Code != c.status || w.Body.Len() == 0 {
			t.Errorf("%s: %d %q, want %d", name, w.Code, w.Body, c.status)
		}
	}
}
