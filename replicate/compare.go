package replicate

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// fingerprint stands for a key's flags and value.
type fingerprint [16]byte

func fingerprintOf(flags uint64, value []byte) fingerprint {
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint64(nil, flags))
	h.Write(value)
	return fingerprint(h.Sum(nil)[:16])
}

// known is what is remembered of one key at the destination.
type known struct {
	print fingerprint

	// create is the key's create index at the source, 0 until seen there.
	create uint64

	// pass is the last comparison that met the key at the source.
	pass uint64
}

// mirror is what the destination holds of a link, by relative key.
type mirror struct {
	keys map[string]known
	pass uint64
}

// readMirror lists the destination.
func readMirror(ctx context.Context, sink Sink, s scope) (*mirror, error) {
	listing, err := sink.List(ctx, s.link.Destination)
	if err != nil {
		return nil, err
	}
	defer listing.Close()
	m := &mirror{keys: map[string]known{}}
	for e, err := range listing.Entries {
		if err != nil {
			return nil, err
		}
		if rel, ok := s.fromDestination(e.Key); ok {
			m.keys[rel] = known{print: fingerprintOf(e.Flags, e.Value)}
		}
	}
	return m, nil
}

// meet notes that the source has the entry, and reports whether the destination's
// differs and what will be known of it once it was written.
func (m *mirror) meet(rel string, e Entry, births *rebirths) (next known, differs bool) {
	next = known{print: fingerprintOf(e.Flags, e.Value), create: e.CreateIndex, pass: m.pass}
	have, ok := m.keys[rel]
	if !ok {
		return next, true
	}
	births.observe(rel, have.create, e.CreateIndex)
	m.keys[rel] = known{print: have.print, create: e.CreateIndex, pass: m.pass}
	return next, have.print != next.print
}

// unmet returns, in order, the keys that the comparison did not meet.
func (m *mirror) unmet() []string {
	var rels []string
	for rel, k := range m.keys {
		if k.pass != m.pass {
			rels = append(rels, rel)
		}
	}
	slices.Sort(rels)
	return rels
}
