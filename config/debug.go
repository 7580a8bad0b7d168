package config

import (
	"maps"
	"strings"
	"time"
)

// Debug is the configuration as /v1/agent/self shows it under DebugConfig, in
// the names that clients know. It holds no secret.
func (c *Config) Debug() map[string]any {
	out := map[string]any{
		"AdvertiseAddrLAN": c.AdvertiseAddrLAN, "AdvertiseAddrWAN": c.AdvertiseAddrWAN,
		"BindAddr": c.BindAddr, "SerfBindAddrLAN": tcp(hostPort(c.SerfBindAddrLAN, c.Ports.SerfLAN)),
		"SerfBindAddrWAN":      tcp(hostPort(c.SerfBindAddrWAN, c.Ports.SerfWAN)),
		"SerfAdvertiseAddrLAN": tcp(hostPort(c.AdvertiseAddrLAN, c.Ports.SerfLAN)),
		"SerfAdvertiseAddrWAN": tcp(hostPort(c.AdvertiseAddrWAN, c.Ports.SerfWAN)),
		"RPCBindAddr":          tcp(hostPort(c.BindAddr, c.Ports.Server)),
		"RPCAdvertiseAddr":     tcp(hostPort(c.AdvertiseAddrLAN, c.Ports.Server)),
		"ClientAddrs":          orEmpty(c.ClientAddrs),
		"HTTPAddrs":            urls(c.HTTPAddrs), "HTTPSAddrs": urls(c.HTTPSAddrs),
		"HTTPPort": c.Ports.HTTP, "HTTPSPort": c.Ports.HTTPS,
		"DNSAddrs": dnsURLs(c.DNSAddrs), "DNSPort": c.Ports.DNS,
		"ServerPort": c.Ports.Server, "SerfPortLAN": c.Ports.SerfLAN, "SerfPortWAN": c.Ports.SerfWAN,
		"ConnectSidecarMinPort": c.Ports.SidecarMin, "ConnectSidecarMaxPort": c.Ports.SidecarMax,
		"TaggedAddresses": c.TaggedAddresses(), "TranslateWANAddrs": c.TranslateWANAddr,

		// What is not served yet is shown as off, whatever was configured.
		"GRPCAddrs": []string{}, "GRPCPort": -1,
		"GRPCTLSAddrs": []string{}, "GRPCTLSPort": -1, "ConnectEnabled": c.Connect.Enabled, "PeeringEnabled": false,
		"ACLsEnabled": false, "ACLTokens": c.ACL.debug(), "Services": []any{}, "Checks": []any{}, "Watches": c.watches(),

		"Datacenter": c.Datacenter, "PrimaryDatacenter": c.PrimaryDatacenter, "NodeName": c.NodeName,
		"NodeID": c.NodeID, "NodeMeta": c.NodeMeta, "DisableHostNodeID": c.DisableHostNodeID,
		"DNSDomain": c.Domain + ".", "DNSAltDomain": c.AltDomain, "DNSRecursors": orEmpty(c.Recursors),
		"ServerMode": c.Server, "DevMode": c.DevMode, "Bootstrap": c.Bootstrap, "BootstrapExpect": c.BootstrapExpect,
		"ReadReplica": c.ReadReplica, "DataDir": c.DataDir, "PidFile": c.PidFile, "EnableDebug": c.EnableDebug,
		"EnableRemoteScriptChecks": c.EnableScriptChecks, "EnableLocalScriptChecks": c.EnableLocalScriptChecks,
		"DisableRemoteExec": c.DisableRemoteExec, "DisableCoordinates": c.DisableCoordinates,
		"DisableKeyringFile": c.DisableKeyringFile, "EncryptKey": "hidden",
		"StaticRuntimeConfig": map[string]any{
			"EncryptVerifyIncoming": c.EncryptVerifyIncoming, "EncryptVerifyOutgoing": c.EncryptVerifyOutgoing,
		},

		"StartJoinAddrsLAN": orEmpty(c.StartJoinLAN), "StartJoinAddrsWAN": orEmpty(c.StartJoinWAN),
		"RetryJoinLAN": orEmpty(c.RetryJoinLAN.Addrs), "RetryJoinWAN": orEmpty(c.RetryJoinWAN.Addrs),
		"RetryJoinIntervalLAN": c.RetryJoinLAN.Interval.String(), "RetryJoinIntervalWAN": c.RetryJoinWAN.Interval.String(),
		"RetryJoinMaxAttemptsLAN": c.RetryJoinLAN.MaxAttempts, "RetryJoinMaxAttemptsWAN": c.RetryJoinWAN.MaxAttempts,
		"RejoinAfterLeave": c.RejoinAfterLeave, "LeaveOnTerm": c.LeaveOnTerm, "SkipLeaveOnInt": c.SkipLeaveOnInt,
		"LeaveDrainTime": c.LeaveDrainTime.String(), "AdvertiseReconnectTimeout": c.AdvertiseReconnectTTL.String(),
		"ReconnectTimeoutLAN": c.ReconnectTimeoutLAN.String(), "ReconnectTimeoutWAN": c.ReconnectTimeoutWAN.String(),

		"ConsulRaftHeartbeatTimeout": c.Raft.HeartbeatTimeout.String(), "ConsulRaftElectionTimeout": c.Raft.ElectionTimeout.String(),
		"ConsulRaftLeaderLeaseTimeout": c.Raft.LeaderLeaseTimeout.String(), "RaftSnapshotThreshold": c.Raft.SnapshotThreshold,
		"RaftSnapshotInterval": c.Raft.SnapshotInterval.String(), "RaftTrailingLogs": c.Raft.TrailingLogs,
		"RaftProtocol": c.RaftProtocol, "RPCProtocol": c.Protocol,
		"AutopilotCleanupDeadServers": c.Autopilot.CleanupDeadServers, "AutopilotMaxTrailingLogs": c.Autopilot.MaxTrailingLogs,
		"AutopilotLastContactThreshold": c.Autopilot.LastContactThreshold.String(), "AutopilotMinQuorum": c.Autopilot.MinQuorum,
		"AutopilotServerStabilizationTime": c.Autopilot.ServerStabilizationTime.String(),

		"HTTPMaxConnsPerClient": c.Limits.HTTPMaxConnsPerClient, "RPCMaxConnsPerClient": c.Limits.RPCMaxConnsPerClient,
		"HTTPSHandshakeTimeout": c.Limits.HTTPSHandshakeTimeout.String(), "RPCHandshakeTimeout": c.Limits.RPCHandshakeTimeout.String(),
		"RPCClientTimeout": c.Limits.RPCClientTimeout.String(), "KVMaxValueSize": c.Limits.KVMaxValueSize,
		"TxnMaxReqLen": c.Limits.TxnMaxReqLen, "RPCHoldTimeout": c.RPCHoldTimeout.String(),
		"DefaultQueryTime": c.DefaultQueryTime.String(), "MaxQueryTime": c.MaxQueryTime.String(),
		"TombstoneTTL": c.TombstoneTTL.String(), "SessionTTLMin": c.SessionTTLMin.String(),
		"HTTPResponseHeaders": c.HTTP.ResponseHeaders, "HTTPBlockEndpoints": orEmpty(c.HTTP.BlockEndpoints),
		"AllowWriteHTTPFrom": orEmpty(c.HTTP.AllowWriteFrom), "HTTPMaxHeaderBytes": c.HTTP.MaxHeaderBytes,
		"HTTPUseCache": c.HTTP.UseCache, "Cache": map[string]any{"EntryFetchRate": c.Cache.EntryFetchRate, "EntryFetchMaxBurst": c.Cache.EntryFetchMaxBurst},

		"Logging": map[string]any{
			"LogLevel": c.Log.Level, "LogJSON": c.Log.JSON, "LogFilePath": c.Log.File,
			"LogRotateBytes": c.Log.RotateBytes, "LogRotateDuration": c.Log.RotateDuration.String(),
			"LogRotateMaxFiles": c.Log.RotateMaxFiles, "EnableSyslog": c.Log.Syslog, "SyslogFacility": c.Log.SyslogFacility,
		},
		"Telemetry": map[string]any{
			"MetricsPrefix": c.Telemetry.MetricsPrefix, "DisableHostname": c.Telemetry.DisableHostname,
			"FilterDefault":  c.Telemetry.FilterDefault,
			"PrometheusOpts": map[string]any{"Expiration": c.Telemetry.PrometheusRetention.String()},
		},
		"UIConfig": map[string]any{"Enabled": c.UI, "ContentPath": "/ui/"},
		"TLS": map[string]any{
			"InternalRPC": c.TLS.InternalRPC.debug(), "HTTPS": c.TLS.HTTPS.debug(), "GRPC": c.TLS.GRPC.debug(),
			"Domain": c.Domain + ".", "ServerName": c.TLS.ServerName, "NodeName": c.NodeName, "ServerMode": c.Server,
		},
		"UnixSocketUser": c.UnixSockets.User, "UnixSocketGroup": c.UnixSockets.Group, "UnixSocketMode": c.UnixSockets.Mode,
	}
	maps.Copy(out, c.DNS.debug())
	for name, value := range c.GossipLAN.debug() {
		out["GossipLAN"+name] = value
	}
	for name, value := range c.GossipWAN.debug() {
		out["GossipWAN"+name] = value
	}
	return out
}

