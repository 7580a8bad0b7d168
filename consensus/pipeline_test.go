package consensus

import (
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// raft stops reading when a follower refuses, and may yet send.
func TestPipelineWhoseAnswersNobodyReadsTakesRequests(t *testing.T) {
	open := func() *networkTransport {
		trans, err := raft.NewTCPTransport("127.0.0.1:0", nil, 1, 10*time.Second, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { trans.Close() })
		return &networkTransport{NetworkTransport: trans}
	}
	leader, follower := open(), open()
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	go func() {
		for {
			select {
			case call := <-follower.Consumer():
				call.Respond(&raft.AppendEntriesResponse{}, nil)
			case <-stop:
				return
			}
		}
	}()
	p, err := leader.AppendEntriesPipeline("follower", follower.LocalAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	const requests = 20
	sent := make(chan error)
	go func() {
		for range requests {
			if _, err := p.AppendEntries(new(raft.AppendEntriesRequest), new(raft.AppendEntriesResponse)); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	select {
	case err := <-sent:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the pipeline takes no more requests while its answers are not read")
	}
	for i := range requests {
		select {
		case <-p.Consumer():
		case <-time.After(10 * time.Second):
			t.Fatalf("answer %d of %d did not come", i+1, requests)
		}
	}
}
