package entry

import (
	"iter"

	memdb "github.com/hashicorp/go-memdb"

	"github.com/hanse-project/hanse/store"
)

const (
	table = "config-entries"

	opChange store.Op = 22
	record   byte     = 22
)

// row is an entry as it is found.
type row struct {
	// Key is the kind and the name.
	Key   string
	Entry *Entry
}

func newRow(e *Entry) *row { return &row{Key: key(e.Kind, e.Name), Entry: e} }

func key(kindName, name string) string { return kindName + "/" + name }

// part names all entries of a kind, for the index of their list.
func part(kindName string) string { return table + ":" + kindName }

// Module is what the server takes over from this package.
func Module() store.Module {
	return store.Module{
		Name: "config entry",
		Tables: []*memdb.TableSchema{{Name: table, Indexes: map[string]*memdb.IndexSchema{
			"id": {Name: "id", Unique: true, Indexer: &memdb.StringFieldIndex{Field: "Key"}},
		}}},
		Commands: []store.Command{store.On(opChange, applyChange)},
		Records:  []store.Record{store.Persist(record, stored, load)},
	}
}

func stored(v *store.View) iter.Seq[*ApplyRequest] {
	return func(yield func(*ApplyRequest) bool) {
		for r := range store.Rows[*row](v, table, "id") {
			if !yield(&ApplyRequest{Entry: r.Entry}) {
				return
			}
		}
	}
}

// load leaves out entries of kinds and names that are not kept here.
func load(tx *store.Tx, r *ApplyRequest) error {
	e := r.Entry
	if e.Body == nil {
		return store.ErrSkip
	}
	if tx.Import {
		e.setIndexes(e.CreateIndex, tx.Index)
		tx.Touch(table, part(e.Kind))
	}
	tx.Insert(table, newRow(e))
	return nil
}
