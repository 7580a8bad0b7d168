package store

import (
	"fmt"
	"iter"
	"reflect"

	memdb "github.com/hashicorp/go-memdb"
)

// Op is the first byte of a log entry: which command it is. Numbers from 100 to 127
// belong to commands and records that only Hanse has.
type Op uint8

// Module is what one domain owns of the state.
type Module struct {
	// Name is the domain's, for errors.
	Name string
	// Tables are the domain's tables.
	Tables []*memdb.TableSchema
	// Commands are what the log applies to them.
	Commands []Command
	// Records are what a snapshot keeps of them, in the order they are restored.
	Records []Record
	// Feed, if any, has the module's changes read in their order. One module has one.
	Feed *FeedOf
	// Triggers run inside the commands of other domains when those say that something
	// happened, in the order of the list of modules.
	Triggers []Trigger
}

// Command applies one kind of log entry. Make it with [On] or [OnMany].
type Command struct {
	op    Op
	many  bool
	apply func(tx *Tx, body []byte) (any, error)
}

// On declares a command that changes rows only after all of its checks have passed.
// It shares a transaction with the commands around it, so an error it returns must
// have left nothing behind.
func On[C, R any](op Op, apply func(tx *Tx, cmd *C) (R, error)) Command {
	return Command{op: op, apply: func(tx *Tx, body []byte) (any, error) {
		cmd := new(C)
		if err := decodeCommand(body, cmd); err != nil {
			return nil, fmt.Errorf("decode command %d of log entry %d: %w", op, tx.Index, err)
		}
		return apply(tx, cmd)
	}}
}

// OnMany declares a command that may change many rows, or fail half-way. It has a
// transaction of its own, which an error aborts.
func OnMany[C, R any](op Op, apply func(tx *Tx, cmd *C) (R, error)) Command {
	c := On(op, apply)
	c.many = true
	return c
}

// Trigger runs inside a command of another domain. Make it with [When].
type Trigger struct {
	event reflect.Type
	run   func(tx *Tx, event any)
}

// When declares what a domain does, in the same transaction, when another one says by
// [Tx.Fire] that an E happened. It cannot fail: what it is told has happened.
func When[E any](do func(tx *Tx, event E)) Trigger {
	return Trigger{event: reflect.TypeFor[E](), run: func(tx *Tx, event any) { do(tx, event.(E)) }}
}

// Fire tells the domains whom it concerns that something happened.
func (tx *Tx) Fire(event any) {
	for _, t := range tx.triggers[reflect.TypeOf(event)] {
		t.run(tx, event)
	}
}

// Record is one kind of row in a snapshot. Make it with [Persist].
type Record struct {
	kind byte
	save func(v *View, emit func(row any) error) error
	load func(tx *Tx, decode func(into any) error) error
}

// Persist declares that rows of type T are kept in snapshots under the given type
// byte. The load function inserts one row into an empty database; tx.Import tells it
// that the snapshot came from outside.
func Persist[T any](kind byte, rows func(v *View) iter.Seq[*T], load func(tx *Tx, row *T) error) Record {
	return Record{
		kind: kind,
		save: func(v *View, emit func(row any) error) error {
			for row := range rows(v) {
				if err := emit(row); err != nil {
					return err
				}
			}
			return nil
		},
		load: func(tx *Tx, decode func(into any) error) error {
			row := new(T)
			if err := decode(row); err != nil {
				return err
			}
			return load(tx, row)
		},
	}
}
