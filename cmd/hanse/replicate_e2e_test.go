package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/replicate"
)

// asHanse makes the test binary behave as hanse itself.
const asHanse = "HANSE_TEST_AS_COMMAND"

// TestAsCommand is no test: it is how the processes of the tests below begin.
func TestAsCommand(t *testing.T) {
	if os.Getenv(asHanse) == "" {
		t.Skip("runs only as a process of other tests")
	}
	_, args, _ := strings.Cut(strings.Join(os.Args, "\x00"), "\x00--\x00")
	os.Exit(run(context.Background(), strings.Split(args, "\x00"), stdio{os.Stdin, os.Stdout, os.Stderr}))
}

// process is a running hanse.
type process struct {
	cmd    *exec.Cmd
	out    *syncBuffer
	waited func() error
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// start runs hanse with the arguments, and kills it when the test ends.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0], append([]string{"-test.run=^TestAsCommand$", "--"}, args...)...)
	cmd.Env = append(os.Environ(), asHanse+"=1")
	return begin(t, cmd)
}

// begin starts a process, and kills it when the test ends.
func begin(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, out: &syncBuffer{}}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.waited = sync.OnceValue(p.cmd.Wait)
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		p.waited()
		if t.Failed() {
			t.Logf("%s:\n%s", strings.Join(cmd.Args, " "), p.out)
		}
	})
	return p
}

func (p *process) signal(t *testing.T, sig os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// patience is how long a test waits for anything. It bounds a failure and judges nothing.
const patience = 3 * time.Minute

// exit waits for the end and returns the exit code.
func (p *process) exit(t *testing.T) int {
	t.Helper()
	timer := time.AfterFunc(patience, func() { p.cmd.Process.Kill() })
	defer timer.Stop()
	p.waited()
	return p.cmd.ProcessState.ExitCode()
}

// await polls until the condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// dc is a datacenter of one server.
type dc struct {
	name, addr string
	process    *process
	client     *api.Client
	start      starter // of its agent and its daemons

	metricsPort int // of its daemon, 0 for 9107
}

// starter runs hanse, as start does.
type starter func(t *testing.T, args ...string) *process

func startDC(t *testing.T, name, ip string, more ...string) *dc {
	t.Helper()
	return starter(start).dc(t, name, ip, more...)
}

// dc starts a datacenter of one server.
func (start starter) dc(t *testing.T, name, ip string, more ...string) *dc {
	t.Helper()
	d := &dc{name: name, addr: ip + ":8500", start: start}
	d.process = start(t, append([]string{"agent", "-dev", "-datacenter", name, "-node", name + "-1", "-bind", ip, "-client", ip, "-log-level", "warn"}, more...)...)
	var err error
	if d.client, err = api.NewClient(&api.Config{Address: d.addr}); err != nil {
		t.Fatal(err)
	}
	await(t, name+" has a leader", func() bool {
		leader, err := d.client.Status().Leader()
		return err == nil && leader != ""
	})
	return d
}

// twoDCs starts shanghai and beijing and waits until they see each other.
func twoDCs(t *testing.T) (source, sink *dc) {
	t.Helper()
	net := freeNet(t)
	source, sink = startDC(t, "shanghai", net+".1"), startDC(t, "beijing", net+".2")
	sink.joins(t, source)
	return source, sink
}

// joins waits until d reads the other datacenter.
func (d *dc) joins(t *testing.T, other *dc) {
	t.Helper()
	await(t, d.name+" joins "+other.name, func() bool {
		return d.client.Agent().Join(strings.TrimSuffix(other.addr, ":8500"), true) == nil
	})
	await(t, d.name+" reads "+other.name, func() bool {
		_, _, err := d.client.KV().Get("x", &api.QueryOptions{Datacenter: other.name})
		return err == nil
	})
}

// freeNet returns the first three bytes of addresses that only this test uses, and
// skips the test where starting agents takes too long.
func freeNet(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts agents")
	}
	clearEnvironment(t)
	nets++
	return fmt.Sprintf("127.%d.%d", 64+os.Getpid()%150, (os.Getpid()/150+nets)%250)
}

