package agent

import (
	"crypto/tls"
	"maps"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/local"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/version"
)

// nodeInfo is what this node says of itself. That it is there at all, the leader writes.
func (a *Agent) nodeInfo() catalog.RegisterRequest {
	meta := map[string]string{"consul-network-segment": "", "consul-version": version.Consul}
	maps.Copy(meta, a.cfg.NodeMeta)
	return catalog.RegisterRequest{
		Write: rpc.Write{Datacenter: a.cfg.Datacenter}, ID: a.nodeID, Node: a.cfg.NodeName, Address: a.cfg.AdvertiseAddrLAN,
		TaggedAddresses: a.cfg.TaggedAddresses(), NodeMeta: meta,
	}
}

// openLocal makes the list of this agent's services and checks, of those that were kept
// and of those that the files define.
func (a *Agent) openLocal() (err error) {
	var checkTLS func() *tls.Config
	if a.cfg.EnableAgentTLSForChecks {
		checkTLS = func() *tls.Config {
			conf := a.certs.rpc.Outgoing()
			conf.ServerName = a.cfg.TLS.ServerName
			return conf
		}
	}
	a.local, err = local.New(local.Config{
		Node: a.nodeInfo(), Caller: a.role.Caller(), Tokens: a.tokens, DataDir: a.cfg.DataDir,
		RemoteScripts: a.cfg.EnableScriptChecks, FileScripts: a.cfg.EnableLocalScriptChecks,
		CheckTLS:            checkTLS,
		SidecarPorts:        local.Ports{Min: a.cfg.Ports.SidecarMin, Max: a.cfg.Ports.SidecarMax},
		CheckUpdateInterval: a.cfg.CheckUpdateInterval,
		ReapEvery:           a.cfg.CheckReapInterval,
		ReapLeast:           a.cfg.CheckDeregisterMin,
		OutputMaxSize:       a.cfg.CheckOutputMaxSize,
		DiscardOutput:       a.cfg.DiscardCheckOutput,
		Members:             func() int { return len(a.lan.Members()) },
		Log:                 a.log,
	})
	if err != nil {
		return err
	}
	if c, isClient := a.role.(*client); isClient {
		c.serverCame = a.local.Kick
	}
	return a.local.Load(a.cfg.Definitions)
}
