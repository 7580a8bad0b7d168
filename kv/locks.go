package kv

import (
	"fmt"
	"time"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/session"
	"github.com/hanse-project/hanse/store"
)

// lockDelay keeps a key from being locked for a while after its holder's session ended:
// the holder may not know yet. Its clock is the time of the log's commands, so that
// every server decides alike.
type lockDelay struct {
	Key string
	// Until is in unix nanoseconds.
	Until int64
}

// lockable tells whether cmd may take or free the lock of old, which is nil for a key
// that does not exist.
func lockable(tx *store.Tx, cmd *write, old *Entry) (bool, error) {
	holder := ""
	if old != nil {
		holder = old.Session
	}
	if cmd.Verb == Unlock {
		return holder != "" && holder == cmd.Session, nil
	}
	if _, found := session.Lookup(&tx.View, cmd.Session); !found {
		return false, invalidSession(cmd.Session)
	}
	if holder != "" {
		return holder == cmd.Session, nil
	}
	return !delayed(tx, cmd.Key), nil
}

// invalidSession has the text that clients match at the beginning of an answer.
func invalidSession(id string) error { return rpc.Failed(fmt.Sprintf("invalid session %q", id)) }

func delayed(tx *store.Tx, key string) bool {
	d, found := store.First[*lockDelay](&tx.View, tableDelays, "id", key)
	return found && !d.over(tx)
}

// over tells whether d has ended by the time of tx. More than the longest delay cannot
// be left: then the clock of an earlier leader was far ahead, and what it said counts for
// nothing, lest a key be closed for as long as it was.
func (d *lockDelay) over(tx *store.Tx) bool {
	left := time.Duration(d.Until - tx.Time)
	return left <= 0 || left > session.MaxLockDelay
}

// locked is e after cmd took or freed its lock.
func (e *Entry) locked(cmd *write, before string) {
	switch {
	case cmd.Verb == Unlock:
		e.Session = ""
	case cmd.Verb == Lock && before != cmd.Session:
		e.Session = cmd.Session
		e.LockIndex++
	}
}

// freeLocks does with the keys that a session held what the session said.
func freeLocks(tx *store.Tx, s *session.Session) {
	var held []*Entry // collected first: the iterator must not see its own changes
	for e := range store.Rows[*Entry](&tx.View, tableEntries, indexSession, s.ID) {
		held = append(held, e)
	}
	for _, e := range held {
		if s.Behavior == session.Delete {
			remove(tx, e)
		} else {
			row := *e
			row.Session, row.ModifyIndex, row.Time = "", tx.Index, tx.Time
			insert(tx, &row)
		}
		if s.LockDelay > 0 {
			tx.Insert(tableDelays, &lockDelay{Key: e.Key, Until: tx.Time + int64(s.LockDelay)})
		}
	}
}

// forgetDelays removes those that are over.
func forgetDelays(tx *store.Tx) {
	var over []*lockDelay
	for d := range store.Rows[*lockDelay](&tx.View, tableDelays, "id") {
		if d.over(tx) {
			over = append(over, d)
		}
	}
	for _, d := range over {
		tx.Delete(tableDelays, d)
	}
}

// checkSession is the check that a session holds the lock of a key.
func checkSession(v *store.View, want *Entry) (*Entry, error) {
	e, found := Lookup(v, want.Key)
	switch {
	case !found:
		return nil, fmt.Errorf("failed to check session %q on key %q: key doesn't exist", want.Session, want.Key)
	case e.Session != want.Session:
		return nil, fmt.Errorf("failed session check for key %q, current session %q != %q", want.Key, e.Session, want.Session)
	}
	return e, nil
}

// lockFailure says in a transaction why a lock was not taken or freed.
func lockFailure(tx *store.Tx, cmd *write) error {
	switch {
	case cmd.Verb == Unlock:
		return fmt.Errorf("failed to unlock key %q, lock isn't held, or is held by another session", cmd.Key)
	case delayed(tx, cmd.Key):
		return fmt.Errorf("failed to lock key %q due to lock delay", cmd.Key)
	}
	return fmt.Errorf("failed to lock key %q, lock is already held", cmd.Key)
}
