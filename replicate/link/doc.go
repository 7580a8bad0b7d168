// Package link keeps the links that the servers of a datacenter run themselves: which
// there are and how far each has come are part of the datacenter's state, and its leader
// runs them. A new leader goes on from the checkpoint, which moves in the same log entry
// as the data.
//
// [Endpoint] answers questions about links and takes orders, [Manager] is the duty of the
// leader: it runs an engine of package replicate for each link whose source asks another
// datacenter's servers and whose sink proposes commands to the log here.
//
// A link is known by its CreateIndex, and so is who wrote a key. Pointed elsewhere it gets a
// new one, and what it wrote before is nobody's. A restore of a snapshot brings links, keys
// and checkpoints of one moment, so the CreateIndex stays, and the link goes on from where
// it was then.
//
// A link must not be fed with what it writes itself. Links are kept where they lead to, so
// this is found out by going upstream: the datacenter that a link reads from knows which
// links write there, and from where. Whoever does not answer cannot be asked, so it is
// looked at when a link is set and again whenever it begins to run.
package link
