package agent

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/config"
)

// slowReader says when it is heard, and then reads nothing until told to.
type slowReader struct {
	heard, read chan struct{}
	last        chan struct{} // holds one when the last line was read
	text        bytes.Buffer
}

func (r *slowReader) Write(p []byte) (int, error) {
	if len(p) == 0 {
		close(r.heard)
		return 0, nil
	}
	<-r.read
	if bytes.Contains(p, []byte("the last")) {
		select {
		case r.last <- struct{}{}:
		default:
		}
	}
	return r.text.Write(p)
}

func TestSlowFollowerMissesLinesAndHoldsNobodyUp(t *testing.T) {
	var terminal bytes.Buffer
	log, _, err := NewLogger(config.Log{Level: "WARN"}, &terminal)
	if err != nil {
		t.Fatal(err)
	}
	slow := &slowReader{heard: make(chan struct{}), read: make(chan struct{}), last: make(chan struct{}, 1)}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- log.(*logger).follow(ctx, hclog.Info, false, slow) }()
	<-slow.heard
	named := log.Named("raft").With("term", 7)
	const lines = 10 * followerLines
	for i := range lines { // would never end if one of them waited
		named.Info("line", "number", i)
	}
	close(slow.read)
	for read := false; !read; { // the first of them may be left out too
		named.Info("the last")
		select {
		case <-slow.last:
			read = true
		case <-time.After(time.Millisecond):
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	text := slow.text.String()
	if !strings.Contains(text, "[INFO]  agent.raft: line: term=7 number=0\n") {
		t.Errorf("the first line is not there: %.300s", text)
	}
	if !strings.Contains(text, "[WARN]  agent: lines of the log were left out: they came faster than they were read: lines=") {
		t.Errorf("nobody says that lines are missing: %.300s", text)
	}
	if terminal.Len() > 0 {
		t.Errorf("the terminal shows what only the follower wants: %.300s", terminal.String())
	}
}

func TestLogIsWrittenForThoseWhoFollow(t *testing.T) {
	log := newLogger(lineOptions(hclog.Warn, false, io.Discard))
	named := log.Named("http").With("a", 1).ResetNamed("other")
	if log.IsDebug() || named.IsDebug() || named.IsInfo() || !named.IsWarn() {
		t.Error("a level is wanted by nobody, or one by everybody is not")
	}
	quiet, loud := &follower{}, &follower{}
	endQuiet, endLoud := log.add(quiet, hclog.Info, false), log.add(loud, hclog.Debug, true)
	if named.IsTrace() || !named.IsDebug() || !named.IsInfo() {
		t.Error("the most talkative follower does not count")
	}
	endLoud()
	if named.IsDebug() || !named.IsInfo() {
		t.Error("a follower that is gone counts")
	}
	endQuiet()
	if named.IsInfo() {
		t.Error("somebody counts, and all are gone")
	}
}

// A failing reader ends the following, and nothing else.
func TestFollowerThatFailsIsLetGo(t *testing.T) {
	log := newLogger(lineOptions(hclog.Warn, false, io.Discard))
	broken := fmt.Errorf("the connection is gone")
	err := log.follow(t.Context(), hclog.Info, false, writerFunc(func([]byte) (int, error) { return 0, broken }))
	if err != broken {
		t.Errorf("the end is %v", err)
	}
	if len(log.followers.levels) > 0 {
		t.Error("it still counts")
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
