// Package replicate keeps key prefixes of one datacenter in step in another.
//
// A [Link] says which prefix of which datacenter is mirrored below which prefix
// here. [New] wires links to a [Source] and a [Sink], [Replicator.Run] follows
// them until its context ends. The engine knows neither HTTP nor Raft: package
// replicatehttp is the pair that talks to any Consul-compatible agent.
//
// A link begins with a comparison: take the source's listing, compare it with what the
// destination holds, write the differences in batches, move the checkpoint. From then on
// it follows the source's change feed, page by page, so that a change costs the change;
// where the source has no feed each news is another listing and comparison. Per
// destination key the engine remembers a 16 byte fingerprint of flags and value, never
// the value itself.
//
// Promises:
//
//   - Every batch begins with a compare-and-set of the link's checkpoint, so two
//     daemons on one link cannot undo each other's work: the later one notices.
//   - The checkpoint names a position of the source only once everything up to
//     there is at the destination. A change that fits one batch lands atomically.
//   - A delete is carried out only from an answer that is proven complete, and a
//     suspicious mass delete is held until an operator allows it; sets keep flowing.
//   - After a crash at any point the next run goes on from the cursor in the checkpoint,
//     or compares again where that is not possible, and writes only what differs.
//
// The destination prefix is a mirror: keys below it that the source does not have
// are deleted, whoever wrote them, unless they are excluded or the guard holds them.
package replicate
