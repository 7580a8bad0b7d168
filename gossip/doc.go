// Package gossip is what the LAN pool and the WAN pool have in common: one serf
// instance with its keyring and snapshot, who is let in, what members say of
// themselves in their tags, and joining with a reason when it fails.
//
// Joining is verified. memberlist tells a joiner nothing when the other side
// refuses it: the exchange succeeds and the refusal is a line in the other log.
// So [Pool.Join] applies the rules to the members it is shown, refuses first and
// with the reason, and then asks once more whether it is really listed.
//
// Members of the network choose what they send. Tags are decoded with limits, and
// a member whose tags cannot be read is refused, not guessed at.
package gossip
