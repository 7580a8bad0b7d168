package checks

import (
	"strings"
	"testing"
)

func TestThresholds(t *testing.T) {
	letters := map[byte]string{'p': Passing, 'w': Warning, 'c': Critical}
	for _, c := range []struct {
		name string
		def  Definition
		from string
		ends string // how the check ended, turn by turn
		want string // what it counted as after each
	}{
		{"without thresholds every result counts", Definition{}, Critical, "pwcpc", "pwcpc"},
		{"success counts after three in a row", Definition{SuccessBeforePassing: 3}, Critical, "ppcpppp", "cccccpp"},
		{"a warning is a success", Definition{SuccessBeforePassing: 2}, Critical, "wpwp", "cpwp"},
		{"failure counts after three in a row", Definition{FailuresBeforeCritical: 3}, Passing, "ccpcccc", "pppppcc"},
		{"a warning comes before", Definition{FailuresBeforeWarning: 1, FailuresBeforeCritical: 3}, Passing, "cccpcc", "wwcpww"},
		{"a failure makes nothing better", Definition{FailuresBeforeWarning: 1, FailuresBeforeCritical: 3}, Critical, "cc", "cc"},
		{"both ways", Definition{SuccessBeforePassing: 2, FailuresBeforeCritical: 2}, Critical, "ppcpccpp", "cppppccp"},
		{"a warning breaks a row of failures", Definition{FailuresBeforeCritical: 2}, Passing, "cwccc", "pwwcc"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var counts tally
			status := c.from
			var got strings.Builder
			for i := range c.ends {
				if next, ok := counts.settle(&c.def, status, letters[c.ends[i]]); ok {
					status = next
				}
				got.WriteByte(status[0])
			}
			if got.String() != c.want {
				t.Errorf("%s from %s counts as %s, want %s", c.ends, c.from, got.String(), c.want)
			}
		})
	}
}

func TestAliasIsTheWorstOfWhatItStandsFor(t *testing.T) {
	pass, warn, fail := Aliased{"a", Passing, "fine"}, Aliased{"b", Warning, "slow"}, Aliased{"c", Critical, "down"}
	for _, c := range []struct {
		all            []Aliased
		status, output string
	}{
		{nil, Passing, "No checks found."},
		{[]Aliased{pass, pass}, Passing, "All checks passing."},
		{[]Aliased{pass, warn}, Warning, `Aliased check "b" warning: slow`},
		{[]Aliased{fail, warn, pass}, Critical, `Aliased check "c" failing: down`},
		{[]Aliased{warn, fail}, Critical, `Aliased check "c" failing: down`},
		{[]Aliased{fail, {"d", Critical, "too"}}, Critical, `Aliased check "c" failing: down`},
		{[]Aliased{{"m", "maintenance", "by hand"}}, Critical, `Aliased check "m" failing: by hand`},
	} {
		if status, output := judge(c.all, nil); status != c.status || output != c.output {
			t.Errorf("%v: %s %q, want %s %q", c.all, status, output, c.status, c.output)
		}
	}
}
