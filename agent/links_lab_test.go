//go:build linux

package agent_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hanse-project/hanse/replicate/link"
	"github.com/hanse-project/hanse/test/lab"
)

func from(dc, prefix string) lab.Settings {
	return lab.Settings{"source_datacenter": dc, "prefix": prefix}
}

// refused wants an answer to a PUT, DELETE or GET with a status and some words.
func refused(t *testing.T, n *lab.Node, method, path, body string, status int, words string) {
	t.Helper()
	a, err := n.Do(t.Context(), method, path, body)
	if err != nil {
		t.Fatal(err)
	}
	if a.Status != status || !strings.Contains(string(a.Body), words) {
		t.Errorf("%s %s %s: status %d: %s, want %d and %q", method, path, body, a.Status, a.Body, status, words)
	}
}

func TestLinksSurviveTheLeadersOfBothSides(t *testing.T) {
	fed := lab.New(t, lab.Servers("shanghai", 3), lab.Servers("beijing", 3), lab.QuickGossip())
	shanghai, beijing := fed.DC("shanghai"), fed.DC("beijing")
	for _, n := range beijing.Nodes {
		n.Flags = []string{"-hcl", `replicate { name = "stanza" source_datacenter = "shanghai" prefix = "app/" destination_prefix = "copied/" exclude = ["app/00/"] }`}
	}
	fed.Launch(t)
	fed.WaitWhole(t)
	shanghai.Below("config/").Fill(t, 400, 64)
	shanghai.Below("app/01/").Fill(t, 40, 64)
	shanghai.Put(t, "app/00/private", "secret")
	beijing.SetLink(t, "config", from("shanghai", "config/"))
	beijing.Below("config/").WaitEqual(t, shanghai.Below("config/"))
	beijing.Below("copied/01/").WaitEqual(t, shanghai.Below("app/01/"))

	config, app := shanghai.Below("config/").Write(t, 400, 100), shanghai.Below("app/01/").Write(t, 40, 20)
	kill := func(dc *lab.DC) {
		config.WaitAcked(t, 100)
		dead := dc.KillLeader(t)
		config.WaitAcked(t, 100)
		dead.Start(t)
		dc.WaitWhole(t)
	}
	kill(beijing)
	kill(shanghai)
	kill(beijing)
	for _, n := range beijing.Nodes {
		n.Kill(t)
	}
	config.WaitAcked(t, 50)
	fed.Launch(t)
	app.WaitAcked(t, 20)
	config.Stop(t)
	app.Stop(t)
	beijing.Below("config/").WaitEqual(t, shanghai.Below("config/"))
	beijing.Below("copied/01/").WaitEqual(t, shanghai.Below("app/01/"))
	beijing.WaitLinkState(t, "config", "following")
	beijing.WaitLinkState(t, "stanza", "following")
	if all, err := beijing.Below("copied/00/").Read(); err != nil || len(all) != 0 {
		t.Errorf("of what is excluded there is %v (%v)", all, err)
	}
}

