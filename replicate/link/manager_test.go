package link

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/replicate"
	"github.com/hanse-project/hanse/store"
)

// lead has the datacenter's links run until the test ends, or until what is returned is called.
func (dc *datacenter) lead(links ...Link) (m *Manager, end func()) {
	dc.Helper()
	m = NewManager(ManagerConfig{
		Store: dc.Store, Log: dc.log, Datacenter: dc.name, Node: dc.name + "-s1", MaxValue: 1 << 10, Caller: dc.world, Links: links,
		Event: func(context.Context, string, []byte) error { return nil }, Logger: hclog.NewNullLogger(),
	})
	ctx, cancel := context.WithCancel(dc.Context())
	var running sync.WaitGroup
	running.Go(func() { m.Run(ctx) })
	end = func() { cancel(); running.Wait() }
	dc.Cleanup(end)
	dc.endpoint.manager = m
	synctest.Wait()
	return m, end
}

// force writes a link without asking anybody whether it makes a loop.
func (dc *datacenter) force(l Link) {
	dc.Helper()
	if err := l.Complete(dc.name); err != nil {
		dc.Fatal(err)
	}
	if _, _, err := store.Propose[*Row](dc.Context(), dc.log, opSet, &setLink{Link: l, Datacenter: dc.name}); err != nil {
		dc.Fatal(err)
	}
	synctest.Wait()
}

func someLink(name, from, prefix string) Link {
	l := Defaults()
	l.Name, l.SourceDatacenter, l.Prefix = name, from, prefix
	return l
}

func (dc *datacenter) state(name string) string {
	dc.Helper()
	r, found := lookup(dc.Read(nil), name)
	if !found {
		return "gone"
	}
	return dc.endpoint.manager.status(r).State
}

func TestALinkThatFeedsItselfIsLookedAtEveryMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "shanghai", "beijing")
		shanghai, beijing := w.dcs["shanghai"], w.dcs["beijing"]
		beijing.force(someLink("there", "shanghai", "config/"))
		_, end := shanghai.lead()
		shanghai.force(someLink("back", "beijing", "config/"))
		if s := shanghai.state("back"); s != string(replicate.Refused) {
			t.Errorf("a link of a loop is %s", s)
		}
		if r, _ := lookup(shanghai.Read(nil), "back"); !strings.Contains(shanghai.endpoint.manager.status(r).LastError, `"there" of beijing`) {
			t.Error("why it is refused does not show")
		}
		beijing.order(Remove, "there")
		time.Sleep(lookAgain + time.Second)
		if s := shanghai.state("back"); s != string(replicate.Retrying) { // nobody answers questions about keys here
			t.Errorf("a link that was of a loop is %s", s)
		}
		// Of who does not answer nothing is known, so the link runs. It is asked again.
		w.silence("beijing", true)
		shanghai.order(Pause, "back")
		synctest.Wait()
		shanghai.order(Resume, "back")
		beijing.force(someLink("there", "shanghai", "config/"))
		if s := shanghai.state("back"); s != string(replicate.Retrying) {
			t.Errorf("a link of which nothing is known is %s", s)
		}
		w.silence("beijing", false)
		time.Sleep(lookAgain + 3*time.Second)
		if s := shanghai.state("back"); s != string(replicate.Refused) {
			t.Errorf("a link that turned out to be of a loop is %s", s)
		}
		end()
		if all := shanghai.endpoint.manager.statuses(); all != nil {
			t.Errorf("who does not lead tells of %+v", all)
		}
	})
}

func TestLinksOfTheFilesAreMadeEqualToThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dc := newWorld(t, "beijing").dcs["beijing"]
		shown := func(want ...string) {
			t.Helper()
			synctest.Wait()
			var got []string
			for _, r := range rows(dc.Read(nil)) {
				got = append(got, fmt.Sprintf("%s %s %v", r.Name, r.Prefix, r.FromConfig))
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("there are %v, want %v", got, want)
			}
		}
		complete := func(name, prefix string) Link {
			l := someLink(name, "shanghai", prefix)
			if err := l.Complete("beijing"); err != nil {
				t.Fatal(err)
			}
			return l
		}
		dc.force(someLink("own", "shanghai", "own/"))
		_, end := dc.lead(complete("a", "a/"), complete("b", "b/"))
		shown("a a/ true", "b b/ true", "own own/ false")
		before := dc.AppliedIndex()
		end()
		m, _ := dc.lead(complete("a", "a/"), complete("b", "b/"))
		if shown("a a/ true", "b b/ true", "own own/ false"); dc.AppliedIndex() != before {
			t.Error("a new leader with the same files wrote something")
		}
		m.Want([]Link{complete("b", "c/"), complete("own", "d/"), complete("e", "own/x/")})
		shown("b c/ true", "own own/ false") // what does not fit beside another waits for it
		before = dc.AppliedIndex()
		time.Sleep(10 * configureAgain)
		if dc.AppliedIndex() != before {
			t.Error("a link that waits for another to go is written to the log all the while")
		}
		dc.order(Remove, "own")
		shown("b c/ true", "e own/x/ true", "own d/ true")
		m.Want(nil)
		shown()
	})
}
