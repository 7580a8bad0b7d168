// Package checks runs health checks.
//
// A [Definition] says how one check is made. A [Runner] makes all checks of an agent, each
// in its own time, and says through one function how they ended. It knows nothing of
// services, nodes or the catalog: who owns a check knows that.
//
// A check that waits for its turn costs an entry in a queue and nothing else: no
// goroutine, no timer, no connection. First turns are spread at random over the interval,
// and later ones keep that rhythm whatever happens, so that a machine that was frozen does
// not run all of its checks in one beat from then on. Every turn has a goroutine of its
// own, so a check that hangs holds up nobody. There is a bound all the same on how many
// wait for the network and how many processes there are; who comes later waits in a line
// and is late, but not wrong.
//
// What a check says of itself follows Consul where that is known: clients and people match
// the words. See https://developer.hashicorp.com/consul/docs/services/usage/checks.
package checks