func TestLinksDoAsTheyAreTold(t *testing.T) {
	fed := lab.Start(t, lab.Servers("shanghai", 1), lab.Servers("beijing", 1))
	shanghai, beijing := fed.DC("shanghai"), fed.DC("beijing")
	here, there := beijing.Below("config/"), shanghai.Below("config/")
	there.Fill(t, 100, 20)
	beijing.SetLink(t, "config", lab.Settings{"source_datacenter": "shanghai", "prefix": "config/", "token": "secret"})
	here.WaitEqual(t, there)
	a := beijing.Nodes[0].Get(t, "/v1/replicate/links/config")
	if text := string(a.Body); strings.Contains(text, "secret") || !strings.Contains(text, `"HasToken":true`) {
		t.Errorf("the token shows, or not that there is one: %s", text)
	}

	beijing.OrderLink(t, "config", "pause")
	beijing.WaitLinkState(t, "config", "paused")
	shanghai.Put(t, "config/later", "1")
	beijing.OrderLink(t, "config", "resume")
	beijing.WaitFor(t, "config/later", "1")

	beijing.Put(t, "config/later", "drift")
	beijing.OrderLink(t, "config", "resync")
	beijing.WaitFor(t, "config/later", "1")
	beijing.WaitLinkState(t, "config", "following")

	refused(t, beijing.Nodes[0], http.MethodPut, "/v1/replicate/links/config/approve", "", http.StatusConflict, "holds no deletes")
	holds := func(n int) {
		t.Helper()
		beijing.WaitLink(t, "config", "holding deletes", func(s link.Status) error {
			if s.State != "held" || s.HeldDeletes != n || len(s.HeldExamples) == 0 || s.HeldReason == "" {
				return fmt.Errorf("it is %+v", s)
			}
			return nil
		})
	}
	deleteAll := func() {
		t.Helper()
		if _, err := shanghai.Nodes[0].API(t).KV().DeleteTree("config/", nil); err != nil {
			t.Fatal(err)
		}
	}
	deleteAll()
	holds(101)
	shanghai.Put(t, "config/flows", "1") // sets go on
	beijing.WaitFor(t, "config/flows", "1")
	lab.Until(t, "one event says that the link holds deletes", func() error {
		events, _, err := beijing.Nodes[0].API(t).Event().List("hanse:replicate:held", nil)
		if err == nil && (len(events) != 1 || string(events[0].Payload) != "config") {
			err = fmt.Errorf("there are %d", len(events))
		}
		return err
	})
	beijing.OrderLink(t, "config", "reject")
	beijing.WaitLinkState(t, "config", "following")
	if all, err := here.Read(); err != nil || len(all) != 102 {
		t.Errorf("after a rejection there are %d keys (%v)", len(all), err)
	}

	there.Fill(t, 50, 10)
	lab.Until(t, "all is here again", func() error {
		all, err := here.Read()
		if err != nil {
			return err
		}
		want, err := there.Read()
		for key, pair := range want {
			if all[key] != pair {
				return fmt.Errorf("%s differs", key)
			}
		}
		return err
	})
	deleteAll()
	holds(51)
	beijing.OrderLink(t, "config", "approve")
	beijing.WaitLinkState(t, "config", "following")
	lab.Until(t, "what was held is gone", func() error {
		all, err := here.Read()
		if err == nil && len(all) != 51 { // those that were given up before stay
			err = fmt.Errorf("%d keys", len(all))
		}
		return err
	})
	beijing.RemoveLink(t, "config")
	if all, err := here.Read(); err != nil || len(all) != 51 {
		t.Errorf("after the link was removed there are %d keys (%v)", len(all), err)
	}
}

func TestLinksFindWhatOthersWroteHere(t *testing.T) {
	fed := lab.Start(t, lab.Servers("shanghai", 1), lab.Servers("beijing", 3), lab.Steady()) // each leader counts anew
	shanghai, beijing := fed.DC("shanghai"), fed.DC("beijing")
	here, there := beijing.Below("config/"), shanghai.Below("config/")
	there.Fill(t, 500, 20)
	beijing.SetLink(t, "config", lab.Settings{"source_datacenter": "shanghai", "prefix": "config/", "repair": false})
	here.WaitEqual(t, there)
	beijing.WaitLinkState(t, "config", "following")
	verified := func(divergent, repaired int) {
		t.Helper()
		beijing.WaitLink(t, "config", "verified", func(s link.Status) error {
			if s.Verifying || s.LastVerify.IsZero() || s.DivergentKeys != divergent || s.Repaired != repaired {
				return fmt.Errorf("%d of %d divergent keys were repaired at %v", s.Repaired, s.DivergentKeys, s.LastVerify)
			}
			return nil
		})
	}
	beijing.OrderLink(t, "config", "verify")
	verified(0, 0)
	beijing.Put(t, "config/03/3", "drift")
	if _, err := beijing.Nodes[0].API(t).KV().DeleteTree("config/01/", nil); err != nil {
		t.Fatal(err)
	}
	beijing.Put(t, "config/own", "mine") // nobody's business: the source never had it
	beijing.OrderLink(t, "config", "verify")
	verified(26, 0)
	beijing.OrderLink(t, "config", "verify?repair")
	verified(26, 26)
	beijing.OrderLink(t, "config", "verify")
	verified(0, 0)
	var x link.ExplainReply
	if err := json.Unmarshal(beijing.Nodes[0].Get(t, "/v1/replicate/explain?key=config/own").Body, &x); err != nil {
		t.Fatal(err)
	}
	if len(x.Links) != 1 || x.Links[0].Action != "left-alone" || x.Links[0].Origin != "" {
		t.Errorf("it is explained by %+v", x)
	}
	if err := json.Unmarshal(beijing.Nodes[0].Get(t, "/v1/replicate/explain?key=config/01/1").Body, &x); err != nil {
		t.Fatal(err)
	}
	if len(x.Links) != 1 || x.Links[0].Action != "copied" || x.Links[0].Origin != "config" || x.Links[0].SourceIndex == 0 {
		t.Errorf("it is explained by %+v", x)
	}
	if _, err := beijing.Nodes[0].API(t).KV().Delete("config/own", nil); err != nil {
		t.Fatal(err)
	}
	here.WaitEqual(t, there)

	// With another rule what somebody else wrote stays.
	beijing.SetLink(t, "config", lab.Settings{"conflict": "report"})
	beijing.WaitLinkState(t, "config", "following")
	beijing.Put(t, "config/02/2", "mine")
	shanghai.Put(t, "config/02/2", "theirs")
	shanghai.Put(t, "config/after", "1")
	beijing.WaitFor(t, "config/after", "1")
	beijing.WaitFor(t, "config/02/2", "mine")
	beijing.WaitLink(t, "config", "reporting a conflict", func(s link.Status) error {
		if s.Conflicts != 1 || fmt.Sprint(s.ConflictKeys) != "[config/02/2]" {
			return fmt.Errorf("there are %d: %v", s.Conflicts, s.ConflictKeys)
		}
		return nil
	})
}

