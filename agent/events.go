package agent

import (
	"github.com/hashicorp/serf/serf"

	"github.com/hanse-project/hanse/event"
)

// openEvents makes the memory of user events, and returns what is told of them.
func (a *Agent) openEvents() func(serf.UserEvent) {
	a.events = event.NewHistory()
	return event.NewReceiver(event.Config{
		Node: a.cfg.NodeName, Services: a.eachService, Log: a.log,
		Exec: func(e *event.Event) { a.log.Warn("remote execution is off, and was asked for", "id", e.ID) },
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
