// Package entry is the config entries of one datacenter: settings of services, of their
// proxies and of gateways that are kept centrally.
//
// An entry is known by its kind and its name. It is kept and returned as it was written:
// this package knows the fields of every kind and refuses others, and does not know what
// they mean. Its content has the types of consul/api, which every client shares.
//
// On the wire and in snapshots an entry hides in a string that holds MessagePack values,
// the kind first, as it says what follows; see wire.go.
//
// See https://developer.hashicorp.com/consul/docs/reference/config-entry.
package entry
