// Package agent is one running agent.
//
// [New] takes a validated configuration and puts the parts of its role together: the
// data directory, the gossip pools, the server or the way to one, and the HTTP face.
// [Agent.Run] runs them until it is told to stop, and then ends them in reverse
// order, each by name and within its time.
package agent
