// Package link keeps the links that the servers of a datacenter run themselves: which
// there are and how far each has come are part of the datacenter's state, and its leader
// runs them. A new leader goes on from the checkpoint, which moves in the same log entry
// as the data.
package link
