// Package calls makes the requests of existing clients, as each of them writes them, to a
// client agent of a federation: one table per client, with what the client looks at in the
// answer. Programs that can be run as they are stand in package clients.
package calls
