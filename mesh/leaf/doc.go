// Package leaf keeps the certificates of the services of one agent.
//
// A certificate is asked for when somebody wants it, once for all who do. It is renewed
// some time before it expires, and when the datacenter signs with another root, as long
// as somebody asks for it. Certificate and key are kept in memory, apart for each token:
// the servers decide who may have one.
package leaf
