package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/replicate/link"
)

// linkAgent answers for links with what there is in reports, and notes what it was asked.
type linkAgent struct {
	reports []link.Report
	asked   []string
	refuse  string
}

func (a *linkAgent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	a.asked = append(a.asked, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+string(body)))
	if a.refuse != "" {
		http.Error(w, a.refuse, http.StatusConflict)
		return
	}
	var answer any = a.reports
	if r.URL.Path != "/v1/replicate/links" || r.Method == http.MethodPut {
		answer = a.reports[0]
	}
	if r.Method == http.MethodDelete {
		return
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func (a *linkAgent) last() string { return a.asked[len(a.asked)-1] }

func someLink() link.Report {
	r := link.Report{Row: link.Row{Link: link.Defaults()}, Status: link.Status{State: "following", SourceIndex: 60, AppliedIndex: 60, Keys: 4}}
	r.Name, r.SourceDatacenter, r.Prefix, r.DestinationPrefix = "shanghai-config", "shanghai", "config/", "config/"
	return r
}

func TestLinkSetSendsWhatWasSaid(t *testing.T) {
	a := &linkAgent{reports: []link.Report{someLink()}}
	a.reports[0].HasToken, a.reports[0].RateLimit, a.reports[0].Exclude = true, 500, []string{"config/a/", "config/b/"}
	serveAgent(t, a.ServeHTTP)
	for args, want := range map[string]string{
		"-source-datacenter=shanghai -prefix=config/": `PUT /v1/replicate/links {"prefix":"config/","source_datacenter":"shanghai"}`,
		"web -prefix= -delete=false -prune":           `PUT /v1/replicate/links/web {"delete":false,"prefix":"","prune":true}`,
		"-rate-limit=500 -verify-interval=1h30m web":  `PUT /v1/replicate/links/web {"rate_limit":500,"verify_interval":"1h30m"}`,
		"web -exclude=a/ -exclude=b/":                 `PUT /v1/replicate/links/web {"exclude":["a/","b/"]}`,
		"web -exclude=":                               `PUT /v1/replicate/links/web {"exclude":[]}`,
		"web -source-token=- -max-delete-fraction=.5": `PUT /v1/replicate/links/web {"max_delete_fraction":0.5,"token":"secret"}`,
		"web -datacenter=osaka":                       `PUT /v1/replicate/links/web?dc=osaka {}`,
	} {
		_, stderr, exit := hanse(t, "secret\n", append([]string{"replicate", "link", "set"}, strings.Fields(args)...)...)
		if exit != 0 || a.last() != want {
			t.Errorf("%s: exit %d, %q, asked %s, want %s", args, exit, stderr, a.last(), want)
		}
	}
	stdout, _, _ := hanse(t, "", "replicate", "link", "set", "shanghai-config")
	if stdout != `Link shanghai-config

Source datacenter    shanghai
Prefix               config/
Destination prefix   config/
Exclude              config/a/, config/b/
Source token         set
Delete               true
Max delete fraction  0.5
Rate limit           500 keys a second
Verify interval      10m0s
Repair               true
Conflict             source-wins
Prune                false
Enabled              true
State                following
` {
		t.Error(stdout)
	}
}

func TestLinkCommandsThatAreWrong(t *testing.T) {
	a := &linkAgent{refuse: `link "a" does not fit beside the others`}
	serveAgent(t, a.ServeHTTP)
	for args, says := range map[string]string{
		"set a -rate-limit=many":     `invalid value "many" for flag -rate-limit: use a number`,
		"set a -verify-interval=10":  `use a number with a unit`,
		"set a -delete=perhaps":      `use true or false`,
		"set a -prefx=b":             "Did you mean -prefix?",
		"set a b":                    "Too many arguments (expected 1, got 2)",
		"set a/pause":                `"a/pause" is no name of a link`,
		"pause":                      "Name the link",
		"rm":                         "Name the link",
		"paus a":                     `Did you mean "replicate link pause"?`,
		"set a -prefix=b":            `link "a" does not fit beside the others`,
		"approve a":                  `link "a" does not fit beside the others`,
		"status a":                   `link "a" does not fit beside the others`,
		"set a -source-token=@/none": "Failed to read file",
	} {
		stdout, stderr, exit := hanse(t, "", append([]string{"replicate", "link"}, strings.Fields(args)...)...)
		if exit != 1 || stdout != "" || !strings.Contains(stderr, says) {
			t.Errorf("%s: exit %d, %s, want %q", args, exit, stderr, says)
		}
	}
	if _, stderr, exit := hanse(t, "", "replicate", "lnk"); exit != 1 || !strings.Contains(stderr, `Did you mean "replicate link"?`) {
		t.Errorf("exit %d, %s", exit, stderr)
	}
}

func TestLinkOrders(t *testing.T) {
	a := &linkAgent{reports: []link.Report{someLink()}}
	serveAgent(t, a.ServeHTTP)
	for verb, says := range map[string]string{
		"pause": "is paused", "resume": "goes on", "resync": "compares everything again",
		"approve": "carries out the deletes", "reject": "keeps the keys",
	} {
		stdout, stderr, exit := hanse(t, "", "replicate", "link", verb, "a b", "-datacenter=osaka")
		if exit != 0 || stderr != "" || !strings.Contains(stdout, "Link a b "+says) || a.last() != "PUT /v1/replicate/links/a%20b/"+verb+"?dc=osaka" {
			t.Errorf("%s: exit %d, %q %q, asked %s", verb, exit, stdout, stderr, a.last())
		}
	}
	a.reports[0].Enabled = false
	if stdout, _, exit := hanse(t, "", "replicate", "link", "resume", "web"); exit != 0 || !strings.Contains(stdout, "is disabled") {
		t.Errorf("exit %d, %q", exit, stdout)
	}
	if stdout, _, exit := hanse(t, "", "replicate", "link", "rm", "web"); exit != 0 || stdout != "Link removed: web. Its keys stay.\n" || a.last() != "DELETE /v1/replicate/links/web" {
		t.Errorf("exit %d, %q, asked %s", exit, stdout, a.last())
	}
}

func TestLinkList(t *testing.T) {
	held := someLink()
	held.Name, held.Prefix, held.DestinationPrefix = "wuhan-all", "", "from-wuhan/"
	held.SourceDatacenter, held.Status = "wuhan", link.Status{State: "held", HeldDeletes: 127, LagEntries: 127, LagSeconds: 3725, Keys: 150}
	off := someLink()
	off.Name, off.Status = "off", link.Status{State: "disabled"}
	a := &linkAgent{reports: []link.Report{someLink(), held, off}}
	serveAgent(t, a.ServeHTTP)
	stdout, stderr, exit := hanse(t, "", "replicate", "link", "list")
	if exit != 0 || stderr != "" || stdout != `Link             From      Prefix    Destination  State               Lag    Behind  Keys
shanghai-config  shanghai  config/   config/      following           0.0 s  0       4
wuhan-all        wuhan     all keys  from-wuhan/  held (127 deletes)  1h2m   127     150
off              shanghai  config/   config/      disabled            -      0       0
` {
		t.Errorf("exit %d, %q\n%s", exit, stderr, stdout)
	}
	var back []link.Report
	stdout, _, _ = hanse(t, "", "replicate", "link", "list", "-format=json")
	if err := json.Unmarshal([]byte(stdout), &back); err != nil || len(back) != 3 || back[0].VerifyInterval != catalog.Duration(10*time.Minute) {
		t.Errorf("%v: %s", err, stdout)
	}
	a.reports = []link.Report{}
	for format, want := range map[string]string{"json": "[]\n", "pretty": "There are no links.\n"} {
		for _, command := range []string{"list", "status"} {
			if stdout, _, exit := hanse(t, "", "replicate", "link", command, "-format="+format); exit != 0 || stdout != want {
				t.Errorf("%s: exit %d, %q", command, exit, stdout)
			}
		}
	}
}

// now is when the statuses of these tests are looked at.
var now = time.Date(2026, 11, 28, 3, 0, 0, 0, time.UTC)

func TestLinkStatusOfAHold(t *testing.T) {
	r := someLink()
	r.Status = link.Status{
		State: "held", SourceIndex: 210, AppliedIndex: 60, LagSeconds: 7.25, LagEntries: 127, Keys: 150, Applied: 151, Bytes: 3 << 20, Errors: 1,
		HeldDeletes: 127, HeldReason: "127 of 150 keys would go at once", HeldExamples: []string{"config/a", "config/b\x1b[2J"},
		Conflicts: 1, ConflictKeys: []string{"config/mine"},
		DivergentKeys: 2, DivergentExamples: []string{"config/x", "config/y"}, Repaired: 2, LastVerify: now.Add(-90 * time.Second),
		LastError: "No path to datacenter", LastErrorAt: now.Add(-12 * time.Second), NextRetry: now.Add(1200 * time.Millisecond),
		LastSuccess: now.Add(-7250 * time.Millisecond),
	}
	var out strings.Builder
	printLinkStatus(&out, &r, "osaka", now)
	if out.String() != `shanghai-config: config/ of shanghai to config/

  State       held
  Lag         7.2 s, 127 changes not written yet
  Index       210 at the source, 60 applied
  Keys        150 here
  Rate        0 keys and 0 B a second
  Done        151 written, 0 deleted, 3.0 MiB, 1 error
  Held        127 deletes: 127 of 150 keys would go at once
                config/a
                "config/b\x1b[2J"
                and 125 more
              let them go:  hanse replicate link approve -datacenter=osaka shanghai-config
              keep them:    hanse replicate link reject -datacenter=osaka shanghai-config
  Conflicts   1 key that somebody else wrote here
                config/mine
  Verified    1m30s ago, 2 keys differed, 2 put right
                config/x
                config/y
  Last error  12.0 s ago: No path to datacenter
  Next try    in 1.2 s
  In step     7.2 s ago
` {
		t.Error(out.String())
	}
}

func TestLinkStatusOfAFirstPass(t *testing.T) {
	r := someLink()
	r.FromConfig = true
	r.Status = link.Status{State: "syncing", Done: 5100, Total: 10000, EtaSeconds: 1.1, Keys: 5100, KeysPerSecond: 4500, BytesPerSecond: 1 << 20}
	var out strings.Builder
	printLinkStatus(&out, &r, "", now)
	if got := out.String(); !strings.Contains(got, "  State      syncing (kept in configuration files)\n  Comparing  [==========          ]  51%  5100 of 10000 keys, about 1.1 s left\n") ||
		!strings.Contains(got, "  Rate       4500 keys and 1.0 MiB a second\n") {
		t.Error(got)
	}
}

func TestLinkVerifyWaitsForWhatIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		found link.Status
		says  string
		exit  int
	}{
		"equal":    {link.Status{}, "Link web: both ends are equal\n", 0},
		"differs":  {link.Status{DivergentKeys: 7, DivergentExamples: []string{"a", "b"}}, "Link web: 7 keys differed\n  a\n  b\n  and 5 more\n", 1},
		"repaired": {link.Status{DivergentKeys: 1, DivergentExamples: []string{"a"}, Repaired: 1}, "Link web: 1 key differed, 1 put right\n  a\n", 0},
	} {
		asked := 0
		serveAgent(t, func(w http.ResponseWriter, r *http.Request) {
			report := someLink()
			report.Status.LastVerify = now
			switch asked++; {
			case r.Method == http.MethodPut:
				if r.URL.RequestURI() != "/v1/replicate/links/web/verify?repair=" {
					t.Errorf("%s: asked %s", name, r.URL.RequestURI())
				}
				report.Status.Verifying = true
			case r.URL.RawQuery != "":
				t.Errorf("%s: asked %s", name, r.URL.RequestURI())
			case asked > 4:
				report.Status = c.found
				report.Status.LastVerify = now.Add(time.Second)
			case asked > 1:
				report.Status.Verifying = true
			}
			_ = json.NewEncoder(w).Encode(report)
		})
		stdout, stderr, exit := hanse(t, "", "replicate", "link", "verify", "web", "-repair")
		if exit != c.exit || stderr != "" || stdout != c.says {
			t.Errorf("%s: exit %d, %q, %q", name, exit, stderr, stdout)
		}
	}
	failed := 0
	serveAgent(t, func(w http.ResponseWriter, _ *http.Request) {
		report := someLink()
		if failed++; failed > 2 {
			report.Status.LastError, report.Status.LastErrorAt = "No path to datacenter", now
		}
		_ = json.NewEncoder(w).Encode(report)
	})
	if _, stderr, exit := hanse(t, "", "replicate", "link", "verify", "web"); exit != 1 || stderr != "The comparison of the link web failed: No path to datacenter\n" {
		t.Errorf("exit %d, %q", exit, stderr)
	}
}

