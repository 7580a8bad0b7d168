package store

import (
	"errors"
	"iter"

	memdb "github.com/hashicorp/go-memdb"
)

const (
	tableIndex    = "index"
	tableIdentity = "identity"

	// nameForgotten is the name under which a transaction notes that it forgot another.
	nameForgotten = "forgotten"

	recordIndex    = 16
	recordIdentity = 100

	// OpIdentity gives the datacenter its identity, if it has none yet.
	OpIdentity Op = 100
)

// indexRow notes when something last changed.
type indexRow struct {
	Key   string
	Value uint64
}

// Identity says which datacenter this is, and which history its indexes belong to.
// Both are UUIDs.
type Identity struct {
	// ID is made when the datacenter is bootstrapped, and stays.
	ID string
	// Incarnation is made then too, and anew by every restore of a snapshot.
	Incarnation string
}

// systemModule owns what is of no domain: when things last changed, and the identity.
func systemModule() Module {
	byKey := func(table, field string) *memdb.TableSchema {
		return &memdb.TableSchema{Name: table, Indexes: map[string]*memdb.IndexSchema{
			"id": {Name: "id", Unique: true, Indexer: &memdb.StringFieldIndex{Field: field}},
		}}
	}
	return Module{
		Name:     "system",
		Tables:   []*memdb.TableSchema{byKey(tableIndex, "Key"), byKey(tableIdentity, "ID")},
		Commands: []Command{On(OpIdentity, applyIdentity)},
		Records: []Record{
			Persist(recordIdentity, allOf[Identity](tableIdentity), func(tx *Tx, row *Identity) error {
				if row.ID == "" {
					return errors.New("the datacenter's identity is empty")
				}
				if _, found := tx.Identity(); found {
					return errors.New("the datacenter has two identities")
				}
				tx.Insert(tableIdentity, row)
				return nil
			}),
			Persist(recordIndex, allOf[indexRow](tableIndex), func(tx *Tx, row *indexRow) error {
				if row.Key == "" {
					return errors.New("an index has no name")
				}
				if !tx.Import {
					tx.Insert(tableIndex, row)
				}
				return nil
			}),
		},
	}
}

func allOf[T any](table string) func(v *View) iter.Seq[*T] {
	return func(v *View) iter.Seq[*T] { return Rows[*T](v, table, "id") }
}

func applyIdentity(tx *Tx, cmd *Identity) (bool, error) {
	if cmd.ID == "" {
		return false, errors.New("the datacenter's identity is empty")
	}
	if _, found := tx.Identity(); found {
		return false, nil
	}
	tx.Insert(tableIdentity, cmd)
	return true, nil
}

// WatchIdentity is [View.Identity], and watches it.
func (v *View) WatchIdentity() (Identity, bool) {
	for row := range Rows[*Identity](v, tableIdentity, "id") {
		return *row, true
	}
	return Identity{}, false
}

// Identity returns the datacenter's identity, if it was given one yet.
func (v *View) Identity() (Identity, bool) {
	raw, err := v.txn.First(tableIdentity, "id")
	if err != nil {
		panic("store: identity: " + err.Error())
	}
	if raw == nil {
		return Identity{}, false
	}
	return *raw.(*Identity), true
}
