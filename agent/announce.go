package agent

import (
	"context"
	"maps"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/version"
)

const (
	// announceEvery is how often the catalog is compared with what this node says of itself.
	announceEvery = time.Minute
	// announceSoon is the first wait after a failure; it doubles.
	announceSoon = time.Second
)

// announcer keeps in the catalog what only this node knows of itself: its addresses
// and its meta. That it is there at all, the leader writes.
type announcer struct {
	caller rpc.Caller
	node   catalog.RegisterRequest
	log    hclog.Logger
}

// nodeInfo is what this node says of itself.
func (a *Agent) nodeInfo() catalog.RegisterRequest {
	meta := map[string]string{"consul-network-segment": "", "consul-version": version.Consul}
	maps.Copy(meta, a.cfg.NodeMeta)
	return catalog.RegisterRequest{
		Write: rpc.Write{Datacenter: a.cfg.Datacenter}, ID: a.nodeID, Node: a.cfg.NodeName, Address: a.cfg.AdvertiseAddrLAN,
		TaggedAddresses: a.cfg.TaggedAddresses(), NodeMeta: meta,
	}
}

// Run compares now and then until ctx ends.
func (a *announcer) Run(ctx context.Context) error {
	soon := announceSoon
	for {
		wait := announceEvery
		if err := a.sync(ctx); err != nil && ctx.Err() == nil {
			a.log.Debug("this node is not in the catalog as it should be, will retry", "error", err, "in", soon)
			wait, soon = soon, min(2*soon, announceEvery)
		} else {
			soon = announceSoon
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}

func (a *announcer) sync(ctx context.Context) error {
	rep, err := catalog.GetNodeInfo.Call(ctx, a.caller, &catalog.NodeSpecificRequest{
		Read: rpc.Read{Datacenter: a.node.Datacenter}, Node: a.node.Node,
	})
	if err != nil {
		return err
	}
	for _, known := range rep.Dump {
		if known.Address == a.node.Address && known.ID == a.node.ID &&
			maps.Equal(known.TaggedAddresses, a.node.TaggedAddresses) && maps.Equal(known.Meta, a.node.NodeMeta) {
			return nil
		}
	}
	req := a.node
	_, err = catalog.Register.Call(ctx, a.caller, &req)
	return err
}
