package mesh

import (
	"errors"

	memdb "github.com/hashicorp/go-memdb"

	"github.com/hanse-project/hanse/store"
)

const (
	tableRoots       = "connect-ca-roots"
	tableAuthorities = "connect-ca-builtin"
	tableConfig      = "connect-ca-config"

	opChange store.Op = 13

	recordRoot      byte = 13
	recordAuthority byte = 14
	recordConfig    byte = 15
)

// Module is what the server takes over from this package.
func Module() store.Module {
	byField := func(table, field string) *memdb.TableSchema {
		return &memdb.TableSchema{Name: table, Indexes: map[string]*memdb.IndexSchema{
			"id": {Name: "id", Unique: true, Indexer: &memdb.StringFieldIndex{Field: field}},
		}}
	}
	return store.Module{
		Name: "mesh",
		Tables: []*memdb.TableSchema{
			byField(tableRoots, "ID"), byField(tableAuthorities, "ID"), byField(tableConfig, "Provider"),
		},
		Commands: []store.Command{store.On(opChange, applyChange)},
		Records: []store.Record{
			store.Persist(recordRoot, roots, loadRoot),
			store.Persist(recordAuthority, authorities, loadAuthority),
			store.Persist(recordConfig, configs, loadConfig),
		},
	}
}

// loadRoot leaves nothing private in a root, wherever it comes from.
func loadRoot(tx *store.Tx, r *Root) error {
	if r.ID == "" {
		return errors.New("a root certificate has no ID")
	}
	r.SigningCert, r.SigningKey = "", ""
	if tx.Import {
		r.ModifyIndex = tx.Index
		tx.Touch(tableRoots)
	}
	tx.Insert(tableRoots, r)
	return nil
}

// loadAuthority takes over keys that are kept in the state. A provider outside keeps them
// for itself, and the leader makes a root of its own.
func loadAuthority(tx *store.Tx, a *Authority) error {
	if a.ID == "" || a.PrivateKey == "" {
		return store.ErrSkip
	}
	if tx.Import {
		a.ModifyIndex = tx.Index
	}
	tx.Insert(tableAuthorities, a)
	return nil
}

func loadConfig(tx *store.Tx, c *Config) error {
	if c.Provider == "" {
		return store.ErrSkip // of a datacenter without a mesh
	}
	if tx.Import {
		if c.Provider != Provider { // its settings mean nothing here, its trust domain does
			c.Provider, c.Config, c.State = Provider, nil, nil
		}
		delete(c.Config, privateKey)
		c.ModifyIndex = tx.Index
		tx.Touch(tableConfig)
	}
	tx.Insert(tableConfig, c)
	return nil
}
