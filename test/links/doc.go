// Package links tests replication between more than two datacenters. It contains tests
// only; package lab has the means.
//
// Whatever happens on the way, every test ends with a comparison of all keys.
package links
