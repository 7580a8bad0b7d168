// Package fault tests what holds when servers are killed, frozen, cut off, slow and lied
// to. It contains tests only; package lab has the means.
//
// What clients see is recorded by a workload and judged by a linearizability checker.
// An answer that says "this did not happen" is taken at its word there, so an error
// with the wrong reason fails a test as surely as a lost write.
package fault
