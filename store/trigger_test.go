package store

import (
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func TestTriggersRunInsideTheCommandInTheOrderOfTheModules(t *testing.T) {
	type happened struct{ what string }
	type other struct{}
	var order []string
	note := func(who string) Trigger {
		return When(func(tx *Tx, e happened) {
			order = append(order, who+" "+e.what)
			tx.Touch(who)
		})
	}
	const op Op = 90
	s, err := New(
		Module{Name: "teller", Commands: []Command{On(op, func(tx *Tx, cmd *struct{}) (bool, error) {
			tx.Fire(happened{"now"})
			return true, nil
		})}},
		Module{Name: "first", Triggers: []Trigger{note("first"), When(func(*Tx, other) { t.Error("a trigger of another event ran") })}},
		Module{Name: "second", Triggers: []Trigger{note("second")}},
	)
	if err != nil {
		t.Fatal(err)
	}
	entry, err := Encode(op, time.Now(), &struct{}{})
	if err != nil {
		t.Fatal(err)
	}
	if r := s.Apply(&raft.Log{Index: 7, Type: raft.LogCommand, Data: entry}); r != true {
		t.Fatalf("the command answered %v", r)
	}
	if want := []string{"first now", "second now"}; !slices.Equal(order, want) {
		t.Errorf("triggers ran as %q, want %q", order, want)
	}
	if v := s.Read(nil); v.TouchedAt("first") != 7 || v.TouchedAt("second") != 7 {
		t.Error("what a trigger did is not part of the command")
	}
}
