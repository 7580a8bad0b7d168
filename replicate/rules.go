package replicate

// rules say what a link does with a key.
type rules struct {
	conflict      Conflict
	prune, delete bool
}

// verdict is what is to be done about one key.
type verdict uint8

const (
	keep      verdict = iota // nothing: it is as it should be
	write                    // give it the source's value
	overwrite                // so, though somebody else wrote it
	spare                    // nothing, though it differs: somebody else wrote it
	adopt                    // take over a key that somebody else gave the source's value
	remove                   // delete it, once the guard lets it
	revoke                   // so, though somebody else wrote it
	release                  // give it up instead of deleting it
	stranger                 // nothing: the source does not have it and it is not the link's
)

// present judges a key that the source has. there says whether the destination has it, too,
// and same whether with the same value and flags.
func (r rules) present(same, there bool, have known) verdict {
	switch {
	case !there:
		return write
	case same && have.foreign:
		return adopt
	case same:
		return keep
	case !have.foreign:
		return write
	case r.conflict == ReportOnly:
		return spare
	}
	return overwrite
}

// absent judges a key that the source does not have and the destination does. known says
// that the source is known to have had it.
func (r rules) absent(have known, known bool) verdict {
	switch {
	case !have.foreign && !r.delete:
		return release
	case !have.foreign:
		return remove
	case !r.delete || !r.prune && !known:
		return stranger
	case r.prune:
		return remove
	case r.conflict == ReportOnly:
		return spare
	}
	return revoke
}

// owned is by how much a verdict changes the number of the link's keys at the destination,
// once it is carried out. mine says that the key is one of them.
func (v verdict) owned(mine bool) int {
	switch v {
	case write, overwrite, adopt:
		if !mine {
			return 1
		}
	case remove, revoke, release:
		if mine {
			return -1
		}
	}
	return 0
}

// giveUp is the verdict on a key that would be deleted and is to be kept instead.
func (k known) giveUp() verdict {
	if k.foreign {
		return stranger
	}
	return release
}

// conflicts reports whether the verdict is about a key that somebody else wrote.
func (v verdict) conflicts() bool { return v == overwrite || v == spare || v == revoke }

// carry makes the change's operation that of the verdict, and reports whether there is one. Who
// reports conflicts must not write over what came after the look at the key, and nobody may
// take that over.
func (r rules) carry(v verdict, c *change) bool {
	c.op.Spare = r.conflict == ReportOnly
	switch v {
	case write, overwrite:
		c.op.Kind = SetKey
		return true
	case adopt:
		c.op.Kind, c.op.Spare = AdoptKey, true // it is adopted for what it holds
		return true
	case release:
		c.op.Kind = ReleaseKey
	case remove, revoke:
		c.op.Kind = DeleteKey
		c.op.Spare = c.op.Spare && !r.prune
	default:
		return false
	}
	c.op.Value, c.op.Flags = nil, 0
	return true
}
