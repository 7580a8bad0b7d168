package consensus

import (
	"time"

	"github.com/hashicorp/raft"
)

// standTries is how often a server asks itself to stand for election within half an
// election timeout, before which raft would not do so.
const standTries = 50

// standAlone has a server that is the only voter stand for election at once: there is
// nobody whose word it should wait for. It sends itself the message by which a leader
// hands over to another. If that does not arrive, raft waits for its timeout and comes
// to the same end.
func (n *Node) standAlone() {
	if others, need := n.voters(); len(others) > 0 || need > 0 {
		return // with others, or no voter
	}
	n.tasks.run(func() {
		pause := n.timeout / (2 * standTries)
		until := time.Now().Add(n.timeout / 2)
		for time.Now().Before(until) && n.raft.State() == raft.Follower {
			req := &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{
				ProtocolVersion: raft.ProtocolVersionMax,
				ID:              []byte(n.id),
				Addr:            n.trans.EncodePeer(n.id, n.trans.LocalAddr()),
			}}
			var rep raft.TimeoutNowResponse
			err := n.trans.TimeoutNow(n.id, n.trans.LocalAddr(), req, &rep)
			if err == nil {
				return
			}
			n.log.Trace("waiting to stand for election", "error", err)
			select {
			case <-time.After(pause): // the server port may not be served yet
			case <-n.ctx.Done():
				return
			}
		}
	})
}