func (a ACL) debug() map[string]any {
	const hidden = "hidden"
	return map[string]any{
		"EnablePersistence": a.EnableTokenPersistence, "ACLDefaultToken": hidden, "ACLAgentToken": hidden,
		"ACLAgentRecoveryToken": hidden, "ACLReplicationToken": hidden, "ACLConfigFileRegistrationToken": hidden, "ACLDNSToken": hidden,
	}
}

// watches are those of the files, without the tokens in them.
func (c *Config) watches() []map[string]any {
	out := []map[string]any{}
	for _, w := range c.Watches {
		shown := maps.Clone(w.Body)
		if _, secret := shown["token"]; secret {
			shown["token"] = "hidden"
		}
		delete(shown, "http_handler_config") // its headers may hold secrets
		out = append(out, shown)
	}
	return out
}

func (g Gossip) debug() map[string]any {
	text := time.Duration.String
	return map[string]any{
		"GossipInterval": text(g.GossipInterval), "GossipNodes": g.GossipNodes, "ProbeInterval": text(g.ProbeInterval),
		"ProbeTimeout": text(g.ProbeTimeout), "RetransmitMult": g.RetransmitMult, "SuspicionMult": g.SuspicionMult,
	}
}

func (t TLSInterface) debug() map[string]any {
	return map[string]any{
		"CAFile": t.CAFile, "CAPath": t.CAPath, "CertFile": t.CertFile, "KeyFile": "hidden",
		"CipherSuites": orEmpty(t.CipherSuites), "TLSMinVersion": t.MinVersion, "VerifyIncoming": t.VerifyIncoming,
		"VerifyOutgoing": t.VerifyOutgoing, "VerifyServerHostname": t.VerifyServerHostname,
	}
}

// TaggedAddresses are this node's addresses as the catalog keeps them.
func (c *Config) TaggedAddresses() map[string]string {
	out := map[string]string{"lan": c.AdvertiseAddrLAN, "wan": c.AdvertiseAddrWAN}
	for _, tag := range []string{"lan", "wan"} {
		family := "_ipv4"
		if strings.Contains(out[tag], ":") {
			family = "_ipv6"
		}
		out[tag+family] = out[tag]
	}
	return out
}

func tcp(addr string) string { return "tcp://" + addr }

func urls(addrs []string) []string {
	out := make([]string, 0, len(addrs))
	for _, addr := range addrs {
		if !strings.HasPrefix(addr, unixPrefix) {
			addr = tcp(addr)
		}
		out = append(out, addr)
	}
	return out
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
