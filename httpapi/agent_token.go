package httpapi

import (
	"fmt"
	"net/http"

	"github.com/hanse-project/hanse/acltoken"
	"github.com/hanse-project/hanse/rpc"
)

// agentToken sets one of the agent's own tokens.
func (a *API) agentToken(_ http.ResponseWriter, r *request) (any, error) {
	if !a.cfg.ACLs {
		return nil, &statusError{http.StatusUnauthorized, "ACL support disabled"}
	}
	if err := a.allow(r, rpc.ResourceAgent, rpc.AccessWrite); err != nil {
		return nil, err
	}
	body := struct{ Token string }{}
	if err := r.decode(&body); err != nil {
		return nil, err
	}
	kind, known := acltoken.Named(r.name)
	if !known {
		return nil, &statusError{http.StatusNotFound, fmt.Sprintf("Token %q is unknown", r.name)}
	}
	if err := a.cfg.Tokens.Set(kind, body.Token); err != nil {
		return nil, err
	}
	if a.cfg.Local != nil {
		a.cfg.Local.Kick() // what was refused before may be taken now
	}
	return nil, nil
}
