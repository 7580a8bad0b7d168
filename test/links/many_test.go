//go:build linux

package links

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hanse-project/hanse/replicate/link"
	"github.com/hanse-project/hanse/test/lab"
)

// five are datacenters of one server each.
func five() (options []lab.Option) {
	for _, dc := range []string{"shanghai", "beijing", "osaka", "wuhan", "xian"} {
		options = append(options, lab.Servers(dc, 1))
	}
	return options
}

const prefix = "config/"

func TestOnePrefixIsCopiedToFourDatacenters(t *testing.T) {
	fed := lab.Start(t, five()...)
	source := fed.DC("shanghai").Below(prefix)
	source.Fill(t, 200, 100)
	w := source.Write(t, 400, 200)
	copies := []*lab.DC{fed.DC("beijing"), fed.DC("osaka"), fed.DC("wuhan"), fed.DC("xian")}
	for _, dc := range copies {
		dc.Replicate(t, prefix, source.DC)
		w.WaitAcked(t, 50)
	}
	for _, dc := range copies {
		dc.WaitLinkState(t, "shanghai", "following")
	}
	w.WaitAcked(t, 200)
	w.Stop(t)
	for _, dc := range copies {
		dc.Below(prefix).WaitEqual(t, source)
	}
}

func TestChainCarriesKeysFromOneDatacenterToTheNext(t *testing.T) {
	fed := lab.Start(t, lab.Servers("shanghai", 1), lab.Servers("beijing", 1), lab.Servers("osaka", 1))
	shanghai, beijing, osaka := fed.DC("shanghai"), fed.DC("beijing"), fed.DC("osaka")
	source := shanghai.Below(prefix)
	source.Fill(t, 200, 100)
	osaka.SetLink(t, "beijing", lab.Settings{"source_datacenter": "beijing", "prefix": "from-shanghai/"})
	beijing.SetLink(t, "shanghai", lab.Settings{"source_datacenter": "shanghai", "prefix": prefix, "destination_prefix": "from-shanghai/config/"})
	w := source.Write(t, 400, 200)
	w.WaitAcked(t, 400)
	w.Stop(t)
	beijing.Below("from-shanghai/config/").WaitEqual(t, source)
	osaka.Below("from-shanghai/config/").WaitEqual(t, source)
}

func TestDatacentersComeAndGoWhileWritesGoOn(t *testing.T) {
	fed := lab.New(t, five()...)
	shanghai, beijing, osaka, wuhan, xian := fed.DC("shanghai"), fed.DC("beijing"), fed.DC("osaka"), fed.DC("wuhan"), fed.DC("xian")
	for _, dc := range []*lab.DC{shanghai, beijing, osaka, wuhan} {
		dc.Nodes[0].Start(t)
	}
	for _, dc := range []*lab.DC{beijing, osaka, wuhan} {
		dc.WaitWhole(t)
		dc.Nodes[0].WaitReaches(t, "shanghai")
		dc.Replicate(t, prefix, shanghai)
	}
	source := shanghai.Below(prefix)
	source.Fill(t, 100, 100)
	w := source.Write(t, 200, 100)

	// A link may be there before its source is, and is no trouble for others.
	osaka.SetLink(t, "xian", lab.Settings{"source_datacenter": "xian", "prefix": "xian/"})
	osaka.WaitLink(t, "xian", "waiting for its source", func(s link.Status) error {
		if s.State != "retrying" || !strings.Contains(s.LastError, "No path to datacenter") || s.NextRetry.IsZero() {
			return fmt.Errorf("it is %s, last error %q, next retry %v", s.State, s.LastError, s.NextRetry)
		}
		return nil
	})
	w.WaitAcked(t, 50)
	xian.Nodes[0].Start(t)
	xian.WaitWhole(t)
	xian.Nodes[0].WaitReaches(t, "shanghai")
	xian.Below("xian/").Fill(t, 50, 10)
	xian.Replicate(t, prefix, shanghai)
	osaka.Below("xian/").WaitEqual(t, xian.Below("xian/"))

	// One leaves for good. What was copied from there stays.
	wuhan.Below("wuhan/").Fill(t, 50, 10)
	beijing.Replicate(t, "wuhan/", wuhan)
	beijing.Below("wuhan/").WaitEqual(t, wuhan.Below("wuhan/"))
	if err := wuhan.Nodes[0].API(t).Agent().Leave(); err != nil {
		t.Fatal(err)
	}
	wuhan.Nodes[0].WaitEnd(t)
	beijing.WaitLinkState(t, "wuhan", "retrying")
	beijing.RemoveLink(t, "wuhan")
	if keys, err := beijing.Below("wuhan/").Read(); err != nil || len(keys) != 50 {
		t.Errorf("%d keys of a removed link are there, %v", len(keys), err)
	}
	w.WaitAcked(t, 50)
	w.Stop(t)
	for _, dc := range []*lab.DC{beijing, osaka, xian} {
		dc.Below(prefix).WaitEqual(t, source)
	}
}

