// Package txn carries out several operations on keys, nodes, services and checks as
// one: all of them happen at one log index, or none does.
//
// A transaction that fails is no failed call: the reply says which operations failed
// and why, each by its place in the request. All operations are tried, so that one
// reply names all that is wrong; what is tried after a failure sees what the
// operations before it did, and all of it is undone.
package txn
