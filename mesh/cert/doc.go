// Package cert makes and reads the certificates of a mesh: roots, the certificates of
// services ("leaves"), and the SPIFFE IDs in them. It keeps nothing and asks nobody.
//
// A leaf names its service in a URI, and in nothing else:
//
//	spiffe://TRUST-DOMAIN/ns/default/dc/DATACENTER/svc/SERVICE
//
// The trust domain is a UUID of the datacenter with ".consul" behind it. A root carries it
// as a URI too.
package cert
