package session

import (
	"fmt"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// Gone is fired when a session has ended, for whatever reason.
type Gone struct{ Session *Session }

// destroy is the log's form of the end of sessions.
type destroy struct{ IDs []string }

// applyCreate checks that everything whose life the session shares is alive.
func applyCreate(tx *store.Tx, cmd *Session) (bool, error) {
	if _, twice := Lookup(&tx.View, cmd.ID); twice || cmd.ID == "" {
		return false, rpc.Failed(fmt.Sprintf("Session ID '%s' is empty or taken", cmd.ID))
	}
	if _, found := catalog.LookupNode(&tx.View, cmd.Node); !found {
		return false, rpc.Failed("Missing node registration")
	}
	for _, id := range cmd.checks() {
		check, found := catalog.LookupCheck(&tx.View, cmd.Node, id)
		if !found {
			return false, rpc.Failed(fmt.Sprintf("Missing check '%s' registration", id))
		}
		if check.Status == catalog.Critical {
			return false, rpc.Failed(fmt.Sprintf("Check '%s' is in critical state", id))
		}
	}
	row := *cmd
	row.CreateIndex, row.ModifyIndex = tx.Index, tx.Index
	insert(tx, &row)
	tx.Touch(table)
	return true, nil
}

func insert(tx *store.Tx, s *Session) {
	tx.Insert(table, s)
	for _, id := range s.checks() {
		tx.Insert(tableOfChecks, &checkLink{Node: fold(s.Node), CheckID: id, Session: s.ID})
	}
}

func applyDestroy(tx *store.Tx, cmd *destroy) (bool, error) {
	for _, id := range cmd.IDs {
		end(tx, id)
	}
	return true, nil
}

// end removes a session and tells those who hold something in its name.
func end(tx *store.Tx, id string) {
	s, found := Lookup(&tx.View, id)
	if !found {
		return
	}
	for _, check := range s.checks() {
		key := []any{fold(s.Node), check, s.ID}
		if link, found := store.First[*checkLink](&tx.View, tableOfChecks, "id", key...); found {
			tx.Delete(tableOfChecks, link)
		}
	}
	tx.Delete(table, s)
	tx.Touch(table)
	tx.Fire(Gone{s})
}

func endThoseOfNode(tx *store.Tx, node string) {
	var ids []string // collected first: the iterator must not see its own deletes
	for s := range store.Rows[*Session](&tx.View, table, "node", node) {
		ids = append(ids, s.ID)
	}
	for _, id := range ids {
		end(tx, id)
	}
}

func endThoseOfCheck(tx *store.Tx, node, check string) {
	var ids []string
	for link := range store.Rows[*checkLink](&tx.View, tableOfChecks, "check", fold(node), check) {
		ids = append(ids, link.Session)
	}
	for _, id := range ids {
		end(tx, id)
	}
}
