package forwarder

import (
	"time"

	"github.com/hanse-project/hanse/rpc"
)

const (
	// patience is how long a call to another datacenter waits for servers that give no
	// sign of life at all: callers there are promised an answer within 2 seconds.
	patience = 1900 * time.Millisecond
	// listLimit is how long a list may take.
	listLimit = time.Minute
)

// class is the label of a call's duration.
type class uint8

const (
	classPoint class = iota
	classList
	classBlocking
	classes
)

// String is the label.
func (c class) String() string { return [...]string{"point", "list", "blocking"}[c] }

func classOf(m *rpc.Info, req rpc.Request) class {
	switch {
	case blocks(m, req):
		return classBlocking
	case m.Class == rpc.List:
		return classList
	}
	return classPoint
}

func blocks(m *rpc.Info, req rpc.Request) bool {
	q := req.Envelope().Query
	return m.Blocking && q != nil && q.MinQueryIndex > 0
}

// waitOf is the longest that a blocking query may wait at its server.
func waitOf(req rpc.Request) time.Duration {
	wait := req.Envelope().Query.Wait()
	return wait + wait/rpc.JitterFraction
}

// remoteDeadline bounds a call to a live server of another datacenter. An election
// there may take the hold time; the way there and back is measured.
func remoteDeadline(m *rpc.Info, req rpc.Request, hold, rtt time.Duration) time.Duration {
	slack := min(max(10*rtt, time.Second), 3*time.Second)
	switch classOf(m, req) {
	case classBlocking:
		return waitOf(req) + hold + slack
	case classList:
		return listLimit + slack
	}
	return hold + slack
}

// localDeadline bounds a call to a live server of this datacenter, which may have to
// ask another datacenter in turn.
func localDeadline(m *rpc.Info, req rpc.Request, hold time.Duration) time.Duration {
	const slack = 5 * time.Second
	if blocks(m, req) {
		return waitOf(req) + hold + slack
	}
	return listLimit + hold + slack
}
