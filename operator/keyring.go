package operator

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/hanse-project/hanse/rpc"
)

// keyring carries out an operation on the gossip keys: in both pools of this
// datacenter, and, on the first server that is asked, in the LAN pool of every other
// one. A datacenter that fails fails the whole operation: half a rotation is what an
// operator must hear of.
func (e *Endpoint) keyring(ctx context.Context, call *rpc.Call, req *KeyringRequest) (*KeyringResponses, error) {
	access := rpc.AccessWrite
	if req.Operation == "list" {
		access = rpc.AccessRead
	}
	if err := call.Allow(rpc.ResourceKeyring, access, ""); err != nil {
		return nil, err
	}
	if !slices.Contains([]string{"list", "install", "use", "remove"}, req.Operation) {
		return nil, rpc.Invalid(fmt.Sprintf("unknown keyring operation %q: use list, install, use or remove", req.Operation))
	}
	rep := &KeyringResponses{}
	if !req.Forwarded && !req.LocalOnly {
		rep.Responses = append(rep.Responses, e.Pools.Keyring(true, req.Operation, req.Key, req.RelayFactor))
	}
	rep.Responses = append(rep.Responses, e.Pools.Keyring(false, req.Operation, req.Key, req.RelayFactor))
	if req.Forwarded || req.LocalOnly {
		return rep, nil
	}
	others, err := e.askOthers(ctx, req)
	if err != nil {
		return nil, err
	}
	rep.Responses = append(rep.Responses, others...)
	return rep, nil
}

// askOthers asks every other datacenter at once.
func (e *Endpoint) askOthers(ctx context.Context, req *KeyringRequest) ([]*KeyringResponse, error) {
	dcs := e.Pools.Datacenters()
	replies := make([]*KeyringResponses, len(dcs))
	errs := make([]error, len(dcs))
	var wg sync.WaitGroup
	for i, dc := range dcs {
		wg.Go(func() {
			forwarded := *req
			forwarded.Forwarded = true
			replies[i], errs[i] = e.Forward(ctx, dc, &forwarded)
		})
	}
	wg.Wait()
	var all []*KeyringResponse
	for i, dc := range dcs {
		if errs[i] != nil {
			return nil, fmt.Errorf("keyring %s in datacenter %s: %w", req.Operation, dc, errs[i])
		}
		all = append(all, replies[i].Responses...)
	}
	return all, nil
}
