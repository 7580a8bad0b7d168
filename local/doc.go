// Package local is what one agent answers for itself: its services and their checks.
//
// A definition comes from a file or over HTTP. It is decoded and checked as a whole
// before anything happens, and then registered as a whole: the agent's own list, the
// runners of its checks and, for HTTP, a file in the data directory that outlives a
// restart. Definitions of files are not kept there; a reload applies what differs.
//
// The agent owns what is registered here, and the catalog only has a copy. [State.Run]
// keeps that copy right: a change is pushed at once, what fails is repeated, and the
// agent waits for changes of its own node in the catalog, so that one made behind its
// back is undone within seconds. Every minute or so, less often in a large cluster, it
// compares all even if nothing was heard. Two things are never touched, because servers
// own them: the check of gossip, and the service "consul".
//
// Rows are replaced, never changed: those that were handed out are shared.
package local
