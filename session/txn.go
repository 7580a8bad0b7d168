package session

import (
	"fmt"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// Verb is what an operation of a transaction does with a session.
type Verb string

// End ends it. It is the only verb that there is.
const End Verb = "delete"

var errNoID = rpc.Failed("Must provide ID")

// CheckOperation refuses an operation of a transaction that is wrong in itself.
func CheckOperation(verb Verb, id string) error {
	switch {
	case verb != End:
		return fmt.Errorf("unknown Session operation: %s", verb)
	case id == "":
		return errNoID
	}
	return nil
}

// Allow asks for what the end of a session needs: session:write on its node, or on all
// nodes for a session that is not known.
func Allow(call *rpc.Call, v *store.View, id string) error {
	s, found := Lookup(v, id)
	if !found {
		return call.AllowPrefix(rpc.ResourceSession, rpc.AccessWrite, "")
	}
	return call.Allow(rpc.ResourceSession, rpc.AccessWrite, s.Node)
}

// Operate carries out one operation of a transaction. A session that is not there has
// ended already.
func Operate(tx *store.Tx, verb Verb, id string) error {
	if err := CheckOperation(verb, id); err != nil {
		return err
	}
	end(tx, id)
	return nil
}
