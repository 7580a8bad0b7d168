package store

import (
	"fmt"
	"time"

	metrics "github.com/hashicorp/go-metrics"
	"github.com/hashicorp/raft"
)

// batchRows is how many commands share one transaction at most. Watchers are woken
// when it commits, so it also bounds how long they wait.
const batchRows = 1000

// Apply implements raft.FSM.
func (s *Store) Apply(entry *raft.Log) any { return s.ApplyBatch([]*raft.Log{entry})[0] }

// ApplyBatch implements raft.BatchingFSM: commands that cannot fail half-way share a
// transaction and one round of wake-ups, every other has its own.
func (s *Store) ApplyBatch(entries []*raft.Log) []any {
	responses := make([]any, len(entries))
	g := s.current.Load()
	var tx *Tx
	rows := 0
	commit := func() {
		if tx == nil {
			return
		}
		last := tx.Index
		tx.commit()
		tx, rows = nil, 0
		s.setApplied(last)
	}
	for i, entry := range entries {
		if entry.Type != raft.LogCommand {
			continue // configurations come along in a batch; they are not ours
		}
		start := time.Now()
		cmd, at, body, err := s.parse(entry)
		if err == nil && cmd.many {
			commit()
		}
		if tx == nil {
			tx = s.newTx(g, entry.Index)
		}
		tx.Index, tx.Time = entry.Index, at
		if err != nil {
			responses[i] = err
		} else if responses[i], err = cmd.apply(tx, body); err != nil {
			responses[i] = err
			if cmd.many {
				tx.txn.Abort()
				tx = s.newTx(g, entry.Index)
			}
		}
		rows++
		if rows >= batchRows || (cmd != nil && cmd.many) {
			commit()
		}
		metrics.MeasureSince([]string{"raft", "fsm", "apply"}, start)
	}
	commit()
	return responses
}

func (s *Store) parse(entry *raft.Log) (cmd *Command, at int64, body []byte, err error) {
	op, at, body, err := parseEntry(entry.Data)
	if err != nil {
		return nil, 0, nil, fmt.Errorf("log entry %d: %w", entry.Index, err)
	}
	cmd = s.commands[op]
	if cmd == nil {
		return nil, 0, nil, fmt.Errorf("log entry %d is command %d, which this version of Hanse does not know: upgrade this server", entry.Index, op)
	}
	return cmd, at, body, nil
}
