package link

import (
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/hanse-project/hanse/kv"
	"github.com/hanse-project/hanse/replicate"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
	"github.com/hanse-project/hanse/store/storetest"
)

func TestLinkIsMadeChangedOrderedAndRemoved(t *testing.T) {
	dc := newWorld(t, "beijing", "shanghai").dcs["beijing"]
	made := dc.mustLink("", "Shanghai", "config/app one/", "")
	if made.Name != "shanghai-config-app-one" || made.DestinationPrefix != "config/app one/" || made.SourceDatacenter != "shanghai" {
		t.Errorf("made %+v", made)
	}
	if !made.Delete || !made.Enabled || !made.Repair || made.MaxDeleteFraction != 0.5 || made.Conflict != replicate.SourceWins || made.FromConfig {
		t.Errorf("the defaults are %+v", made.Link)
	}
	name := made.Name
	changed, err := dc.try(&OrderRequest{Verb: Set, Name: name, Fields: []string{"token", "rate_limit"}, Link: Link{Token: "secret", RateLimit: 5}})
	if err != nil {
		t.Fatal(err)
	}
	if changed.CreateIndex != made.CreateIndex || changed.ModifyIndex <= made.ModifyIndex || changed.RateLimit != 5 || !changed.HasToken || changed.Token != "" {
		t.Errorf("changed %+v", changed)
	}
	again, err := dc.try(&OrderRequest{Verb: Set, Name: name, Fields: []string{"rate_limit"}, Link: Link{RateLimit: 5}})
	if err != nil || again.ModifyIndex != changed.ModifyIndex || !again.HasToken {
		t.Errorf("set to what it is: %+v, %v", again, err)
	}
	if r := dc.order(Pause, name); !r.Paused {
		t.Errorf("paused: %+v", r)
	}
	if r := dc.order(Resume, name); r.Paused {
		t.Errorf("resumed: %+v", r)
	}
	if r := dc.order(Resync, name); r.Resync != dc.AppliedIndex() {
		t.Errorf("resync: %+v", r)
	}
	for _, verb := range []Verb{Approve, Reject, Verify} {
		if _, err := dc.try(&OrderRequest{Verb: verb, Name: name}); reasonOf(t, err) != rpc.ReasonConflict {
			t.Errorf("%s where nothing is held and nothing runs: %v", verb, err)
		}
	}
	if _, err := dc.try(&OrderRequest{Verb: "dance", Name: name}); reasonOf(t, err) != rpc.ReasonInvalid {
		t.Errorf("an unknown order: %v", err)
	}
	dc.order(Remove, name)
	for _, verb := range []Verb{Remove, Pause, Resync, Verify} {
		if _, err := dc.try(&OrderRequest{Verb: verb, Name: name}); reasonOf(t, err) != rpc.ReasonNotFound {
			t.Errorf("%s of a link that is gone: %v", verb, err)
		}
	}
}

func TestChangesOfOneLinkAtOnceAreAllKept(t *testing.T) {
	dc := newWorld(t, "beijing").dcs["beijing"]
	set := func(l Link, fields ...string) {
		if _, err := dc.try(&OrderRequest{Verb: Set, Name: "web", Link: l, Fields: fields}); err != nil {
			t.Error(err)
		}
	}
	set(Link{SourceDatacenter: "shanghai", Prefix: "a/"}, "source_datacenter", "prefix")
	var all sync.WaitGroup
	all.Go(func() { set(Link{RateLimit: 7}, "rate_limit") })
	all.Go(func() { set(Link{Token: "secret"}, "token") })
	all.Go(func() { set(Link{Prune: true}, "prune") })
	all.Go(func() { set(Link{Exclude: []string{"a/x/"}}, "exclude") })
	all.Wait()
	if r, _ := lookup(dc.Read(nil), "web"); r.RateLimit != 7 || r.Token != "secret" || !r.Prune || len(r.Exclude) != 1 {
		t.Errorf("some change was lost: %+v", r.Link)
	}
}

