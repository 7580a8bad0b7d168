package consensus

import (
	"sync"

	"github.com/hashicorp/raft"
)

// AppendEntriesPipeline implements [raft.Transport], with pipelines that cannot get stuck.
//
// When a follower refuses entries, raft stops reading the answers of its pipeline while
// it may be sending one more request on it. Its pipeline takes no request while an answer
// waits to be read, so that the two wait for each other for good: the follower gets no
// entries any more from this leader, and the leader cannot be shut down.
func (t *networkTransport) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	p, err := t.NetworkTransport.AppendEntriesPipeline(id, target)
	if err != nil {
		return nil, err
	}
	read := &readPipeline{AppendPipeline: p, answers: make(chan raft.AppendFuture), closed: make(chan struct{})}
	go read.run()
	return read, nil
}

// readPipeline reads the answers of a pipeline, and keeps them for whoever asks. raft
// closes every pipeline that it opens.
type readPipeline struct {
	raft.AppendPipeline
	answers chan raft.AppendFuture
	closed  chan struct{}
	once    sync.Once
}

// Consumer implements [raft.AppendPipeline].
func (p *readPipeline) Consumer() <-chan raft.AppendFuture { return p.answers }

// Close implements [raft.AppendPipeline].
func (p *readPipeline) Close() error {
	p.once.Do(func() { close(p.closed) })
	return p.AppendPipeline.Close()
}

func (p *readPipeline) run() {
	var kept []raft.AppendFuture
	for {
		var next raft.AppendFuture
		var answers chan raft.AppendFuture // nil while there is nothing to hand over
		if len(kept) > 0 {
			next, answers = kept[0], p.answers
		}
		select {
		case answer := <-p.AppendPipeline.Consumer():
			kept = append(kept, answer)
		case answers <- next:
			kept = kept[1:]
		case <-p.closed:
			return
		}
	}
}
