package operator

import "github.com/hanse-project/hanse/store"

// setAutopilot is the log's form of a change of autopilot's configuration.
type setAutopilot struct {
	Config AutopilotConfig
	CAS    bool
}

// applySet reports whether the configuration was set. While none is, its index is 0.
func applySet(tx *store.Tx, cmd *setAutopilot) (bool, error) {
	old, found := lookup(&tx.View)
	if !found {
		old = &AutopilotConfig{CreateIndex: tx.Index}
	}
	if cmd.CAS && cmd.Config.ModifyIndex != old.ModifyIndex {
		return false, nil
	}
	c := cmd.Config
	c.CreateIndex, c.ModifyIndex = old.CreateIndex, tx.Index
	tx.Insert(table, &row{onlyKey, &c})
	return true, nil
}
