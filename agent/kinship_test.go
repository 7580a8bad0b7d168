package agent_test

import (
	"net/http"
	"testing"
)

// Two servers that each began a datacenter by themselves have logs that agree about
// indexes and about nothing else: whoever joins them by mistake must not lose a write.
func TestServersThatBeganApartAreNotMadeOne(t *testing.T) {
	first := start(t, "-server", "-bootstrap", "-node", "first", "-data-dir", t.TempDir())
	second := start(t, "-server", "-bootstrap", "-node", "second", "-data-dir", t.TempDir())
	first.put(t, "only/first", "1")
	second.put(t, "only/second", "2")
	if status, text, err := first.do(http.MethodPut, "/v1/agent/join/"+second.addr, ""); err != nil || status != http.StatusOK {
		t.Fatalf("join: %d %s (%v)", status, text, err)
	}
	until(t, "both say why the other is not added", func() bool {
		return first.log.count("not adding Raft peer", "second") > 0 && second.log.count("not adding Raft peer", "first") > 0
	})
	for r, want := range map[*running]string{first: "only/first", second: "only/second"} {
		var keys []string
		if err := r.ask("/v1/kv/?keys", &keys); err != nil || len(keys) != 1 || keys[0] != want {
			t.Errorf("keys are %q (%v), want %s", keys, err, want)
		}
		var servers struct{ Servers []struct{ Node string } }
		if err := r.ask("/v1/operator/raft/configuration", &servers); err != nil || len(servers.Servers) != 1 {
			t.Errorf("the log has members %v (%v), want one", servers, err)
		}
	}
}
