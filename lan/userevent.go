package lan

import (
	"fmt"

	"github.com/hashicorp/serf/serf"
)

// newLeaderEvent is sent by a server that was elected, with its node name.
const newLeaderEvent = "consul:new-leader"

// AnnounceLeader tells the datacenter that this server was elected.
func (p *Pool) AnnounceLeader() error {
	if err := p.UserEvent(newLeaderEvent, []byte(p.Local().Name), false); err != nil {
		return fmt.Errorf("announce the new leader: %w", err)
	}
	return nil
}

// NewLeader answers the node name of a newly elected server, if e tells of one.
func NewLeader(e serf.UserEvent) (node string, ok bool) {
	return string(e.Payload), e.Name == newLeaderEvent
}
