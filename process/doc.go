// Package process runs commands so that nothing of them is left behind.
//
// A command gets a process group of its own. When its time is over the whole group is
// killed, so that what a script started goes with it. Only a descendant that leaves the
// group outlives that, and then nobody waits for it.
package process
