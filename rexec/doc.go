// Package rexec carries out the jobs of remote execution at an agent.
//
// Whoever wants something run makes a session, writes a [Job] under a key that the session
// locks, and fires an event with an [Order] that names both. An agent that is meant takes
// the job, says so under a key of its own, writes what the job prints in pieces beside it,
// and at last the exit code:
//
//	_rexec/SESSION/job              the job
//	_rexec/SESSION/NODE/ack         the node has taken it
//	_rexec/SESSION/NODE/out/00000   output, in pieces; an empty one says "still at it"
//	_rexec/SESSION/NODE/exit        the exit code, in decimal digits
//
// All of them are locked by the session and vanish with it. So an agent notices with its
// next piece that nobody waits any more, and kills the job with all that it started.
//
// Output passes through the log of the servers, so it is collected before it is sent, and
// only the first [MaxOutput] of it are. It is off unless disable_remote_exec is false:
// without access rules, who may write keys and fire events runs commands with it.
//
// See https://developer.hashicorp.com/consul/commands/exec.
package rexec