func TestReplicateExplain(t *testing.T) {
	serveAgent(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/replicate/explain" || r.URL.Query().Get("key") != "config/limit & more" {
			t.Errorf("asked %s", r.URL.RequestURI())
		}
		fmt.Fprint(w, `{"Key":"config/limit","Exists":true,"Links":[
			{"Link":"shanghai-config","Role":"destination","Action":"copied","Reason":"It stands below the prefix.","SourceKey":"cfg/limit","DestinationKey":"config/limit","Origin":"shanghai-config","SourceIndex":57,"AppliedIndex":60},
			{"Link":"wuhan-jobs","Role":"none","Action":"none","Reason":"It is outside both prefixes."}]}`)
	})
	stdout, stderr, exit := hanse(t, "", "replicate", "explain", "config/limit & more")
	if exit != 0 || stderr != "" || stdout != `config/limit exists here.

shanghai-config: copied
  It stands below the prefix.
  At the source  cfg/limit
  Here           config/limit
  Written by     shanghai-config
  Source index   57, everything up to 60 is here

wuhan-jobs: none
  It is outside both prefixes.
` {
		t.Errorf("exit %d, %q\n%s", exit, stderr, stdout)
	}
	if _, stderr, exit := hanse(t, "", "replicate", "explain"); exit != 1 || !strings.Contains(stderr, "Missing KEY") {
		t.Errorf("exit %d, %q", exit, stderr)
	}
}
