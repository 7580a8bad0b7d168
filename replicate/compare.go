package replicate

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
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

	// foreign says that somebody else than the link wrote the key.
	foreign bool
}

// mirror is what the destination holds of a link, by relative key: all of it, or, where it
// can be asked for keys by name, a window of those that were asked for last.
type mirror struct {
	keys   map[string]known
	window bool
	pass   uint64
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

// look makes sure that the mirror knows the keys, in any order. Nothing may be queued for the
// destination.
func (m *mirror) look(ctx context.Context, sink Sink, s scope, rels []string) error {
	if !m.window {
		return nil
	}
	m.keys = make(map[string]known, len(rels))
	names := make([]string, 0, len(rels))
	for _, rel := range rels {
		names = append(names, s.destination(rel))
	}
	return readKeys(ctx, sink, s.link.Destination, names, func(page *EntryPage) error {
		for _, e := range page.Entries {
			if rel, ok := s.fromDestination(e.Key); ok {
				m.keys[rel] = known{print: fingerprintOf(e.Flags, e.Value), foreign: e.Foreign}
			}
		}
		return nil
	})
}

// readKeys reads keys by their names, in as many pages as it takes.
func readKeys(ctx context.Context, reader Reader, prefix string, names []string, use func(*EntryPage) error) error {
	slices.Sort(names)
	for names = slices.Compact(names); len(names) > 0; {
		page, err := reader.Entries(ctx, EntriesQuery{Prefix: prefix, Keys: names})
		if err != nil {
			return fmt.Errorf("read keys below %q: %w", prefix, err)
		}
		if err := use(page); err != nil {
			return err
		}
		if !page.More || len(page.Entries) == 0 {
			return nil
		}
		last := page.Entries[len(page.Entries)-1].Key
		names = slices.DeleteFunc(names, func(name string) bool { return name <= last })
	}
	return nil
}

// note takes over what a change made of its key. A window is asked for anew before it is
// looked at again.
func (m *mirror) note(c change) {
	switch {
	case m.window:
	case c.op.Kind == DeleteKey:
		delete(m.keys, c.rel)
	default:
		m.keys[c.rel] = c.next
	}
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
