//go:build linux

package programs

import "testing"

// CI runs this before all other tests, since a build takes minutes beside them.
func TestProgramsOfOthersAreBuilt(t *testing.T) {
	for _, s := range []Source{ConsulTemplate, ConsulExporter, Prometheus} {
		t.Run(s.Module, func(t *testing.T) { t.Log(Built(t, s)) })
	}
}
