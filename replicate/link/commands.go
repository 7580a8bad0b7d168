package link

import (
	"fmt"
	"slices"

	"github.com/hanse-project/hanse/kv"
	"github.com/hanse-project/hanse/replicate"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// setLink is the log's form of a link that is made or changed.
type setLink struct {
	// Link is complete. Its fields are logged in their order: new ones come last.
	Link       Link
	FromConfig bool
	// Datacenter is the one that the link writes to.
	Datacenter string
	// Present is the ModifyIndex of the link whose settings these are a change of, 0 for a new
	// link. What is FromConfig changes whatever there is.
	Present uint64
}

// removeLink is the log's form of the removal of a link.
type removeLink struct {
	Name       string
	FromConfig bool
}

// order is the log's form of what is asked of a link that exists.
type order struct {
	Name string
	Verb Verb
}

// errChanged means that a link was changed since it was looked at.
var errChanged = rpc.Conflict("the link was changed by somebody else in the meantime: look at it, and try again")

func noSuchLink(name string) error {
	return rpc.NotFound(fmt.Sprintf("There is no link %q in this datacenter: `hanse replicate link list`, or /v1/replicate/links, shows those there are", name))
}

// notYours refuses a change at run time of what stands in the configuration files, and
// one by these of what was made at run time.
func notYours(r *Row) error {
	if r.FromConfig {
		return rpc.Conflict(fmt.Sprintf("link %q stands in the configuration files of the servers: change it there", r.Name))
	}
	return rpc.Conflict(fmt.Sprintf("link %q was made at run time: remove it, or give the one of the configuration files another name", r.Name))
}

// mayStand says why a link of the configuration files, or one of run time, cannot stand among
// those there are, of which old has its name, if one has.
func (l *Link) mayStand(fromConfig bool, old *Row, all []*Row, datacenter string) error {
	if old != nil && old.FromConfig != fromConfig {
		return notYours(old)
	}
	return l.fits(all, datacenter)
}

// applySet returns the link as it then is. One that leads from or to another place than
// before is a new link: it has not come anywhere, and the keys that were written are not its.
func applySet(tx *store.Tx, cmd *setLink) (*Row, error) {
	old, found := lookup(&tx.View, cmd.Link.Name)
	if err := cmd.Link.mayStand(cmd.FromConfig, old, rows(&tx.View), cmd.Datacenter); err != nil {
		return nil, err
	}
	var at uint64
	if found {
		at = old.ModifyIndex
	}
	if !cmd.FromConfig && at != cmd.Present {
		return nil, errChanged
	}
	r := &Row{Link: cmd.Link}
	r.FromConfig, r.CreateIndex, r.ModifyIndex = cmd.FromConfig, tx.Index, tx.Index
	switch {
	case found && old.elsewhere(&r.Link):
		forget(tx, old)
	case found:
		*r = *old
		r.Link = cmd.Link
		r.FromConfig, r.CreateIndex, r.ModifyIndex = old.FromConfig, old.CreateIndex, old.ModifyIndex
		if r.same(&old.Link) {
			return old, nil
		}
	}
	return put(tx, r), nil
}

func put(tx *store.Tx, r *Row) *Row {
	r.ModifyIndex = tx.Index
	tx.Insert(tableLinks, r)
	tx.Touch(tableLinks)
	return r
}

// forget drops how far a link has come. The keys stay.
func forget(tx *store.Tx, r *Row) {
	if c := checkpointOf(&tx.View, r.CreateIndex); c != nil {
		tx.Delete(tableCheckpoints, c)
		tx.Touch(tableCheckpoints)
	}
}

func applyRemove(tx *store.Tx, cmd *removeLink) (*Row, error) {
	r, found := lookup(&tx.View, cmd.Name)
	switch {
	case !found:
		return nil, noSuchLink(cmd.Name)
	case r.FromConfig != cmd.FromConfig:
		return nil, notYours(r)
	}
	forget(tx, r)
	tx.Delete(tableLinks, r)
	tx.Touch(tableLinks)
	return r, nil
}

func applyOrder(tx *store.Tx, cmd *order) (*Row, error) {
	old, found := lookup(&tx.View, cmd.Name)
	if !found {
		return nil, noSuchLink(cmd.Name)
	}
	r := *old
	switch cmd.Verb {
	case Pause, Resume:
		r.Paused = cmd.Verb == Pause
		if r.Paused == old.Paused {
			return old, nil
		}
	case Resync:
		r.Resync = tx.Index
	case Approve, Reject:
		r.Decision, r.Approved = tx.Index, cmd.Verb == Approve
	default:
		return nil, rpc.Invalid(fmt.Sprintf("unknown order %q to a link", cmd.Verb))
	}
	return put(tx, &r), nil
}

// mirror is the log's form of a batch of a link: it lands as a whole, with the checkpoint.
type mirror struct {
	// Link is the CreateIndex of the link.
	Link uint64
	// Expect is the ModifyIndex of the checkpoint that the batch follows, 0 for the first.
	Expect     uint64
	Checkpoint []byte
	Ops        []kv.MirrorOp
}

// applyMirror returns the checkpoint's new ModifyIndex.
func applyMirror(tx *store.Tx, cmd *mirror) (uint64, error) {
	var at uint64
	if c := checkpointOf(&tx.View, cmd.Link); c != nil {
		at = c.ModifyIndex
	}
	if at != cmd.Expect || !exists(&tx.View, cmd.Link) {
		return 0, replicate.ErrMoved
	}
	kv.Mirror(tx, cmd.Link, cmd.Ops)
	tx.Insert(tableCheckpoints, &checkpoint{Link: cmd.Link, Value: cmd.Checkpoint, ModifyIndex: tx.Index})
	tx.Touch(tableCheckpoints)
	return tx.Index, nil
}

func exists(v *store.View, link uint64) bool {
	return slices.ContainsFunc(rows(v), func(r *Row) bool { return r.CreateIndex == link })
}