func TestRingOfThreeDatacentersIsRefused(t *testing.T) {
	fed := lab.Start(t, lab.Servers("shanghai", 1), lab.Servers("beijing", 1), lab.Servers("osaka", 1))
	shanghai, beijing, osaka := fed.DC("shanghai"), fed.DC("beijing"), fed.DC("osaka")
	beijing.Replicate(t, prefix, shanghai)
	osaka.Replicate(t, prefix, beijing)
	ring := lab.Settings{"source_datacenter": "osaka", "prefix": prefix}
	var err error
	lab.Until(t, "a link that closes a ring is refused", func() error {
		begin := time.Now()
		var a *lab.Answer
		if a, err = shanghai.TrySetLink(t, "osaka", ring); err != nil {
			return nil
		}
		// Who does not name its links within two seconds is passed over, and asked later.
		if took := time.Since(begin); took < 2*time.Second {
			t.Fatalf("it was answered with %+v after %v", a, took)
		}
		shanghai.RemoveLink(t, "osaka")
		return fmt.Errorf("it was answered with %+v", a)
	})
	for _, want := range []string{"409", "osaka", "beijing"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the refusal does not mention %s: %v", want, err)
		}
	}
	// No ring: what is copied back does not lie below what is copied.
	shanghai.SetLink(t, "osaka", lab.Settings{"source_datacenter": "osaka", "prefix": prefix, "destination_prefix": "back/"})

	source := shanghai.Below(prefix)
	source.Fill(t, 50, 10)
	for _, place := range []lab.Prefix{beijing.Below(prefix), osaka.Below(prefix), shanghai.Below("back/")} {
		place.WaitEqual(t, source)
	}
}

// A ring that nobody could see when it was closed is found later.
func TestRingThatWasClosedDuringACutIsRefusedAfterwards(t *testing.T) {
	fed := lab.Start(t, lab.QuickGossip(), lab.Servers("shanghai", 1), lab.Servers("beijing", 1))
	shanghai, beijing := fed.DC("shanghai"), fed.DC("beijing")
	fed.Cut(t, "shanghai", "beijing")
	for _, dc := range []*lab.DC{shanghai, beijing} {
		dc.Put(t, prefix+"of", dc.Name)
	}
	beijing.Replicate(t, prefix, shanghai)
	shanghai.Replicate(t, prefix, beijing)
	fed.Heal(t, "shanghai", "beijing")
	lab.Until(t, "one of two links is refused", func() error {
		var states []string
		for _, side := range []struct {
			dc   *lab.DC
			name string
		}{{shanghai, "beijing"}, {beijing, "shanghai"}} {
			status, err := side.dc.Link(side.name)
			if err != nil {
				return err
			}
			states = append(states, status.State+" "+status.LastError)
			if status.State == "refused" {
				return nil
			}
		}
		return fmt.Errorf("they are %q", states)
	})
}

func TestLinksOverOneAnotherAreRefused(t *testing.T) {
	fed := lab.Start(t, lab.Servers("shanghai", 1), lab.Servers("beijing", 1), lab.Servers("osaka", 1))
	beijing := fed.DC("beijing")
	beijing.Replicate(t, prefix, fed.DC("shanghai"))
	for _, c := range []struct {
		name     string
		settings lab.Settings
		status   int
	}{
		{"above", lab.Settings{"source_datacenter": "osaka", "prefix": "con"}, http.StatusConflict},
		{"below", lab.Settings{"source_datacenter": "osaka", "prefix": "x/", "destination_prefix": prefix + "x/"}, http.StatusConflict},
		{"itself", lab.Settings{"source_datacenter": "beijing", "prefix": "x/", "destination_prefix": "x/y/"}, http.StatusBadRequest},
		{"all", lab.Settings{"source_datacenter": "osaka"}, http.StatusBadRequest},
		{"unheard", lab.Settings{"source_datacenter": "osaka", "prefix": "y/", "colour": "red"}, http.StatusBadRequest},
		{"more-than-all", lab.Settings{"source_datacenter": "osaka", "prefix": "y/", "max_delete_fraction": 1.5}, http.StatusBadRequest},
		{"never", lab.Settings{"source_datacenter": "osaka", "prefix": "y/", "verify_interval": "never"}, http.StatusBadRequest},
	} {
		if _, err := beijing.TrySetLink(t, c.name, c.settings); err == nil || !strings.Contains(err.Error(), fmt.Sprint("status ", c.status)) {
			t.Errorf("%s: %v, want status %d", c.name, err, c.status)
		} else {
			t.Logf("%s: %v", c.name, err)
		}
		if _, err := beijing.Link(c.name); err == nil {
			t.Errorf("%s is there", c.name)
		}
	}
}
