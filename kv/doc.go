// Package kv is the key/value table of one datacenter.
//
// A write takes one path: [Endpoint] checks it, the log orders it, a function in
// commands.go applies it at that log index. Reads run on a snapshot beside it.
//
// A deleted key leaves a tombstone until the next reap. Without it the index of its
// prefix could fall, and a reader blocked there would sleep through the delete. A
// reap raises a floor instead, for lists only: the index of one key is always its
// own ModifyIndex, because clients compare the two.
//
// Whoever copies keys elsewhere has three questions of his own: [Changes] says what
// changed, [EntriesPage] what there is, in parts, and [Digests] sums it up, to be
// compared. A replication link writes through [Mirror], and an entry knows the link that
// wrote it last: that is neither seen by clients nor does it move an index.
//
// Keys are bytes, valid UTF-8 or not; "" is no key but is a prefix.
package kv
