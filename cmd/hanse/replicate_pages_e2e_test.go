package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/test/lab"
)

// peakMemory is the most that the process has had in memory, in bytes.
func (p *process) peakMemory(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text), "kB")))
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}

// TestReplicateNeedsNoMemoryForKeys: what the daemon takes for many keys is what it takes for
// few, whether it copies, compares or follows them.
func TestReplicateNeedsNoMemoryForKeys(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	net := freeNet(t)
	// The race detector would take memory and time of its own.
	built := starter(func(t *testing.T, args ...string) *process {
		cmd := exec.Command(lab.Binary(t), args...)
		cmd.Env = append(os.Environ(), "GOGC=25") // a collector that is late on a busy machine leaves little more
		return begin(t, cmd)
	})
	source, sink := built.dc(t, "shanghai", net+".1"), built.dc(t, "beijing", net+".2")
	sink.joins(t, source)
	const few, many = 2000, 200_000
	source.fill(t, "few/", few)
	source.fill(t, "many/", many)
	peak := func(prefix, copied string) int {
		p := sink.replicate(t, "-prefix", prefix+"@shanghai")
		if got := sink.metric(t, fmt.Sprintf("applied_total{link=%q}", prefix+"@shanghai")); got != copied {
			t.Errorf("%s: %s keys were set, want %s", prefix, got, copied)
		}
		source.put(t, prefix+"new", "x", 0)
		await(t, "the change arrives", func() bool {
			pair, _, err := sink.client.KV().Get(prefix+"new", nil)
			return err == nil && pair != nil
		})
		most := p.peakMemory(t)
		p.signal(t, syscall.SIGTERM)
		p.exit(t)
		return most
	}
	little, copying := peak("few/", fmt.Sprint(few)), peak("many/", "200000")
	for _, prefix := range []string{"few/", "many/"} { // as if the links were new
		if _, err := source.client.KV().Delete(prefix+"new", nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := sink.client.KV().DeleteTree("service/consul-replicate/", nil); err != nil {
		t.Fatal(err)
	}
	comparing := peak("many/", "0")
	t.Logf("%d MB for few keys, %d MB to copy many, %d MB to compare them", little>>20, copying>>20, comparing>>20)
	// A fingerprint per key, as it takes without pages, would be 30 MB, and twice as much with garbage.
	if most := max(copying, comparing); most > little+24<<20 {
		t.Errorf("%d MB for %d keys, %d MB for %d", most>>20, many, little>>20, few)
	}
}

// TestReplicateFindsAndRepairsDrift: somebody changes what was copied, and nothing else happens.
func TestReplicateFindsAndRepairsDrift(t *testing.T) {
	source, sink := twoDCs(t)
	source.fill(t, "config/", 5000)
	p := sink.replicate(t, "-prefix", feedLink, "-verify-interval", "1s")
	drift := api.KVTxnOps{
		{Verb: api.KVSet, Key: "config/00007", Value: []byte("by hand")},
		{Verb: api.KVSet, Key: "config/00008", Value: []byte("value 8"), Flags: 9},
		{Verb: api.KVSet, Key: "config/nobody's", Value: []byte("by hand")},
		{Verb: api.KVDelete, Key: "config/00009"},
	}
	spoil := func() {
		t.Helper()
		if ok, answer, _, err := sink.client.KV().Txn(drift, nil); err != nil || !ok {
			t.Fatal(err, answer)
		}
	}
	spoil()
	await(t, "the drift is repaired", func() bool { return maps.Equal(source.contents(t, "config/"), sink.contents(t, "config/")) })
	link := fmt.Sprintf("{link=%q}", feedLink)
	await(t, "nothing differs any more", func() bool { return sink.metric(t, "divergent_keys"+link) == "0" })
	p.signal(t, syscall.SIGTERM)
	p.exit(t)

	sink.replicate(t, "-prefix", feedLink, "-verify-interval", "1s", "-repair=false")
	spoil()
	await(t, "the drift is counted", func() bool { return sink.metric(t, "divergent_keys"+link) == "4" })
	if got := sink.contents(t, "config/"); got["00007"] != "0:by hand" || got["00009"] != "" {
		t.Error("it was repaired, which was not wanted")
	}
	if exit, out := sink.replicateOnce(t, "-prefix", feedLink); exit != 0 {
		t.Errorf("exit %d\n%s", exit, out)
	}
	await(t, "the active daemon finds that nothing differs", func() bool { return sink.metric(t, "divergent_keys"+link) == "0" })
}