var nets int

func (d *dc) put(t *testing.T, key, value string, flags uint64) {
	t.Helper()
	if _, err := d.client.KV().Put(&api.KVPair{Key: key, Value: []byte(value), Flags: flags}, nil); err != nil {
		t.Fatal(err)
	}
}

// fill puts n keys by transactions.
func (d *dc) fill(t *testing.T, prefix string, n int) {
	t.Helper()
	if err := d.tryFill(prefix, n); err != nil {
		t.Fatal(err)
	}
}

// tryFill is fill where an error is no surprise. It may be repeated.
func (d *dc) tryFill(prefix string, n int) error {
	for i := 0; i < n; {
		var ops api.KVTxnOps
		for ; i < n && len(ops) < 128; i++ {
			ops = append(ops, &api.KVTxnOp{Verb: api.KVSet, Key: fmt.Sprintf("%s%05d", prefix, i), Value: fmt.Appendf(nil, "value %d", i)})
		}
		if ok, answer, _, err := d.client.KV().Txn(ops, nil); err != nil || !ok {
			return fmt.Errorf("%w, %+v", err, answer)
		}
	}
	return nil
}

// contents are the keys below prefix, without it.
func (d *dc) contents(t *testing.T, prefix string) map[string]string {
	t.Helper()
	all, err := d.tryContents(prefix)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// tryContents is contents where an error is no surprise.
func (d *dc) tryContents(prefix string) (map[string]string, error) {
	pairs, _, err := d.client.KV().List(prefix, &api.QueryOptions{RequireConsistent: true})
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, p := range pairs {
		all[strings.TrimPrefix(p.Key, prefix)] = fmt.Sprintf("%d:%s", p.Flags, p.Value)
	}
	return all, nil
}

// replicateOnce runs the command to its end.
func (d *dc) replicateOnce(t *testing.T, args ...string) (exit int, output string) {
	t.Helper()
	p := start(t, append([]string{"replicate", "-http-addr", d.addr, "-once"}, args...)...)
	exit = p.exit(t)
	return exit, p.out.String()
}

// replicate starts the daemon, with metrics, and waits until it is in step.
func (d *dc) replicate(t *testing.T, args ...string) *process {
	t.Helper()
	p := d.start(t, append([]string{"replicate", "-http-addr", d.addr, "-metrics-addr", d.metrics()}, args...)...)
	await(t, "the daemon is in step", func() bool { return strings.Contains(p.out.String(), "in step") })
	return p
}

func (d *dc) metrics() string {
	return fmt.Sprintf("%s:%d", strings.TrimSuffix(d.addr, ":8500"), cmp.Or(d.metricsPort, 9107))
}

// metric reads one series of the daemon, "" when it is absent.
func (d *dc) metric(t *testing.T, series string) string {
	t.Helper()
	resp, err := http.Get("http://" + d.metrics() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "hanse_replicate_"+series+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func TestReplicateCopiesEveryByte(t *testing.T) {
	source, sink := twoDCs(t)
	source.put(t, "config/binary", "\x00\x01\xfe\xff", 1<<64-1)
	source.put(t, "config/empty", "", 7)
	source.put(t, "config/big", strings.Repeat("x", 512<<10), 1<<63)
	for _, odd := range []string{"a b/ü", "q?a=b&c#d", "%41", "<html>", "quote\"'\\", "folder/", "a//b", "a/../b", "a/./b"} {
		source.put(t, "config/"+odd, odd, 0)
	}
	odd := api.KVTxnOps{{Verb: api.KVSet, Key: "config/line\nbreak", Value: []byte("no URL can name it")}}
	if ok, answer, _, err := source.client.KV().Txn(odd, nil); err != nil || !ok {
		t.Fatal(err, answer)
	}
	source.put(t, "config/private/x", "source's own", 0)
	source.put(t, "elsewhere", "no", 0)
	source.fill(t, "config/many/", 300)
	sink.put(t, "copy/extra", "goes", 0)
	sink.put(t, "copy/private/x", "sink's own", 0)
	sink.put(t, "elsewhere", "stays", 0)

	args := []string{"-prefix", "config/@shanghai:copy/", "-exclude", "config/private/"}
	if exit, out := sink.replicateOnce(t, append(args, "-dry-run")...); exit != 0 || !strings.Contains(out, "would delete copy/extra\n") || !strings.Contains(out, "would set copy/empty (0 bytes)\n") {
		t.Errorf("dry run: exit %d\n%s", exit, out)
	}
	if got := sink.contents(t, "copy/"); len(got) != 2 {
		t.Fatalf("a dry run wrote: %d keys", len(got))
	}
	if exit, out := sink.replicateOnce(t, args...); exit != 0 {
		t.Fatalf("exit %d\n%s", exit, out)
	}
	want, got := source.contents(t, "config/"), sink.contents(t, "copy/")
	if got["private/x"] != "0:sink's own" {
		t.Errorf("an excluded key is %q", got["private/x"])
	}
	delete(want, "private/x")
	delete(got, "private/x")
	if !maps.Equal(want, got) {
		t.Errorf("destination holds %d keys, source %d", len(got), len(want))
		for k, v := range want {
			if got[k] != v {
				t.Errorf("key %q differs", k)
			}
		}
	}
	if all := sink.contents(t, ""); all["elsewhere"] != "0:stays" {
		t.Errorf("a key outside the link is %q", all["elsewhere"])
	}

	before, meta, err := sink.client.KV().List("", nil)
	if err != nil {
		t.Fatal(err)
	}
	if exit, out := sink.replicateOnce(t, args...); exit != 0 {
		t.Fatalf("again: exit %d\n%s", exit, out)
	}
	after, again, err := sink.client.KV().List("", nil)
	if err != nil || again.LastIndex != meta.LastIndex || len(after) != len(before) {
		t.Errorf("a second run wrote: index %d, was %d (%v)", again.LastIndex, meta.LastIndex, err)
	}
}

func TestReplicateNeverTouchesCheckpoints(t *testing.T) {
	source, sink := twoDCs(t)
	own := replicate.DefaultStatusPath + "/mine"
	source.put(t, "a", "1", 0)
	source.put(t, replicate.DefaultStatusPath+"/theirs", "source's", 0)
	sink.put(t, own, "sink's", 0)
	if exit, out := sink.replicateOnce(t, "-prefix", "@shanghai"); exit != 0 {
		t.Fatalf("exit %d\n%s", exit, out)
	}
	all := sink.contents(t, "")
	if all["a"] != "0:1" || all[own] != "0:sink's" || all[replicate.DefaultStatusPath+"/theirs"] != "" || len(all) != 3 {
		t.Errorf("destination holds %v", all)
	}
}

func TestReplicateFollowsAndStops(t *testing.T) {
	source, sink := twoDCs(t)
	source.fill(t, "config/", 20)
	pidFile := t.TempDir() + "/pid"
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		p := sink.replicate(t, "-prefix", "config/@shanghai", "-pid-file", pidFile)
		if pid, err := os.ReadFile(pidFile); err != nil || string(pid) != fmt.Sprintln(p.cmd.Process.Pid) {
			t.Errorf("PID file holds %q, %v", pid, err)
		}
		value := "after " + sig.String()
		source.put(t, "config/new", value, 3)
		if _, err := source.client.KV().Delete("config/00003", nil); err != nil {
			t.Fatal(err)
		}
		await(t, "the changes arrive", func() bool {
			got := sink.contents(t, "config/")
			return got["new"] == "3:"+value && got["00003"] == ""
		})
		link := `{link="config/@shanghai"}`
		await(t, "the daemon says so", func() bool {
			return sink.metric(t, "lag_seconds"+link) == "0" && sink.metric(t, `state{link="config/@shanghai",state="following"}`) == "1" &&
				sink.metric(t, "source_index"+link) == sink.metric(t, "applied_index"+link)
		})
		p.signal(t, sig)
		if exit := p.exit(t); exit != 0 {
			t.Errorf("%v: exit %d", sig, exit)
		}
		if _, err := os.Stat(pidFile); err == nil {
			t.Error("the PID file is left")
		}
	}
}

// behindTurnstile is an address of the agent where it takes so many transactions. Those
// that come after them wait for ever, so that no daemon is done before it is killed, however
// late that is.
func (d *dc) behindTurnstile(t *testing.T, transactions int64) (addr string) {
	t.Helper()
	agent := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: d.addr})
	agent.ErrorLog = log.New(io.Discard, "", 0) // a daemon that is killed breaks off its requests
	var came atomic.Int64
	turnstile := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/txn" && came.Add(1) > transactions {
			_, _ = io.Copy(io.Discard, r.Body) // the end of the connection is seen only behind it
			<-r.Context().Done()
			return
		}
		agent.ServeHTTP(w, r)
	}))
	t.Cleanup(turnstile.Close)
	return strings.TrimPrefix(turnstile.URL, "http://")
}