func TestWrongLinksAreRefusedWithTheReason(t *testing.T) {
	dc := newWorld(t, "beijing").dcs["beijing"]
	dc.mustLink("first", "shanghai", "config/", "copy/")
	all := []string{"source_datacenter", "prefix", "destination_prefix", "exclude", "max_delete_fraction", "rate_limit", "verify_interval", "conflict"}
	right := Link{SourceDatacenter: "shanghai", Prefix: "app/", Conflict: replicate.SourceWins}
	for want, c := range map[string]struct {
		change func(l *Link)
		reason rpc.Reason
	}{
		"is no name":                     {func(l *Link) { l.Name = "a b" }, rpc.ReasonInvalid},
		"not a name of a datacenter":     {func(l *Link) { l.SourceDatacenter = "sh.ang" }, rpc.ReasonInvalid},
		"source_datacenter is missing":   {func(l *Link) { l.SourceDatacenter = "" }, rpc.ReasonInvalid},
		"begin with a slash":             {func(l *Link) { l.Prefix = "/app" }, rpc.ReasonInvalid},
		"not valid UTF-8":                {func(l *Link) { l.Prefix = "\xff" }, rpc.ReasonInvalid},
		"empty prefix":                   {func(l *Link) { l.Exclude = []string{""} }, rpc.ReasonInvalid},
		"outside the prefix":             {func(l *Link) { l.Exclude = []string{"x/"} }, rpc.ReasonInvalid},
		"leaves out all":                 {func(l *Link) { l.Exclude = []string{"app"} }, rpc.ReasonInvalid},
		"number from 0 to 1":             {func(l *Link) { l.MaxDeleteFraction = 1.5 }, rpc.ReasonInvalid},
		"rate_limit is -1":               {func(l *Link) { l.RateLimit = -1 }, rpc.ReasonInvalid},
		"verify_interval is -1s":         {func(l *Link) { l.VerifyInterval = -1e9 }, rpc.ReasonInvalid},
		"use at least 1s":                {func(l *Link) { l.VerifyInterval = 1 }, rpc.ReasonInvalid},
		`"source-wins" or "report"`:      {func(l *Link) { l.Conflict = "mine" }, rpc.ReasonInvalid},
		"loop inside beijing":            {func(l *Link) { l.SourceDatacenter, l.DestinationPrefix = "beijing", "app/2/" }, rpc.ReasonInvalid},
		"inside the status path":         {func(l *Link) { l.Prefix = "service/consul-replicate/statuses/" }, rpc.ReasonInvalid},
		"both write below \"copy/app/\"": {func(l *Link) { l.DestinationPrefix = "copy/app/" }, rpc.ReasonConflict},
		"\"cop\" also covers \"copy/\"":  {func(l *Link) { l.DestinationPrefix = "cop" }, rpc.ReasonConflict},
		"both write below \"copy/\"":     {func(l *Link) { l.Prefix = "" }, rpc.ReasonConflict},
	} {
		l := right
		c.change(&l)
		name := "second"
		if l.Name != "" {
			name, want = l.Name, "use letters"
		}
		_, err := dc.try(&OrderRequest{Verb: Set, Name: name, Fields: all, Link: l})
		if reasonOf(t, err) != c.reason || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v (%s), want %q", l, err, rpc.ReasonOf(err), want)
		}
	}
	if n := len(rows(dc.Read(nil))); n != 1 {
		t.Errorf("%d links are there", n)
	}
}

