// Package event is the user events of one datacenter: somebody fires one, and every
// agent that it is for hears of it.
//
// An event travels by gossip, so it reaches who can be reached, and nothing is kept in
// the log. A server sends it off ([Endpoint]), so that rules of access hold; each agent
// decides by the filters in it whether it is meant ([Receiver]), and remembers the last
// [Kept] of those ([History]). What /v1/event/list answers is therefore the view of one
// agent.
//
// An event is heard once: gossip repeats itself, and a call that was made again sends
// the same event again, which its ID tells.
//
// See https://developer.hashicorp.com/consul/api-docs/event.
package event