func TestReplicateKilledAtAnyMomentGoesOn(t *testing.T) {
	source, sink := twoDCs(t)
	const keys = 8000
	source.fill(t, "config/", keys)
	args := []string{"-prefix", "config/@shanghai", "-lock=false"} // nobody waits until a lock runs out
	kills := 0
	for n := 0; n < keys; kills++ {
		p := start(t, append([]string{"replicate", "-http-addr", sink.behindTurnstile(t, 20)}, args...)...)
		was := n
		await(t, "some more keys arrive", func() bool {
			names, _, err := sink.client.KV().Keys("config/", "", nil)
			if err != nil {
				t.Fatal(err)
			}
			n = len(names)
			return n > was
		})
		p.signal(t, syscall.SIGKILL)
		p.exit(t)
	}
	if kills < 2 {
		t.Errorf("one run copied all %d keys before it was killed", keys)
	}
	if exit, out := sink.replicateOnce(t, args...); exit != 0 {
		t.Fatalf("exit %d\n%s", exit, out)
	}
	if !maps.Equal(source.contents(t, "config/"), sink.contents(t, "config/")) {
		t.Error("source and destination differ")
	}
	link, err := replicate.ParseLink(args[1])
	if err != nil {
		t.Fatal(err)
	}
	record, _, err := sink.client.KV().Get(replicate.CheckpointKey(replicate.DefaultStatusPath, link), nil)
	if err != nil || record == nil {
		t.Fatal(record, err)
	}
	if c, err := replicate.DecodeCheckpoint(record.Value, link); err != nil || c.Applied != keys || c.Deleted != 0 {
		t.Errorf("%d keys were written for %d (%v)", c.Applied, keys, err)
	}
}

