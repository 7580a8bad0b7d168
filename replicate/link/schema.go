package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	memdb "github.com/hashicorp/go-memdb"

	"github.com/hanse-project/hanse/store"
)

const (
	tableLinks       = "replication-links"
	tableCheckpoints = "replication-checkpoints"

	opSet    store.Op = 104
	opRemove store.Op = 105
	opOrder  store.Op = 106
	opMirror store.Op = 107

	recordLink       = 102
	recordCheckpoint = 103
)

// checkpoint is how far a link has come, as the engine writes it down.
type checkpoint struct {
	// Link is the CreateIndex of the link.
	Link  uint64
	Value []byte
	// ModifyIndex is what the next batch has to name.
	ModifyIndex uint64
}

// Module is what the server takes over from this package. A command of it writes keys: its
// place is behind the module of kv.
func Module() store.Module {
	return store.Module{
		Name: "replication",
		Tables: []*memdb.TableSchema{
			{Name: tableLinks, Indexes: map[string]*memdb.IndexSchema{
				"id": {Name: "id", Unique: true, Indexer: &memdb.StringFieldIndex{Field: "Name"}},
			}},
			{Name: tableCheckpoints, Indexes: map[string]*memdb.IndexSchema{
				"id": {Name: "id", Unique: true, Indexer: linkIndex{}},
			}},
		},
		Commands: []store.Command{
			store.OnMany(opSet, applySet), store.OnMany(opRemove, applyRemove), store.OnMany(opOrder, applyOrder),
			store.OnMany(opMirror, applyMirror),
		},
		Records: []store.Record{
			store.Persist(recordLink, all[Row](tableLinks), loadLink),
			store.Persist(recordCheckpoint, all[checkpoint](tableCheckpoints), loadCheckpoint),
		},
	}
}

func all[T any](table string) func(v *store.View) iter.Seq[*T] {
	return func(v *store.View) iter.Seq[*T] { return store.Rows[*T](v, table, "id") }
}

// loadLink takes links over from a snapshot from outside, too: their CreateIndex, by which
// the keys in it know who wrote them, stays, and so does how far they had come by then.
func loadLink(tx *store.Tx, r *Row) error {
	if r.Name == "" || r.CreateIndex == 0 {
		return errors.New("a replication link has no name or no index")
	}
	if tx.Import {
		r.ModifyIndex = tx.Index
		tx.Touch(tableLinks)
	}
	tx.Insert(tableLinks, r)
	return nil
}

func loadCheckpoint(tx *store.Tx, c *checkpoint) error {
	if c.Link == 0 {
		return errors.New("a checkpoint belongs to no replication link")
	}
	if tx.Import {
		c.ModifyIndex = tx.Index // whoever holds another index has to read it again
		tx.Touch(tableCheckpoints)
	}
	tx.Insert(tableCheckpoints, c)
	return nil
}

// linkIndex indexes checkpoints by their link.
type linkIndex struct{}

// FromObject implements memdb.SingleIndexer.
func (linkIndex) FromObject(row any) (bool, []byte, error) {
	return true, binary.BigEndian.AppendUint64(nil, row.(*checkpoint).Link), nil
}

// FromArgs implements memdb.Indexer.
func (linkIndex) FromArgs(args ...any) ([]byte, error) {
	if len(args) != 1 {
		return nil, fmt.Errorf("%d arguments, want one index", len(args))
	}
	index, ok := args[0].(uint64)
	if !ok {
		return nil, fmt.Errorf("the index of a link is a uint64, not a %T", args[0])
	}
	return binary.BigEndian.AppendUint64(nil, index), nil
}
