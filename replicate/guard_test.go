package replicate

import (
	"errors"
	"strings"
	"testing"
)

func TestGuard(t *testing.T) {
	half := Guard{MaxFraction: 0.5}
	for _, c := range []struct {
		name  string
		guard Guard
		p     Pending
		held  string
	}{
		{"nothing to delete", half, Pending{Keys: 10, Suspect: "x", Filtered: true}, ""},
		{"all of a few", half, Pending{Deletes: 9, Keys: 9, Present: 0}, ""},
		{"half of many", half, Pending{Deletes: 50, Keys: 100, Present: 50}, ""},
		{"more than half", half, Pending{Deletes: 51, Keys: 100, Present: 49}, "51 of 100"},
		{"ten of ten", half, Pending{Deletes: 10, Keys: 10}, "10 of 10"},
		{"a higher bound", Guard{MaxFraction: 0.9}, Pending{Deletes: 90, Keys: 100}, ""},
		{"no bound", Guard{MaxFraction: 1}, Pending{Deletes: 100, Keys: 100}, ""},
		{"no mass delete at all", Guard{MaxFraction: 0}, Pending{Deletes: 10, Keys: 1000}, "10 of 1000"},
		{"one delete after a restore", half, Pending{Deletes: 1, Keys: 100, Suspect: "restored"}, "restored"},
		{"first pass from an empty source", half, Pending{Deletes: 3, Keys: 3, First: true}, "has no key"},
		{"first pass from a source with keys", half, Pending{Deletes: 3, Keys: 3, Present: 1, First: true}, ""},
		{"allowed", Guard{MaxFraction: 0.5, Allow: true}, Pending{Deletes: 100, Keys: 100, Suspect: "restored", First: true}, ""},
		{"filtered, allowed or not", Guard{Allow: true}, Pending{Deletes: 1, Keys: 100, Filtered: true}, "filtered"},
	} {
		got := c.guard.Judge(c.p)
		if (got == "") != (c.held == "") || !strings.Contains(got, c.held) {
			t.Errorf("%s: %q, want %q", c.name, got, c.held)
		}
	}
}

func TestProve(t *testing.T) {
	seen := Position{Index: 100, Datacenter: "id", Incarnation: "one"}
	plain := Position{Index: 100}
	for _, c := range []struct {
		name      string
		at, seen  Position
		leader    bool
		suspicion string
		err       error
	}{
		{"first answer", Position{Index: 5}, Position{}, true, "", nil},
		{"the same again", seen, seen, true, "", nil},
		{"newer", Position{Index: 101, Datacenter: "id", Incarnation: "one"}, seen, true, "", nil},
		{"no leader", seen, seen, false, "", errNoLeader},
		{"no index", Position{Datacenter: "id", Incarnation: "one"}, seen, true, "", errNoIndex},
		{"older, same incarnation", Position{Index: 99, Datacenter: "id", Incarnation: "one"}, seen, true, "", errOldIndex},
		{"older, another incarnation", Position{Index: 9, Datacenter: "id", Incarnation: "two"}, seen, true, "restored from a snapshot", nil},
		{"newer, another incarnation", Position{Index: 900, Datacenter: "id", Incarnation: "two"}, seen, true, "restored from a snapshot", nil},
		{"another datacenter", Position{Index: 900, Datacenter: "di", Incarnation: "one"}, seen, true, "another datacenter", nil},
		{"older, source tells nothing", Position{Index: 99}, plain, true, "fell from 100 to 99", nil},
		{"newer, source tells nothing", Position{Index: 101}, plain, true, "", nil},
	} {
		suspicion, err := prove(c.at, c.leader, c.seen)
		if !errors.Is(err, c.err) || (suspicion == "") != (c.suspicion == "") || !strings.Contains(suspicion, c.suspicion) {
			t.Errorf("%s: %q, %v", c.name, suspicion, err)
		}
	}
}

func TestRebirths(t *testing.T) {
	type key struct{ was, is uint64 }
	for _, c := range []struct {
		name string
		keys []key
		want string
	}{
		{"nothing known", []key{{0, 50}, {0, 60}}, ""},
		{"unchanged", []key{{5, 5}, {6, 6}}, ""},
		{"one of three deleted and made again", []key{{5, 5}, {6, 6}, {7, 101}}, ""},
		{"one key from a rewritten past", []key{{5, 5}, {6, 6}, {50, 7}}, "already seen"},
		{"filled anew, past the checkpoint", []key{{5, 105}, {6, 106}, {7, 7}}, "2 of 3 known keys"},
	} {
		r := rebirths{seen: 100}
		for _, k := range c.keys {
			r.observe("k", k.was, k.is)
		}
		if got := r.suspicion(); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