func TestReplicateHoldsAMassDelete(t *testing.T) {
	source, sink := twoDCs(t)
	source.fill(t, "config/", 50)
	sink.replicate(t, "-prefix", "config/@shanghai")
	if _, err := source.client.KV().DeleteTree("config/0", nil); err != nil {
		t.Fatal(err)
	}
	source.put(t, "config/sets", "keep flowing", 0)
	await(t, "deletes are held and sets are not", func() bool {
		return sink.metric(t, `held_deletes{link="config/@shanghai"}`) == "50" && len(sink.contents(t, "config/")) == 51
	})
	exit, out := sink.replicateOnce(t, "-prefix", "config/@shanghai")
	if exit != 1 || !strings.Contains(out, "deletes held") || !strings.Contains(out, "-allow-mass-delete") {
		t.Errorf("exit %d\n%s", exit, out)
	}
	if got := len(sink.contents(t, "config/")); got != 51 {
		t.Errorf("%d keys are left, want 51", got)
	}
	if exit, out := sink.replicateOnce(t, "-prefix", "config/@shanghai", "-allow-mass-delete"); exit != 0 {
		t.Errorf("exit %d\n%s", exit, out)
	}
	if got := sink.contents(t, "config/"); len(got) != 1 {
		t.Errorf("%d keys are left, want 1", len(got))
	}
	source.put(t, "config/more", "x", 0)
	await(t, "the daemon that ran all the while goes on", func() bool {
		return sink.metric(t, `held_deletes{link="config/@shanghai"}`) == "0" && len(sink.contents(t, "config/")) == 2
	})
}