func TestLoopsAreRefusedAndChainsAllowed(t *testing.T) {
	fed := lab.Start(t, lab.Servers("shanghai", 1), lab.Servers("beijing", 1), lab.Servers("osaka", 1))
	shanghai, beijing, osaka := fed.DC("shanghai"), fed.DC("beijing"), fed.DC("osaka")
	beijing.SetLink(t, "chain", from("shanghai", "config/")) // shanghai to beijing to osaka
	osaka.SetLink(t, "chain", from("beijing", "config/"))
	osaka.SetLink(t, "fan", lab.Settings{"source_datacenter": "shanghai", "prefix": "config/", "destination_prefix": "fan/"})
	shanghai.Below("config/").Fill(t, 30, 10)
	osaka.Below("config/").WaitEqual(t, shanghai.Below("config/"))
	osaka.Below("fan/").WaitEqual(t, shanghai.Below("config/"))
	for _, dc := range []string{"beijing", "osaka"} {
		refused(t, shanghai.Nodes[0], http.MethodPut, "/v1/replicate/links/back", `{"source_datacenter": "`+dc+`", "prefix": "config/"}`,
			http.StatusConflict, `"chain" of beijing`)
	}
	refused(t, shanghai.Nodes[0], http.MethodPut, "/v1/replicate/links/x", `{"source_datacenter": "beijing"}`, http.StatusBadRequest, "prefix is missing")
	refused(t, beijing.Nodes[0], http.MethodPut, "/v1/replicate/links/x", `{"source_datacenter": "osaka", "prefix": "config/"}`, http.StatusConflict, "both write below")

	// What nobody could refuse is refused where it is to run.
	beijing.SetLink(t, "chain", lab.Settings{"enabled": false})
	shanghai.SetLink(t, "back", from("beijing", "config/"))
	refused(t, beijing.Nodes[0], http.MethodPut, "/v1/replicate/links/chain", `{"enabled": true}`, http.StatusConflict, `"back" of shanghai`)

	shanghai.SetLink(t, "nowhere", from("nowhere", "x/"))
	shanghai.WaitLink(t, "nowhere", "trying again", func(s link.Status) error {
		if s.State != "retrying" || !strings.Contains(s.LastError, "No path to datacenter") {
			return fmt.Errorf("it is %s (%s)", s.State, s.LastError)
		}
		return nil
	})
	var report struct {
		Datacenters []struct {
			Datacenter string
			Links      []struct{ Name, From, To, State string }
		}
	}
	lab.Until(t, "the status of the federation has the links in and out", func() error {
		a := osaka.Nodes[0].Get(t, "/v1/federation/status")
		if err := json.Unmarshal(a.Body, &report); err != nil {
			return err
		}
		seen := fmt.Sprint(report)
		for _, want := range []string{"{chain beijing osaka following}", "{fan shanghai osaka following}", "{back beijing shanghai following}", "{nowhere nowhere shanghai retrying}"} {
			if !strings.Contains(seen, want) {
				return fmt.Errorf("%s lacks %s", seen, want)
			}
		}
		return nil
	})
}

func TestALoopOfTheFilesIsRefusedWhereItRuns(t *testing.T) {
	fed := lab.New(t, lab.Servers("shanghai", 1), lab.Servers("beijing", 1))
	shanghai, beijing := fed.DC("shanghai"), fed.DC("beijing")
	beijing.Nodes[0].Flags = []string{"-hcl", `replicate { name = "there" source_datacenter = "shanghai" prefix = "config/" }`}
	fed.Launch(t)
	fed.WaitWhole(t)
	beijing.WaitLinkState(t, "there", "following")
	shanghai.Nodes[0].Stop(t)
	shanghai.Nodes[0].Flags = []string{"-hcl", `replicate { name = "back" source_datacenter = "beijing" prefix = "config/" }`}
	shanghai.Nodes[0].Start(t)
	shanghai.WaitLink(t, "back", "refused", func(s link.Status) error {
		if s.State != "refused" || !strings.Contains(s.LastError, `"there" of beijing`) {
			return fmt.Errorf("it is %s (%s)", s.State, s.LastError)
		}
		return nil
	})
}

