package mesh

import (
	"slices"
	"time"

	"github.com/hanse-project/hanse/store"
)

// op is what a command does.
type op string

const (
	// issue takes the index of its entry for a serial number.
	issue op = "issue"
	// set changes the configuration, and with a root begins to sign with that.
	set op = "set"
	// prune drops roots that nobody needs any more.
	prune op = "prune"
)

// change is the log's form of all operations.
type change struct {
	Op op
	// Expect is the ID of the root that was active when the change was thought out, ""
	// for none: another one makes it void.
	Expect    string
	Config    *Config
	Root      *Root
	Authority *Authority
	Prune     []string
}

// applyChange is false if the command came too late to do anything.
func applyChange(tx *store.Tx, cmd *change) (bool, error) {
	switch cmd.Op {
	case issue:
		return true, nil
	case set:
		return applySet(tx, cmd), nil
	case prune:
		return applyPrune(tx, cmd.Prune), nil
	}
	return false, nil
}

func applySet(tx *store.Tx, cmd *change) bool {
	active, found := activeRoot(&tx.View)
	if found && active.ID != cmd.Expect || !found && cmd.Expect != "" || cmd.Config == nil {
		return false
	}
	config := *cmd.Config
	config.CreateIndex, config.ModifyIndex = tx.Index, tx.Index
	if old, known := configOf(&tx.View); known {
		config.ClusterID, config.CreateIndex = old.ClusterID, old.CreateIndex
		tx.Delete(tableConfig, old)
	}
	tx.Insert(tableConfig, &config)
	tx.Touch(tableConfig)
	if cmd.Root != nil && cmd.Authority != nil {
		replace(tx, active, *cmd.Root, *cmd.Authority)
	} else if s, _, err := parse(config.Config); err == nil && found && s.leafTTL > active.HanseLeafTTL {
		longer := *active
		longer.HanseLeafTTL = s.leafTTL
		tx.Insert(tableRoots, &longer) // nothing that others see: no index moves
	}
	return true
}

// replace makes root the active one. The key of the one before is forgotten.
func replace(tx *store.Tx, active *Root, root Root, authority Authority) {
	if active != nil {
		old := *active
		old.Active = false
		old.RotatedOutAt = time.Unix(0, tx.Time).UTC()
		old.ModifyIndex = tx.Index
		tx.Insert(tableRoots, &old)
	}
	for _, old := range slices.Collect(authorities(&tx.View)) {
		tx.Delete(tableAuthorities, old)
	}
	root.Active = true
	root.CreateIndex, root.ModifyIndex = tx.Index, tx.Index
	authority.CreateIndex, authority.ModifyIndex = tx.Index, tx.Index
	tx.Insert(tableRoots, &root)
	tx.Insert(tableAuthorities, &authority)
	tx.Touch(tableRoots)
}

func applyPrune(tx *store.Tx, ids []string) bool {
	pruned := false
	for _, id := range ids {
		r, found := store.First[*Root](&tx.View, tableRoots, "id", id)
		if found && r.idle(time.Unix(0, tx.Time)) {
			tx.Delete(tableRoots, r)
			pruned = true
		}
	}
	if pruned {
		tx.Touch(tableRoots)
	}
	return pruned
}

// defaultKeep is how long an old root stays when nobody knows what it signed.
const defaultKeep = 7 * 24 * time.Hour

// idle tells whether all that the root signed has expired at that time.
func (r *Root) idle(at time.Time) bool {
	keep := r.HanseLeafTTL
	if keep == 0 {
		keep = defaultKeep
	}
	return !r.Active && at.After(r.RotatedOutAt.Add(keep))
}
