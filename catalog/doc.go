// Package catalog knows which nodes a datacenter has, which services run on them, and
// how healthy they are.
//
// A node is its name. Its ID, if it has one, belongs to one name at a time: a node
// that registers a known ID under a new name is renamed, unless the new name is held
// by another ID. A service is its ID on a node, and a check its ID on a node; a check
// with a service counts for that service, one without counts for all on the node.
//
// Registering what is already there changes no index. Every list has an index that
// never falls: each table, node, service and status notes when it last changed, and one
// that is gone is answered with the index of its table, so that no watcher sleeps
// through the end of what it watched.
//
// Mesh fields (Proxy, Connect, …) are kept and given back as they came; nothing here
// acts on them but the question which instances accept mesh connections.
package catalog
