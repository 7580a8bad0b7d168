package main

import (
	"fmt"
	"maps"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/consul/api"
)

// daemon is one of several on the same agent.
type daemon struct {
	*process
	at *dc // its metrics are asked for there
}

// twoDCsOfShortSessions are those whose destination lets a session be short, as -lock-ttl asks.
func twoDCsOfShortSessions(t *testing.T) (source, sink *dc) {
	t.Helper()
	net := freeNet(t)
	source, sink = startDC(t, "shanghai", net+".1"), startDC(t, "beijing", net+".2", "-hcl", `session_ttl_min = "1s"`)
	sink.joins(t, source)
	return source, sink
}

// shortLock is for daemons whose locks have to run out. The others keep theirs over any pause.
const shortLock = "-lock-ttl=3s"

// daemon starts one without waiting for anything.
func (d *dc) daemon(t *testing.T, port int, args ...string) daemon {
	t.Helper()
	at := *d
	at.metricsPort = port
	return daemon{start(t, append([]string{"replicate", "-http-addr", d.addr, "-metrics-addr", at.metrics()}, args...)...), &at}
}

// awaitState waits until the daemon's metrics show the link in a state.
func (d daemon) awaitState(t *testing.T, link, state string) {
	t.Helper()
	await(t, link+" is "+state, func() bool {
		return strings.Contains(d.out.String(), "metrics are served") && d.at.metric(t, fmt.Sprintf(`state{link=%q,state=%q}`, link, state)) == "1"
	})
}

// holders are the names of the sessions that daemons have.
func (d *dc) holders(t *testing.T) string {
	t.Helper()
	sessions, _, err := d.client.Session().List(&api.QueryOptions{RequireConsistent: true})
	if err != nil {
		t.Fatal(err)
	}
	names := ""
	for _, s := range sessions {
		names += s.Name + "\n"
	}
	return names
}

func (p *process) name() string { return fmt.Sprintf("/%d\n", p.cmd.Process.Pid) }

func TestReplicateTakesOver(t *testing.T) {
	source, sink := twoDCsOfShortSessions(t)
	source.fill(t, "config/", 50)
	arrives := func(value string) {
		t.Helper()
		source.put(t, "config/new", value, 0)
		await(t, value, func() bool { return maps.Equal(source.contents(t, "config/"), sink.contents(t, "config/")) })
	}
	first := sink.daemon(t, 9107, "-prefix", feedLink, shortLock)
	first.awaitState(t, feedLink, "following")
	second := sink.daemon(t, 9108, "-prefix", feedLink)
	second.awaitState(t, feedLink, "standby")
	link := fmt.Sprintf("{link=%q}", feedLink)
	await(t, "the second says who is active", func() bool {
		return strings.Contains(second.out.String(), fmt.Sprintf("/%d", first.cmd.Process.Pid))
	})
	if second.at.metric(t, "lag_seconds"+link) != "" || first.at.metric(t, "lag_seconds"+link) == "" {
		t.Error("the second knows the lag, or the first does not")
	}
	arrives("while both run")

	first.signal(t, syscall.SIGKILL)
	first.exit(t)
	arrives("after the first was killed")
	second.awaitState(t, feedLink, "following")

	third := sink.daemon(t, 9107, "-prefix", feedLink)
	third.awaitState(t, feedLink, "standby")
	second.signal(t, syscall.SIGTERM)
	if exit := second.exit(t); exit != 0 {
		t.Errorf("exit %d", exit)
	}
	if left := sink.holders(t); strings.Contains(left, second.name()) || !strings.Contains(left, third.name()) {
		t.Errorf("sessions are left: %s", left)
	}
	arrives("after the second was stopped")
	third.awaitState(t, feedLink, "following")

	if _, err := source.client.KV().DeleteTree("config/0", nil); err != nil {
		t.Fatal(err)
	}
	third.awaitState(t, feedLink, "held")
	if exit, out := sink.replicateOnce(t, "-prefix", feedLink, "-allow-mass-delete"); exit != 0 {
		t.Errorf("a run beside the active daemon: exit %d\n%s", exit, out)
	}
	third.awaitState(t, feedLink, "following")
	arrives("after an operator decided")
}

// TestReplicateThatWasFrozenWritesNoMore: the daemon does not know that its session is gone.
func TestReplicateThatWasFrozenWritesNoMore(t *testing.T) {
	source, sink := twoDCsOfShortSessions(t)
	source.fill(t, "config/", 20)
	first := sink.daemon(t, 9107, "-prefix", feedLink, shortLock)
	first.awaitState(t, feedLink, "following")
	first.signal(t, syscall.SIGSTOP)
	second := sink.daemon(t, 9108, "-prefix", feedLink)
	source.put(t, "config/new", "while it is frozen", 0)
	await(t, "the change arrives", func() bool { return sink.contents(t, "config/")["new"] != "" })
	wrote := sink.checkpoint(t).Writer
	first.signal(t, syscall.SIGCONT)
	first.awaitState(t, feedLink, "standby")
	if now := sink.checkpoint(t).Writer; now != wrote || !strings.HasSuffix(wrote, strings.TrimSpace(second.name())) {
		t.Errorf("%s wrote, then %s", wrote, now)
	}
	await(t, "it says what happened", func() bool { return strings.Contains(first.out.String(), "the lock of the link was lost") })
}

// TestReplicateOutlastsItsSession: somebody ends it, and nobody else is there.
func TestReplicateOutlastsItsSession(t *testing.T) {
	source, sink := twoDCsOfShortSessions(t)
	source.fill(t, "config/", 20)
	p := sink.daemon(t, 9107, "-prefix", feedLink)
	p.awaitState(t, feedLink, "following")
	sessions, _, err := sink.client.Session().List(nil)
	if err != nil || len(sessions) != 1 {
		t.Fatal(sessions, err)
	}
	if _, err := sink.client.Session().Destroy(sessions[0].ID, nil); err != nil {
		t.Fatal(err)
	}
	source.put(t, "config/new", "x", 0)
	await(t, "the change arrives", func() bool { return sink.contents(t, "config/")["new"] != "" })
	p.awaitState(t, feedLink, "following")
}

func TestReplicateLocksLinkByLink(t *testing.T) {
	source, sink := twoDCsOfShortSessions(t)
	for _, prefix := range []string{"a/", "b/", "c/"} {
		source.put(t, prefix+"x", "1", 0)
	}
	first := sink.daemon(t, 9107, "-prefix", "a/@shanghai", "-prefix", "b/@shanghai")
	first.awaitState(t, "b/@shanghai", "following")
	second := sink.daemon(t, 9108, "-prefix", "b/@shanghai", "-prefix", "c/@shanghai")
	second.awaitState(t, "c/@shanghai", "following")
	second.awaitState(t, "b/@shanghai", "standby")
	third := sink.daemon(t, 9109, "-prefix", "c/@shanghai", "-lock=false")
	source.put(t, "c/x", "2", 0)
	third.awaitState(t, "c/@shanghai", "following")
}
