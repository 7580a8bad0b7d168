// Package replicate keeps key prefixes of one datacenter in step in another.
//
// A [Link] says which prefix of which datacenter is mirrored below which prefix
// here. [New] wires links to a [Source] and a [Sink], [Replicator.Run] follows
// them until its context ends. The engine knows neither HTTP nor Raft: package
// replicatehttp is the pair that talks to any Consul-compatible agent.
//
// A link begins with a comparison. Where both sides can be read in pages these are merged in
// the order of the keys, so that it takes no memory for the keys that there are, and is
// gone on with in the middle; otherwise the source's listing is compared with what the
// destination holds. Differences are written in batches, each together with the
// checkpoint. From then on the link follows the source's change feed, page by page, so that
// a change costs the change; where the source has no feed each news is another listing and
// comparison. Of a destination without pages the engine remembers a 16 byte fingerprint of
// flags and value per key, never the value itself.
//
// A link that is read in pages is verified in the background, and takes orders: to compare
// everything again, and to carry out or give up the deletes that are held.
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
// Where the sink does not tell who wrote a key the destination prefix is a mirror: keys below
// it that the source does not have are deleted, whoever wrote them, unless they are excluded
// or the guard holds them. Otherwise keys of others are left alone when the source does not
// have them, unless the link prunes; when it has them that is a conflict.
package replicate