func TestReplicateHoldsDeletesOfARestoredSource(t *testing.T) {
	source, sink := twoDCs(t)
	source.fill(t, "config/", 30)
	snapshot, _, err := source.client.Snapshot().Save(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer snapshot.Close()
	archive, err := io.ReadAll(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	source.put(t, "config/late", "after the snapshot", 0)
	sink.replicate(t, "-prefix", "config/@shanghai")
	if err := source.client.Snapshot().Restore(nil, bytes.NewReader(archive)); err != nil {
		t.Fatal(err)
	}
	source.put(t, "config/00001", "after the restore", 0)
	await(t, "the one delete is held, the set is not", func() bool {
		got := sink.contents(t, "config/")
		return sink.metric(t, `held_deletes{link="config/@shanghai"}`) == "1" && got["00001"] == "0:after the restore" && got["late"] != ""
	})
}

func TestReplicateOutlastsAFrozenSource(t *testing.T) {
	source, sink := twoDCs(t)
	source.fill(t, "config/", 5)
	sink.replicate(t, "-prefix", "config/@shanghai", "-consul-retry-max-backoff", "1s")
	source.process.signal(t, syscall.SIGSTOP)
	await(t, "the daemon notices", func() bool {
		return sink.metric(t, `state{link="config/@shanghai",state="retrying"}`) == "1"
	})
	await(t, "the lag grows", func() bool { return sink.metric(t, `lag_seconds{link="config/@shanghai"}`) != "0" })
	source.process.signal(t, syscall.SIGCONT)
	source.put(t, "config/new", "x", 0)
	await(t, "it goes on", func() bool { return len(sink.contents(t, "config/")) == 6 })
}

func TestReplicateWaitsForItsAgent(t *testing.T) {
	ip := freeNet(t) + ".1"
	p := start(t, "replicate", "-http-addr", ip+":8500", "-prefix", "config/@shanghai", "-consul-retry-max-backoff", "500ms")
	await(t, "it says what it waits for", func() bool {
		return strings.Contains(p.out.String(), "waiting for the agent: address=http://"+ip+":8500")
	})
	startDC(t, "beijing", ip)
	await(t, "it goes on", func() bool { return strings.Contains(p.out.String(), "found the agent") })
	p.signal(t, syscall.SIGTERM)
	if exit := p.exit(t); exit != 0 {
		t.Errorf("exit %d", exit)
	}
}

func TestReplicateRefusesALoopOnceItKnowsItsDatacenter(t *testing.T) {
	_, sink := twoDCs(t)
	exit, out := sink.replicateOnce(t, "-prefix", "config/@beijing")
	if exit != 1 || !strings.Contains(out, "loop inside beijing") {
		t.Errorf("exit %d\n%s", exit, out)
	}
}

func TestReplicateSaysWhichDatacenterIsUnknown(t *testing.T) {
	_, sink := twoDCs(t)
	exit, out := sink.replicateOnce(t, "-prefix", "config/@atlantis", "-consul-retry-attempts", "1")
	if exit != 1 || !strings.Contains(out, "atlantis") || !strings.Contains(out, "No path to datacenter") {
		t.Errorf("exit %d\n%s", exit, out)
	}
}
