package session

import (
	"errors"
	"iter"
	"strings"

	memdb "github.com/hashicorp/go-memdb"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/store"
)

const (
	table = "sessions"
	// tableOfChecks says which sessions share the life of a check.
	tableOfChecks = "session-checks"

	opCreate  store.Op = 3
	opDestroy store.Op = 103

	record = 3
)

// checkLink ties a session to a check.
type checkLink struct {
	Node    string // folded
	CheckID string
	Session string
}

// Module is what the server takes over from this package.
func Module() store.Module {
	str := func(field string) memdb.Indexer { return &memdb.StringFieldIndex{Field: field} }
	return store.Module{
		Name: "session",
		Tables: []*memdb.TableSchema{
			{Name: table, Indexes: map[string]*memdb.IndexSchema{
				"id":   {Name: "id", Unique: true, Indexer: str("ID")},
				"node": {Name: "node", Indexer: &memdb.StringFieldIndex{Field: "Node", Lowercase: true}},
			}},
			{Name: tableOfChecks, Indexes: map[string]*memdb.IndexSchema{
				"id": {Name: "id", Unique: true, Indexer: &memdb.CompoundIndex{
					Indexes: []memdb.Indexer{str("Node"), str("CheckID"), str("Session")}}},
				"check": {Name: "check", Indexer: &memdb.CompoundIndex{
					Indexes: []memdb.Indexer{str("Node"), str("CheckID")}}},
			}},
		},
		Commands: []store.Command{store.On(opCreate, applyCreate), store.OnMany(opDestroy, applyDestroy)},
		Records: []store.Record{store.Persist(record, func(v *store.View) iter.Seq[*Session] {
			return store.Rows[*Session](v, table, "id")
		}, load)},
		Triggers: []store.Trigger{
			store.When(func(tx *store.Tx, e catalog.NodeGone) { endThoseOfNode(tx, e.Node) }),
			store.When(func(tx *store.Tx, e catalog.CheckGone) { endThoseOfCheck(tx, e.Node, e.CheckID) }),
			store.When(func(tx *store.Tx, e catalog.CheckCritical) { endThoseOfCheck(tx, e.Node, e.CheckID) }),
		},
	}
}

// load leaves out the sessions of a snapshot from outside: who held a lock when it was
// taken does not hold it now, and who holds one now is not in it. After the restore
// nobody does.
func load(tx *store.Tx, s *Session) error {
	if tx.Import {
		return store.ErrSkip
	}
	if s.ID == "" || s.Node == "" {
		return errors.New("a session has no ID, or no node")
	}
	insert(tx, s)
	return nil
}

// fold gives the form in which node names are compared.
func fold(node string) string { return strings.ToLower(node) }
