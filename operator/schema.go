package operator

import (
	"errors"
	"iter"

	memdb "github.com/hashicorp/go-memdb"

	"github.com/hanse-project/hanse/store"
)

const (
	table = "autopilot"

	opSet  store.Op = 9
	record byte     = 9
)

// row is the only one of its table: the configuration of autopilot, once it was set.
type row struct {
	Key    string
	Config *AutopilotConfig
}

const onlyKey = "config"

// Module is what the server takes over from this package.
func Module() store.Module {
	return store.Module{
		Name: "operator",
		Tables: []*memdb.TableSchema{{Name: table, Indexes: map[string]*memdb.IndexSchema{
			"id": {Name: "id", Unique: true, Indexer: &memdb.StringFieldIndex{Field: "Key"}},
		}}},
		Commands: []store.Command{store.On(opSet, applySet)},
		Records:  []store.Record{store.Persist(record, stored, load)},
	}
}

func stored(v *store.View) iter.Seq[*AutopilotConfig] {
	return func(yield func(*AutopilotConfig) bool) {
		if c, found := lookup(v); found {
			yield(c)
		}
	}
}

func load(tx *store.Tx, c *AutopilotConfig) error {
	if err := c.check(); err != nil {
		if tx.Import {
			return store.ErrSkip
		}
		return err
	}
	if _, found := lookup(&tx.View); found {
		return errors.New("there are two configurations of autopilot")
	}
	if tx.Import {
		c.ModifyIndex = tx.Index
	}
	tx.Insert(table, &row{onlyKey, c})
	return nil
}

// lookup finds the configuration that was set, if one was.
func lookup(v *store.View) (*AutopilotConfig, bool) {
	r, found := store.First[*row](v, table, "id", onlyKey)
	if !found {
		return nil, false
	}
	return r.Config, true
}
