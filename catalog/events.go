package catalog

// What this domain tells others from inside its commands, by store.Tx.Fire.
type (
	// NodeGone says that a node was removed.
	NodeGone struct{ Node string }
	// CheckGone says that a check was removed.
	CheckGone struct{ Node, CheckID string }
	// CheckCritical says that a check turned critical.
	CheckCritical struct{ Node, CheckID string }
)
