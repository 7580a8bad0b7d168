package query

import (
	"errors"
	"iter"
	"regexp"
	"strings"

	memdb "github.com/hashicorp/go-memdb"

	"github.com/hanse-project/hanse/session"
	"github.com/hanse-project/hanse/store"
)

const (
	table = "prepared-queries"

	opChange store.Op = 7
	record   byte     = 7

	// anyPrefix stands before the prefix of every template, so that "" is one too.
	anyPrefix = "^"
)

// row is a query as it is found.
type row struct {
	ID string
	// Name is the name of a query that is no template, and Prefix that of a template
	// behind [anyPrefix], both in lower case as DNS sees them.
	Name    string
	Prefix  string
	Session string
	Query   *PreparedQuery
	pattern *regexp.Regexp
}

func newRow(q *PreparedQuery) (*row, error) {
	if q == nil || q.ID == "" {
		return nil, errors.New("a prepared query has no ID")
	}
	pattern, err := q.compile()
	if err != nil {
		return nil, err
	}
	r := &row{ID: fold(q.ID), Session: q.Session, Query: q, pattern: pattern}
	if q.Template.Type == "" {
		r.Name = fold(q.Name)
	} else {
		r.Prefix = anyPrefix + fold(q.Name)
	}
	return r, nil
}

// Module is what the server takes over from this package.
func Module() store.Module {
	index := func(name, field string, unique bool) *memdb.IndexSchema {
		return &memdb.IndexSchema{Name: name, Unique: unique, AllowMissing: true, Indexer: &memdb.StringFieldIndex{Field: field}}
	}
	return store.Module{
		Name: "query",
		Tables: []*memdb.TableSchema{{Name: table, Indexes: map[string]*memdb.IndexSchema{
			"id":      {Name: "id", Unique: true, Indexer: &memdb.StringFieldIndex{Field: "ID"}},
			"name":    index("name", "Name", true),
			"prefix":  index("prefix", "Prefix", true),
			"session": index("session", "Session", false),
		}}},
		Commands: []store.Command{store.On(opChange, applyChange)},
		Records:  []store.Record{store.Persist(record, stored, load)},
		Triggers: []store.Trigger{
			store.When(func(tx *store.Tx, e session.Gone) { endThoseOf(tx, e.Session.ID) }),
		},
	}
}

func stored(v *store.View) iter.Seq[*PreparedQuery] {
	return func(yield func(*PreparedQuery) bool) {
		for r := range store.Rows[*row](v, table, "id") {
			if !yield(r.Query) {
				return
			}
		}
	}
}

// load leaves out what a snapshot from outside ties to a session, since no session is
// taken over, and templates in a language that goes beyond ours.
func load(tx *store.Tx, q *PreparedQuery) error {
	if tx.Import && q.Session != "" {
		return store.ErrSkip
	}
	r, err := newRow(q)
	if err != nil {
		if tx.Import {
			return store.ErrSkip
		}
		return err
	}
	if tx.Import {
		q.ModifyIndex = tx.Index
		tx.Touch(table)
	}
	tx.Insert(table, r)
	return nil
}

// fold gives the form in which names and IDs are compared.
func fold(name string) string { return strings.ToLower(name) }
