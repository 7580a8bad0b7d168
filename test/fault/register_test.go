//go:build linux

package fault

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// A key is a register. Every write puts a value that no other write puts, so that
// "the key has ModifyIndex i" and "the key has value v" say the same, and a cas by
// index is one by value. The value of a key that does not exist is "".
type input struct {
	kind  kind
	key   string
	value string // written
	old   string // a cas expects it
}

type kind uint8

const (
	get kind = iota
	put
	cas
	del
)

func (k kind) String() string { return [...]string{"get", "put", "cas", "delete"}[k] }

type output struct {
	value string // that was read
	done  bool   // of a cas
	// unknown marks a write that may have happened, or may yet.
	unknown bool
}

// register is the model of all keys. A write of unknown outcome has no end: placed
// after everything else it has had no effect that anybody saw.
var register = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, op := range history {
			key := op.Input.(input).key
			byKey[key] = append(byKey[key], op)
		}
		var parts [][]porcupine.Operation
		for _, part := range byKey {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return "" },
	Step: func(state, in, out any) (bool, any) {
		now, i, o := state.(string), in.(input), out.(output)
		switch i.kind {
		case get:
			return o.value == now, now
		case put:
			return true, i.value
		case del:
			return true, ""
		}
		if match := now == i.old; !match {
			return o.unknown || !o.done, now
		}
		return o.unknown || o.done, i.value
	},
	DescribeOperation: func(in, out any) string {
		i, o := in.(input), out.(output)
		switch {
		case i.kind == get:
			return fmt.Sprintf("get %s = %q", i.key, o.value)
		case o.unknown:
			return fmt.Sprintf("%v %s %q→%q, outcome unknown", i.kind, i.key, i.old, i.value)
		case i.kind == cas:
			return fmt.Sprintf("cas %s %q→%q: %v", i.key, i.old, i.value, o.done)
		}
		return fmt.Sprintf("%v %s %q", i.kind, i.key, i.value)
	},
}

// judge fails the test unless there is an order of all operations, true to their times,
// in which each saw what those before it had done.
func judge(t *testing.T, history []porcupine.Operation) {
	t.Helper()
	verdict, info := porcupine.CheckOperationsVerbose(register, history, time.Minute)
	if verdict == porcupine.Ok {
		return
	}
	picture := filepath.Join(os.TempDir(), fmt.Sprintf("hanse-history-%d.html", time.Now().UnixNano()))
	if err := porcupine.VisualizePath(register, info, picture); err != nil {
		t.Log(err)
	}
	t.Errorf("the history of %d operations is %s, see %s", len(history), verdict, picture)
}

func TestCheckerFindsWhatItIsThereFor(t *testing.T) {
	at := func(from, to int64, in input, out output) porcupine.Operation {
		in.key = "k"
		return porcupine.Operation{Input: in, Output: out, Call: from, Return: to}
	}
	wrote := func(from, to int64, value string) porcupine.Operation {
		return at(from, to, input{kind: put, value: value}, output{})
	}
	read := func(from, to int64, value string) porcupine.Operation {
		return at(from, to, input{kind: get}, output{value: value})
	}
	for name, c := range map[string]struct {
		history []porcupine.Operation
		want    bool
	}{
		"reads after writes":                   {[]porcupine.Operation{wrote(0, 1, "a"), read(2, 3, "a"), wrote(4, 5, "b"), read(6, 7, "b")}, true},
		"a lost write":                         {[]porcupine.Operation{wrote(0, 1, "a"), read(2, 3, "")}, false},
		"a stale read":                         {[]porcupine.Operation{wrote(0, 1, "a"), wrote(2, 3, "b"), read(4, 5, "a")}, false},
		"an unknown write that was not seen":   {[]porcupine.Operation{at(0, never, input{kind: put, value: "a"}, output{unknown: true}), read(2, 3, "")}, true},
		"an unknown write that was seen late":  {[]porcupine.Operation{at(0, never, input{kind: put, value: "a"}, output{unknown: true}), read(2, 3, ""), read(4, 5, "a")}, true},
		"an unknown write that was taken back": {[]porcupine.Operation{at(0, never, input{kind: put, value: "a"}, output{unknown: true}), read(2, 3, "a"), read(4, 5, "")}, false},
		"a failed write that was seen":         {[]porcupine.Operation{read(2, 3, "a")}, false},
		"two cas that both won": {[]porcupine.Operation{
			at(0, 5, input{kind: cas, value: "a"}, output{done: true}), at(0, 5, input{kind: cas, value: "b"}, output{done: true})}, false},
		"a cas that lost for no reason": {[]porcupine.Operation{at(0, 1, input{kind: cas, value: "a"}, output{})}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := porcupine.CheckOperations(register, c.history); got != c.want {
				t.Errorf("linearizable: %v, want %v", got, c.want)
			}
		})
	}
}