func TestRestoresOfBothSidesAreMended(t *testing.T) {
	fed := lab.Start(t, lab.Servers("shanghai", 1), lab.Servers("beijing", 1))
	shanghai, beijing := fed.DC("shanghai"), fed.DC("beijing")
	here, there := beijing.Below("config/"), shanghai.Below("config/")
	save := func(dc *lab.DC) string {
		t.Helper()
		return string(dc.Nodes[0].Get(t, "/v1/snapshot").Body)
	}
	restore := func(dc *lab.DC, archive string) {
		t.Helper()
		a, err := dc.Nodes[0].Do(t.Context(), http.MethodPut, "/v1/snapshot", archive)
		if err == nil {
			err = a.Err()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	there.Fill(t, 100, 20)
	beijing.SetLink(t, "config", from("shanghai", "config/"))
	here.WaitEqual(t, there)
	before, source := save(beijing), save(shanghai)

	// At the destination: it goes on from where it was then.
	if _, err := shanghai.Nodes[0].API(t).KV().DeleteTree("config/03/", nil); err != nil {
		t.Fatal(err)
	}
	shanghai.Put(t, "config/03/new", "1")
	here.WaitEqual(t, there)
	restore(beijing, before)
	here.WaitEqual(t, there)
	beijing.WaitLinkState(t, "config", "following")

	// At the source: what it lost is asked for.
	restore(shanghai, source)
	beijing.WaitLinkState(t, "config", "held")
	beijing.OrderLink(t, "config", "approve")
	here.WaitEqual(t, there)
	beijing.WaitLinkState(t, "config", "following")
}

func TestLinksOfTheFilesFollowTheFiles(t *testing.T) {
	shanghai := start(t, "-dev", "-node", "s", "-datacenter", "shanghai")
	file := filepath.Join(t.TempDir(), "links.hcl")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`replicate { name = "a" source_datacenter = "shanghai" prefix = "a/" }`)
	beijing := start(t, "-dev", "-node", "b", "-datacenter", "beijing", "-config-file", file, "-retry-join-wan", shanghai.addr)
	shanghai.put(t, "a/1", "x")
	shanghai.put(t, "b/1", "x")
	has := func(want ...string) {
		t.Helper()
		lab.Until(t, fmt.Sprintf("there are the links %v", want), func() error {
			var links []link.Report
			if err := beijing.ask("/v1/replicate/links", &links); err != nil {
				return err
			}
			var got []string
			for _, l := range links {
				got = append(got, fmt.Sprintf("%s %s %v", l.Name, l.Prefix, l.FromConfig))
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				return fmt.Errorf("there are %v", got)
			}
			return nil
		})
	}
	arrives := func(key string) {
		t.Helper()
		until(t, key+" arrives", func() bool {
			status, _, err := beijing.do(http.MethodGet, "/v1/kv/"+key, "")
			return err == nil && status == http.StatusOK
		})
	}
	has("a a/ true")
	arrives("a/1")
	if status, text, err := beijing.do(http.MethodPut, "/v1/replicate/links/own", `{"source_datacenter": "shanghai", "prefix": "c/"}`); err != nil || status != http.StatusOK {
		t.Fatalf("status %d: %s (%v)", status, text, err)
	}
	for _, method := range []string{http.MethodPut, http.MethodDelete} {
		if status, text, err := beijing.do(method, "/v1/replicate/links/a", `{"rate_limit": 1}`); err != nil || status != http.StatusConflict || !strings.Contains(text, "configuration files") {
			t.Errorf("%s of a link of the files: status %d: %s (%v)", method, status, text, err)
		}
	}
	write(`replicate { name = "a" source_datacenter = "shanghai" prefix = "b/" }`)
	if err := beijing.Reload(); err != nil {
		t.Fatal(err)
	}
	has("a b/ true", "own c/ false")
	arrives("b/1")
	write(`replicate { name = "a" source_datacenter = "shanghai" }`)
	if err := beijing.Reload(); err == nil || !strings.Contains(err.Error(), "prefix is missing") {
		t.Errorf("a broken link was reloaded: %v", err)
	}
	write("")
	if err := beijing.Reload(); err != nil {
		t.Fatal(err)
	}
	has("own c/ false")
	arrives("a/1") // keys stay
}
