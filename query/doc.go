// Package query is the prepared queries of one datacenter: questions about a service
// that are stored under a name, and answered from another datacenter when this one has
// no healthy instance.
//
// A query asks here first. If that finds nothing, the datacenters of its failover are
// asked one after the other, and the first that has an instance answers. A datacenter
// that cannot be reached is passed over; the answer says how many were tried.
//
// A template is a query for all names that begin with its own: the longest such name is
// taken, and a query that has exactly the name goes before all templates.
//
// See https://developer.hashicorp.com/consul/api-docs/query.
package query