func TestBatchLandsAsAWholeOrNotAtAll(t *testing.T) {
	dc := newWorld(t, "beijing").dcs["beijing"]
	l := dc.mustLink("l", "shanghai", "config/", "").CreateIndex
	set := func(key string) kv.MirrorOp { return kv.MirrorOp{Kind: kv.MirrorSet, Key: key, Value: []byte("v")} }
	at, err := dc.mirror(l, 0, set("config/1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, expect := range []uint64{0, at - 1, at + 1} {
		if _, err := dc.mirror(l, expect, set("config/2")); !errors.Is(err, replicate.ErrMoved) {
			t.Errorf("a batch behind %d instead of %d: %v", expect, at, err)
		}
	}
	if _, err := dc.mirror(l+1, 0, set("config/2")); !errors.Is(err, replicate.ErrMoved) {
		t.Errorf("a batch of no link: %v", err)
	}
	if _, found := kv.Lookup(dc.Read(nil), "config/2"); found {
		t.Error("a refused batch has written")
	}
	if e, _ := kv.Lookup(dc.Read(nil), "config/1"); e.Origin != l {
		t.Errorf("the link %d wrote %+v", l, e)
	}
	// One that leads elsewhere is another link, and so is one made anew.
	moved := dc.mustLink("l", "osaka", "config/", "")
	if moved.CreateIndex == l {
		t.Error("a link that leads elsewhere goes on as the same")
	}
	if _, err := dc.mirror(l, at, set("config/2")); !errors.Is(err, replicate.ErrMoved) {
		t.Errorf("a batch of the link as it was: %v", err)
	}
	if at, err = dc.mirror(moved.CreateIndex, 0, kv.MirrorOp{Kind: kv.MirrorAdopt, Key: "config/1"}); err != nil {
		t.Fatal(err)
	}
	dc.order(Remove, "l")
	if _, err := dc.mirror(moved.CreateIndex, at, set("config/2")); !errors.Is(err, replicate.ErrMoved) {
		t.Errorf("a batch of a link that was removed: %v", err)
	}
	if checkpointOf(dc.Read(nil), moved.CreateIndex) != nil {
		t.Error("a removed link left its checkpoint behind")
	}
}

func TestSnapshotsKeepLinks(t *testing.T) {
	dc := newWorld(t, "beijing").dcs["beijing"]
	made := dc.mustLink("l", "shanghai", "config/", "copy/", "config/private/")
	if _, err := dc.try(&OrderRequest{Verb: Set, Name: "l", Fields: []string{"token"}, Link: Link{Token: "secret"}}); err != nil {
		t.Fatal(err)
	}
	dc.order(Pause, "l")
	dc.order(Resync, "l")
	at, err := dc.mirror(made.CreateIndex, 0, kv.MirrorOp{Kind: kv.MirrorSet, Key: "copy/1"})
	if err != nil {
		t.Fatal(err)
	}
	want, _ := lookup(dc.Read(nil), "l")
	fresh, _ := storetest.New(t, modules()...)
	if err := fresh.Restore(storetest.Snapshot(t, dc.Store)); err != nil {
		t.Fatal(err)
	}
	got, _ := lookup(fresh.Read(nil), "l")
	c := checkpointOf(fresh.Read(nil), made.CreateIndex)
	if got == nil || !got.same(&want.Link) || got.Token != "secret" || !got.Paused || got.Resync != want.Resync || got.ModifyIndex != want.ModifyIndex {
		t.Errorf("restored %+v, was %+v", got, want)
	}
	if c == nil || c.ModifyIndex != at || string(c.Value) != "{}" {
		t.Errorf("the checkpoint is %+v", c)
	}

	// From outside: the links stay those that wrote the keys, and whoever runs one notices.
	const index = 1000
	imported, err := dc.Import(storetest.Snapshot(t, dc.Store), index, store.Identity{ID: "id", Incarnation: "new"})
	if err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(imported.Write(w)) }()
	if err := dc.Restore(r); err != nil {
		t.Fatal(err)
	}
	got, _ = lookup(dc.Read(nil), "l")
	if got.CreateIndex != made.CreateIndex || got.ModifyIndex != index {
		t.Errorf("imported %+v", got)
	}
	if e, _ := kv.Lookup(dc.Read(nil), "copy/1"); e.Origin != made.CreateIndex {
		t.Errorf("the key's origin is %d after an import", e.Origin)
	}
	dc.log.SkipTo(index)
	if _, err := dc.mirror(made.CreateIndex, at); !errors.Is(err, replicate.ErrMoved) {
		t.Errorf("a batch from before the import: %v", err)
	}
}

