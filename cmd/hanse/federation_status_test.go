package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/hanse-project/hanse/federation"
)

var seenFromShanghai = &federation.Report{Datacenter: "shanghai", Node: "s1", Datacenters: []federation.DatacenterReport{
	{Datacenter: "shanghai", Local: true, Leader: "s2", Alive: 3, RTTMedianMs: 0.41, Sessions: 2, Breaker: "closed",
		Links: []federation.LinkReport{
			{Name: "osaka-app", From: "osaka", To: "shanghai", State: "paused"},
			{Name: "shanghai-config", From: "shanghai", To: "osaka", State: "following", LagSeconds: 0.04, LagEntries: 3},
		}},
	{Datacenter: "osaka", Leader: "o1", Alive: 2, Failed: 1, RTTMedianMs: 31.2, RTTP99Ms: 33.04, InFlight: 2, Sessions: 1, Breaker: "closed",
		Links: []federation.LinkReport{
			{Name: "shanghai-config", From: "shanghai", To: "osaka", State: "following", LagSeconds: 0.04, LagEntries: 3},
			{Name: "osaka-app", From: "osaka", To: "shanghai", State: "paused"},
		}},
	{Datacenter: "beijing", Alive: 1, Errors: 14, Breaker: "open", BreakerSince: "2026-11-28T01:04:19Z", LastError: "refused"},
}}

const federationTable = `Seen from s1 in shanghai

Datacenter  Leader  Alive  Failed  RTT p50  RTT p99  In flight  Errors  Sessions  Breaker
shanghai    s2      3      0       0.4 ms   -        -          -       2         -
osaka       o1      2      1       31.2 ms  33.0 ms  2          0       1         closed
beijing     -       1      0       -        -        0          14      0         open since 2026-11-28T01:04:19Z

Links

Link             From      To        State      Lag    Behind
osaka-app        osaka     shanghai  paused     -      -
shanghai-config  shanghai  osaka     following  0.0 s  3
`

func TestFederationStatus(t *testing.T) {
	serveAgent(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/federation/status" || r.URL.Query().Get("dc") == "nowhere" {
			http.Error(w, "No path to datacenter: nowhere", http.StatusInternalServerError)
			return
		}
		if err := json.NewEncoder(w).Encode(seenFromShanghai); err != nil {
			t.Error(err)
		}
	})
	stdout, stderr, exit := hanse(t, "", "federation", "status")
	if exit != 0 || stderr != "" || stdout != federationTable {
		t.Errorf("exit %d, %q\n%s", exit, stderr, stdout)
	}
	stdout, _, exit = hanse(t, "", "federation", "status", "-format=json")
	var report federation.Report
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || exit != 0 || len(report.Datacenters) != 3 {
		t.Errorf("exit %d, %v\n%s", exit, err, stdout)
	}
	_, stderr, exit = hanse(t, "", "federation", "status", "-datacenter=nowhere")
	if exit != 1 || !strings.Contains(stderr, "No path to datacenter: nowhere") {
		t.Errorf("exit %d, %q", exit, stderr)
	}
}

func TestWatchGoesOnUntilItIsInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, interrupt := context.WithCancel(t.Context())
		var out, complaints bytes.Buffer
		shown := 0
		err := everySecond(ctx, stdio{nil, &out, &complaints}, func(_ context.Context, w io.Writer) error {
			switch shown++; shown {
			case 2:
				return errors.New("the agent is away")
			case 4:
				interrupt()
			}
			_, err := fmt.Fprintln(w, "table", shown)
			return err
		})
		if err != nil || out.String() != "table 1\n\n\ntable 3\n" || complaints.String() != "the agent is away\n" {
			t.Errorf("%v, %q, %q", err, out.String(), complaints.String())
		}
	})
}
