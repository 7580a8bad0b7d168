package main

import (
	"io"
	"net/http"
	"testing"
)

func TestRTTEstimatesFromCoordinates(t *testing.T) {
	answers := map[string]string{
		"/v1/agent/self": `{"Config":{"NodeName":"a","Datacenter":"dc1"}}`,
		"/v1/coordinate/nodes": `[
			{"Node":"a","Segment":"","Coord":{"Vec":[0,0,0,0,0,0,0,0],"Error":1,"Adjustment":0,"Height":0.00001}},
			{"Node":"b","Segment":"","Coord":{"Vec":[0.003,0.004,0,0,0,0,0,0],"Error":1,"Adjustment":0.0005,"Height":0.00001}},
			{"Node":"odd","Segment":"","Coord":{"Vec":[0],"Error":1,"Adjustment":0,"Height":0.00001}}]`,
		"/v1/coordinate/datacenters": `[
			{"Datacenter":"dc1","AreaID":"wan","Coordinates":[{"Node":"a","Segment":"","Coord":{"Vec":[0,0,0,0,0,0,0,0],"Error":1,"Adjustment":0,"Height":0}}]},
			{"Datacenter":"dc.2","AreaID":"wan","Coordinates":[{"Node":"10.0.0.2","Segment":"","Coord":{"Vec":[0.25,0,0,0,0,0,0,0],"Error":1,"Adjustment":0,"Height":0}}]}]`,
	}
	serveAgent(t, func(w http.ResponseWriter, r *http.Request) {
		answer, known := answers[r.URL.Path]
		if !known {
			w.WriteHeader(http.StatusInternalServerError)
		}
		io.WriteString(w, answer)
	})
	for _, c := range []struct {
		args           []string
		stdout, stderr string
	}{
		{[]string{"a", "b"}, "Estimated a <-> b rtt: 5.520 ms (using LAN coordinates)\n", ""},
		{[]string{"b"}, "Estimated b <-> a rtt: 5.520 ms (using LAN coordinates)\n", ""},
		{[]string{"-wan", "10.0.0.2.dc.2", "a.dc1"}, "Estimated 10.0.0.2.dc.2 <-> a.dc1 rtt: 250.000 ms (using WAN coordinates)\n", ""},
		{[]string{"-wan", "10.0.0.2.dc.2"}, "Estimated 10.0.0.2.dc.2 <-> a.dc1 rtt: 250.000 ms (using WAN coordinates)\n", ""},
		{[]string{"-format=json", "a", "b"}, "{\n    \"Area\": \"LAN\",\n    \"Nodes\": [\n        \"a\",\n        \"b\"\n    ],\n    \"RTTMilliseconds\": 5.519999\n}\n", ""},
		{[]string{"-wan", "a", "10.0.0.2.dc.2"}, "", "Could not find a coordinate for node \"a\"\n"},
		{[]string{"a", "odd"}, "", "The coordinates of \"a\" and \"odd\" cannot be compared\n"},
	} {
		stdout, stderr, exit := hanse(t, "", append([]string{"rtt"}, c.args...)...)
		if failed := c.stderr != ""; stdout != c.stdout || stderr != c.stderr || (exit == 1) != failed {
			t.Errorf("%v: exit %d\n%s%s", c.args, exit, stdout, stderr)
		}
	}
	for _, args := range [][]string{{"rtt"}, {"rtt", "a", "b", "c"}} {
		_, stderr, exit := hanse(t, "", args...)
		compareOutput(t, "stderr", stderr, "One or two node names must be specified\n"+helpPlaceholder)
		if exit != 1 {
			t.Errorf("%v: exit %d", args, exit)
		}
	}
}