func TestLoopsAreRefusedAlsoAcrossDatacenters(t *testing.T) {
	for name, c := range map[string]struct {
		links [][4]string // at, from, prefix, to
		try   [4]string
		loop  bool
	}{
		"there and back": {
			[][4]string{{"beijing", "shanghai", "config/", "config/"}}, [4]string{"shanghai", "beijing", "config/", "config/"}, true},
		"there and back elsewhere": {
			[][4]string{{"beijing", "shanghai", "config/", "copy/"}}, [4]string{"shanghai", "beijing", "copy/", "other/"}, false},
		"there and back by another name": {
			[][4]string{{"beijing", "shanghai", "a/", "b/"}}, [4]string{"shanghai", "beijing", "b/", "a/c/"}, true},
		"around three": {
			[][4]string{{"beijing", "shanghai", "a/", "b/"}, {"osaka", "beijing", "b/", "c/"}}, [4]string{"shanghai", "osaka", "c/", "a/"}, true},
		"around three, of another part": {
			[][4]string{{"beijing", "shanghai", "a/1/", "b/1/"}, {"osaka", "beijing", "b/", "c/"}}, [4]string{"shanghai", "osaka", "c/2/", "a/1/"}, false},
		"a chain": {
			[][4]string{{"beijing", "shanghai", "a/", "a/"}}, [4]string{"osaka", "beijing", "a/", "a/"}, false},
		"fan-out": {
			[][4]string{{"beijing", "shanghai", "a/", "a/"}}, [4]string{"osaka", "shanghai", "a/", "a/"}, false},
		"everything, and a part back": {
			[][4]string{{"beijing", "shanghai", "", "all/"}}, [4]string{"shanghai", "beijing", "all/x/", "y/"}, false},
		"everything, and all of it back": {
			[][4]string{{"beijing", "shanghai", "", "all/"}}, [4]string{"shanghai", "beijing", "all/", "y/"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "shanghai", "beijing", "osaka")
			for _, l := range c.links {
				w.dcs[l[0]].mustLink("", l[1], l[2], l[3])
			}
			_, err := w.dcs[c.try[0]].link("last", c.try[1], c.try[2], c.try[3])
			if !c.loop {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if reasonOf(t, err) != rpc.ReasonConflict || !strings.Contains(err.Error(), "fed with what it writes") {
				t.Error(err)
			}
		})
	}
}

func TestWhatIsExcludedOrDisabledMakesNoLoop(t *testing.T) {
	w := newWorld(t, "shanghai", "beijing")
	beijing, shanghai := w.dcs["beijing"], w.dcs["shanghai"]
	back := func() error {
		_, err := shanghai.link("back", "beijing", "config/", "config/")
		if err == nil {
			shanghai.order(Remove, "back")
		}
		return err
	}
	beijing.mustLink("there", "shanghai", "", "", "config/")
	if err := back(); err != nil {
		t.Errorf("the part is excluded there: %v", err)
	}
	beijing.mustLink("there", "shanghai", "", "")
	if err := back(); err == nil {
		t.Error("nothing is excluded, and there is no loop")
	}
	if _, err := beijing.try(&OrderRequest{Verb: Set, Name: "there", Fields: []string{"enabled"}}); err != nil {
		t.Fatal(err)
	}
	if err := back(); err != nil {
		t.Errorf("the other is disabled: %v", err)
	}
	shanghai.mustLink("back", "beijing", "config/", "config/")
	if _, err := beijing.try(&OrderRequest{Verb: Set, Name: "there", Fields: []string{"enabled"}, Link: Link{Enabled: true}}); err == nil {
		t.Error("a link is enabled into a loop")
	}
	w.silence("shanghai", true) // nobody can tell, and nothing will come from there either
	if _, err := beijing.try(&OrderRequest{Verb: Set, Name: "there", Fields: []string{"enabled"}, Link: Link{Enabled: true}}); err != nil {
		t.Errorf("the other does not answer: %v", err)
	}
}
