package agent

import (
	"github.com/hashicorp/serf/serf"

	"github.com/hanse-project/hanse/acltoken"
	"github.com/hanse-project/hanse/event"
	"github.com/hanse-project/hanse/rexec"
)

// openEvents makes the memory of user events, and returns what is told of them once the
// agent runs.
func (a *Agent) openEvents() func(serf.UserEvent) {
	a.events = event.NewHistory()
	return event.NewReceiver(event.Config{
		Node: a.cfg.NodeName, Services: a.eachService, Exec: a.takeJob, Log: a.log,
	}, a.events).Take
}

// eachService yields name and tags of each service of this agent.
func (a *Agent) eachService(yield func(name string, tags []string) bool) {
	for _, s := range a.local.Services() {
		if !yield(s.Service, s.Tags) {
			return
		}
	}
}

// openExec makes what runs the jobs of remote execution. There is nothing that does
// unless the configuration allows it.
func (a *Agent) openExec() {
	if a.cfg.DisableRemoteExec {
		return
	}
	a.exec = rexec.New(rexec.Config{
		Node: a.cfg.NodeName, Datacenter: a.cfg.Datacenter, Caller: a.role.Caller(),
		Token: func() string { return a.tokens.For(acltoken.Agent) }, Log: a.log,
	})
}

func (a *Agent) takeJob(e *event.Event) {
	if a.exec == nil {
		a.log.Info("remote execution was asked for, and is off: disable_remote_exec", "event", e.ID)
		return
	}
	a.exec.Take(e)
}
