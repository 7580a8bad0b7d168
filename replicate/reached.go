package replicate

// Reached is the position of the source up to which everything is at the destination, by
// the count of its feed if it has one.
func (c Checkpoint) Reached() Position {
	p := c.position()
	p.Index = c.applied()
	return p
}
