package config

import (
	"fmt"
	"maps"
	"strings"
	"time"
)

// keys is every setting, by its name in a file.
var keys = index(
	// Who and what.
	str("datacenter", func(d *draft) *string { return &d.Datacenter }),
	str("primary_datacenter", func(d *draft) *string { return &d.PrimaryDatacenter }),
	str("node_name", func(d *draft) *string { return &d.NodeName }),
	str("node_id", func(d *draft) *string { return &d.NodeID }),
	strMap("node_meta", func(d *draft) *map[string]string { return &d.NodeMeta }),
	onOff("disable_host_node_id", func(d *draft) *bool { return &d.DisableHostNodeID }),
	str("domain", func(d *draft) *string { return &d.Domain }),
	str("alt_domain", func(d *draft) *string { return &d.AltDomain }),
	onOff("server", func(d *draft) *bool { return &d.Server }),
	onOff("bootstrap", func(d *draft) *bool { return &d.Bootstrap }),
	num("bootstrap_expect", func(d *draft) *int { return &d.BootstrapExpect }),
	onOff("read_replica", func(d *draft) *bool { return &d.ReadReplica }),
	onOff("non_voting_server", func(d *draft) *bool { return &d.ReadReplica }),
	str("data_dir", func(d *draft) *string { return &d.DataDir }),
	onOff("ui", func(d *draft) *bool { return &d.UI }),
	onOff("ui_config.enabled", func(d *draft) *bool { return &d.UI }),
	onOff("enable_debug", func(d *draft) *bool { return &d.EnableDebug }),
	str("pid_file", func(d *draft) *string { return &d.PidFile }),

	// Where.
	str("bind_addr", func(d *draft) *string { return &d.bind }),
	str("client_addr", func(d *draft) *string { return &d.client }),
	str("advertise_addr", func(d *draft) *string { return &d.advertise }),
	str("advertise_addr_ipv4", func(d *draft) *string { return &d.advertise }),
	str("advertise_addr_wan", func(d *draft) *string { return &d.advertiseWAN }),
	str("advertise_addr_wan_ipv4", func(d *draft) *string { return &d.advertiseWAN }),
	str("serf_lan", func(d *draft) *string { return &d.serfLAN }),
	str("serf_wan", func(d *draft) *string { return &d.serfWAN }),
	str("addresses.http", func(d *draft) *string { return &d.addresses.http }),
	str("addresses.https", func(d *draft) *string { return &d.addresses.https }),
	str("addresses.dns", func(d *draft) *string { return &d.addresses.dns }),
	num("ports.server", func(d *draft) *int { return &d.Ports.Server }),
	num("ports.serf_lan", func(d *draft) *int { return &d.Ports.SerfLAN }),
	num("ports.serf_wan", func(d *draft) *int { return &d.Ports.SerfWAN }),
	num("ports.http", func(d *draft) *int { return &d.Ports.HTTP }),
	num("ports.https", func(d *draft) *int { return &d.Ports.HTTPS }),
	num("ports.dns", func(d *draft) *int { return &d.Ports.DNS }),
	num("ports.grpc", func(d *draft) *int { return &d.Ports.GRPC }),
	num("ports.grpc_tls", func(d *draft) *int { return &d.Ports.GRPCTLS }),
	num("ports.sidecar_min_port", func(d *draft) *int { return &d.Ports.SidecarMin }),
	num("ports.sidecar_max_port", func(d *draft) *int { return &d.Ports.SidecarMax }),
	str("unix_sockets.user", func(d *draft) *string { return &d.UnixSockets.User }),
	str("unix_sockets.group", func(d *draft) *string { return &d.UnixSockets.Group }),
	str("unix_sockets.mode", func(d *draft) *string { return &d.UnixSockets.Mode }),
	onOff("translate_wan_addrs", func(d *draft) *bool { return &d.TranslateWANAddr }),

	// Gossip.
	str("encrypt", func(d *draft) *string { return &d.encrypt }),
	onOff("encrypt_verify_incoming", func(d *draft) *bool { return &d.EncryptVerifyIncoming }),
	onOff("encrypt_verify_outgoing", func(d *draft) *bool { return &d.EncryptVerifyOutgoing }),
	onOff("disable_keyring_file", func(d *draft) *bool { return &d.DisableKeyringFile }),
	dur("gossip_lan.gossip_interval", func(d *draft) *time.Duration { return &d.GossipLAN.GossipInterval }),
	num("gossip_lan.gossip_nodes", func(d *draft) *int { return &d.GossipLAN.GossipNodes }),
	dur("gossip_lan.probe_interval", func(d *draft) *time.Duration { return &d.GossipLAN.ProbeInterval }),
	dur("gossip_lan.probe_timeout", func(d *draft) *time.Duration { return &d.GossipLAN.ProbeTimeout }),
	num("gossip_lan.retransmit_mult", func(d *draft) *int { return &d.GossipLAN.RetransmitMult }),
	num("gossip_lan.suspicion_mult", func(d *draft) *int { return &d.GossipLAN.SuspicionMult }),
	dur("gossip_wan.gossip_interval", func(d *draft) *time.Duration { return &d.GossipWAN.GossipInterval }),
	num("gossip_wan.gossip_nodes", func(d *draft) *int { return &d.GossipWAN.GossipNodes }),
	dur("gossip_wan.probe_interval", func(d *draft) *time.Duration { return &d.GossipWAN.ProbeInterval }),
	dur("gossip_wan.probe_timeout", func(d *draft) *time.Duration { return &d.GossipWAN.ProbeTimeout }),
	num("gossip_wan.retransmit_mult", func(d *draft) *int { return &d.GossipWAN.RetransmitMult }),
	num("gossip_wan.suspicion_mult", func(d *draft) *int { return &d.GossipWAN.SuspicionMult }),
	dur("reconnect_timeout", func(d *draft) *time.Duration { return &d.ReconnectTimeoutLAN }),
	dur("reconnect_timeout_wan", func(d *draft) *time.Duration { return &d.ReconnectTimeoutWAN }),
	dur("advertise_reconnect_timeout", func(d *draft) *time.Duration { return &d.AdvertiseReconnectTTL }),
	onOff("disable_coordinates", func(d *draft) *bool { return &d.DisableCoordinates }),

	// Joining and leaving.
	strs("start_join", func(d *draft) *[]string { return &d.StartJoinLAN }),
	strs("start_join_wan", func(d *draft) *[]string { return &d.StartJoinWAN }),
	strs("retry_join", func(d *draft) *[]string { return &d.RetryJoinLAN.Addrs }),
	dur("retry_interval", func(d *draft) *time.Duration { return &d.RetryJoinLAN.Interval }),
	num("retry_max", func(d *draft) *int { return &d.RetryJoinLAN.MaxAttempts }),
	strs("retry_join_wan", func(d *draft) *[]string { return &d.RetryJoinWAN.Addrs }),
	dur("retry_interval_wan", func(d *draft) *time.Duration { return &d.RetryJoinWAN.Interval }),
	num("retry_max_wan", func(d *draft) *int { return &d.RetryJoinWAN.MaxAttempts }),
	onOff("rejoin_after_leave", func(d *draft) *bool { return &d.RejoinAfterLeave }),
	onOff("leave_on_terminate", func(d *draft) *bool { return &d.LeaveOnTerm }),
	onOff("skip_leave_on_interrupt", func(d *draft) *bool { return &d.SkipLeaveOnInt }),
	dur("performance.leave_drain_time", func(d *draft) *time.Duration { return &d.LeaveDrainTime }),

	// Consensus and state.
	num("performance.raft_multiplier", func(d *draft) *int { return &d.Raft.Multiplier }),
	dur("performance.rpc_hold_timeout", func(d *draft) *time.Duration { return &d.RPCHoldTimeout }),
	num("raft_snapshot_threshold", func(d *draft) *int { return &d.Raft.SnapshotThreshold }),
	dur("raft_snapshot_interval", func(d *draft) *time.Duration { return &d.Raft.SnapshotInterval }),
	num("raft_trailing_logs", func(d *draft) *int { return &d.Raft.TrailingLogs }),
	num("protocol", func(d *draft) *int { return &d.Protocol }),
	num("raft_protocol", func(d *draft) *int { return &d.RaftProtocol }),
	onOff("autopilot.cleanup_dead_servers", func(d *draft) *bool { return &d.Autopilot.CleanupDeadServers }),
	dur("autopilot.last_contact_threshold", func(d *draft) *time.Duration { return &d.Autopilot.LastContactThreshold }),
	num("autopilot.max_trailing_logs", func(d *draft) *int { return &d.Autopilot.MaxTrailingLogs }),
	num("autopilot.min_quorum", func(d *draft) *int { return &d.Autopilot.MinQuorum }),
	dur("autopilot.server_stabilization_time", func(d *draft) *time.Duration { return &d.Autopilot.ServerStabilizationTime }),
	dur("tombstone_ttl", func(d *draft) *time.Duration { return &d.TombstoneTTL }),
	dur("session_ttl_min", func(d *draft) *time.Duration { return &d.SessionTTLMin }),

	// Calls and limits.
	dur("default_query_time", func(d *draft) *time.Duration { return &d.DefaultQueryTime }),
	dur("max_query_time", func(d *draft) *time.Duration { return &d.MaxQueryTime }),
	num("limits.http_max_conns_per_client", func(d *draft) *int { return &d.Limits.HTTPMaxConnsPerClient }),
	dur("limits.https_handshake_timeout", func(d *draft) *time.Duration { return &d.Limits.HTTPSHandshakeTimeout }),
	num("limits.rpc_max_conns_per_client", func(d *draft) *int { return &d.Limits.RPCMaxConnsPerClient }),
	dur("limits.rpc_handshake_timeout", func(d *draft) *time.Duration { return &d.Limits.RPCHandshakeTimeout }),
	dur("limits.rpc_client_timeout", func(d *draft) *time.Duration { return &d.Limits.RPCClientTimeout }),
	num("limits.kv_max_value_size", func(d *draft) *int { return &d.Limits.KVMaxValueSize }),
	num("limits.txn_max_req_len", func(d *draft) *int { return &d.Limits.TxnMaxReqLen }),
	strMap("http_config.response_headers", func(d *draft) *map[string]string { return &d.HTTP.ResponseHeaders }),
	strs("http_config.block_endpoints", func(d *draft) *[]string { return &d.HTTP.BlockEndpoints }),
	strs("http_config.allow_write_http_from", func(d *draft) *[]string { return &d.HTTP.AllowWriteFrom }),
	num("http_config.max_header_bytes", func(d *draft) *int { return &d.HTTP.MaxHeaderBytes }),
	onOff("http_config.use_cache", func(d *draft) *bool { return &d.HTTP.UseCache }),
	fraction("cache.entry_fetch_rate", func(d *draft) *float64 { return &d.Cache.EntryFetchRate }),
	num("cache.entry_fetch_max_burst", func(d *draft) *int { return &d.Cache.EntryFetchMaxBurst }),

	// The agent's own tokens.
	onOff("acl.enabled", func(d *draft) *bool { return &d.ACL.Enabled }),
	onOff("acl.enable_token_persistence", func(d *draft) *bool { return &d.ACL.EnableTokenPersistence }),
	str("acl.tokens.default", func(d *draft) *string { return &d.ACL.Tokens.Default }),
	str("acl.tokens.agent", func(d *draft) *string { return &d.ACL.Tokens.Agent }),
	str("acl.tokens.agent_recovery", func(d *draft) *string { return &d.ACL.Tokens.AgentRecovery }),
	str("acl.tokens.replication", func(d *draft) *string { return &d.ACL.Tokens.Replication }),
	str("acl.tokens.config_file_service_registration", func(d *draft) *string { return &d.ACL.Tokens.ConfigFileServiceRegistration }),
	str("acl.tokens.dns", func(d *draft) *string { return &d.ACL.Tokens.DNS }),

	// Logs and metrics.
	str("log_level", func(d *draft) *string { return &d.Log.Level }),
	onOff("log_json", func(d *draft) *bool { return &d.Log.JSON }),
	str("log_file", func(d *draft) *string { return &d.Log.File }),
	num("log_rotate_bytes", func(d *draft) *int { return &d.Log.RotateBytes }),
	dur("log_rotate_duration", func(d *draft) *time.Duration { return &d.Log.RotateDuration }),
	num("log_rotate_max_files", func(d *draft) *int { return &d.Log.RotateMaxFiles }),
	onOff("enable_syslog", func(d *draft) *bool { return &d.Log.Syslog }),
	str("syslog_facility", func(d *draft) *string { return &d.Log.SyslogFacility }),
	str("telemetry.metrics_prefix", func(d *draft) *string { return &d.Telemetry.MetricsPrefix }),
	onOff("telemetry.disable_hostname", func(d *draft) *bool { return &d.Telemetry.DisableHostname }),
	dur("telemetry.prometheus_retention_time", func(d *draft) *time.Duration { return &d.Telemetry.PrometheusRetention }),
	onOff("telemetry.filter_default", func(d *draft) *bool { return &d.Telemetry.FilterDefault }),
	strs("telemetry.prefix_filter", func(d *draft) *[]string { return &d.Telemetry.PrefixFilter }),

	// Checks and DNS.
	onOff("enable_script_checks", func(d *draft) *bool { return &d.EnableScriptChecks }),
	onOff("enable_local_script_checks", func(d *draft) *bool { return &d.EnableLocalScriptChecks }),
	strs("recursors", func(d *draft) *[]string { return &d.Recursors }),
	onOff("disable_remote_exec", func(d *draft) *bool { return &d.DisableRemoteExec }),
	onOff("enable_agent_tls_for_checks", func(d *draft) *bool { return &d.EnableAgentTLSForChecks }),
	num("check_output_max_size", func(d *draft) *int { return &d.CheckOutputMaxSize }),
	onOff("discard_check_output", func(d *draft) *bool { return &d.DiscardCheckOutput }),
	dur("check_update_interval", func(d *draft) *time.Duration { return &d.CheckUpdateInterval }),
	onOff("dns_config.allow_stale", func(d *draft) *bool { return &d.DNS.AllowStale }),
	dur("dns_config.max_stale", func(d *draft) *time.Duration { return &d.DNS.MaxStale }),
	onOff("dns_config.use_cache", func(d *draft) *bool { return &d.DNS.UseCache }),
	dur("dns_config.cache_max_age", func(d *draft) *time.Duration { return &d.DNS.CacheMaxAge }),
	dur("dns_config.node_ttl", func(d *draft) *time.Duration { return &d.DNS.NodeTTL }),
	durMap("dns_config.service_ttl", func(d *draft) *map[string]time.Duration { return &d.DNS.ServiceTTL }),
	onOff("dns_config.only_passing", func(d *draft) *bool { return &d.DNS.OnlyPassing }),
	num("dns_config.udp_answer_limit", func(d *draft) *int { return &d.DNS.UDPAnswerLimit }),
	num("dns_config.a_record_limit", func(d *draft) *int { return &d.DNS.ARecordLimit }),
	onOff("dns_config.enable_truncate", func(d *draft) *bool { return &d.DNS.EnableTruncate }),
	onOff("dns_config.disable_compression", func(d *draft) *bool { return &d.DNS.DisableCompression }),
	onOff("dns_config.enable_additional_node_meta_txt", func(d *draft) *bool { return &d.DNS.NodeMetaTXT }),
	str("dns_config.recursor_strategy", func(d *draft) *string { return &d.DNS.RecursorStrategy }),
	dur("dns_config.recursor_timeout", func(d *draft) *time.Duration { return &d.DNS.RecursorTimeout }),
	num("dns_config.soa.refresh", func(d *draft) *int { return &d.DNS.SOA.Refresh }),
	num("dns_config.soa.retry", func(d *draft) *int { return &d.DNS.SOA.Retry }),
	num("dns_config.soa.expire", func(d *draft) *int { return &d.DNS.SOA.Expire }),
	num("dns_config.soa.min_ttl", func(d *draft) *int { return &d.DNS.SOA.MinTTL }),
	dur("check_reap_interval", func(d *draft) *time.Duration { return &d.CheckReapInterval }),
	dur("check_deregister_interval_min", func(d *draft) *time.Duration { return &d.CheckDeregisterMin }),
	definitions("service", "service"), definitions("services", "service"),
	definitions("check", "check"), definitions("checks", "check"),
	watches("watches"),
	links("replicate"),

	// The mesh.
	onOff("connect.enabled", func(d *draft) *bool { return &d.Connect.Enabled }),
	str("connect.ca_provider", func(d *draft) *string { return &d.Connect.CAProvider }),
	asWritten("connect.ca_config", func(d *draft) *map[string]any { return &d.Connect.CAConfig }),
	bootstrapEntries("config_entries.bootstrap"),

	// Certificates: the older keys, then the stanza.
	tlsSection("", func(d *draft) *tlsKeys { return &d.tls.legacy }),
	[]key{
		optOnOff("verify_incoming_rpc", func(d *draft) **bool { return &d.tls.verifyIncomingRPC }),
		optOnOff("verify_incoming_https", func(d *draft) **bool { return &d.tls.verifyIncomingHTTPS }),
		str("server_name", func(d *draft) *string { return &d.TLS.ServerName }),
	},
	tlsSection("tls.defaults.", func(d *draft) *tlsKeys { return &d.tls.defaults }),
	tlsSection("tls.internal_rpc.", func(d *draft) *tlsKeys { return &d.tls.internalRPC }),
	tlsSection("tls.https.", func(d *draft) *tlsKeys { return &d.tls.https }),
	tlsSection("tls.grpc.", func(d *draft) *tlsKeys { return &d.tls.grpc }),
)

// tlsSection is the keys that each interface of the tls stanza has.
func tlsSection(prefix string, at func(*draft) *tlsKeys) []key {
	return []key{
		optStr(prefix+"ca_file", func(d *draft) **string { return &at(d).caFile }),
		optStr(prefix+"ca_path", func(d *draft) **string { return &at(d).caPath }),
		optStr(prefix+"cert_file", func(d *draft) **string { return &at(d).certFile }),
		optStr(prefix+"key_file", func(d *draft) **string { return &at(d).keyFile }),
		optStr(prefix+"tls_min_version", func(d *draft) **string { return &at(d).minVersion }),
		cipherKey(prefix+"tls_cipher_suites", func(d *draft) *[]string { return &at(d).cipherSuites }),
		optOnOff(prefix+"verify_incoming", func(d *draft) **bool { return &at(d).verifyIncoming }),
		optOnOff(prefix+"verify_outgoing", func(d *draft) **bool { return &at(d).verifyOutgoing }),
		optOnOff(prefix+"verify_server_hostname", func(d *draft) **bool { return &at(d).verifyServerHostname }),
	}
}

// cipherKey is one string of names with commas between, unlike other lists.
func cipherKey(name string, at func(*draft) *[]string) key {
	return key{name, scalar, func(d *draft, v any) error {
		s, err := toString(v)
		if err == nil {
			*at(d) = strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
		}
		return err
	}}
}

// asWritten keeps a table whose keys others know.
func asWritten(name string, at func(*draft) *map[string]any) key {
	return key{name, object, func(d *draft, v any) error {
		bodies, err := toObjects(v)
		if err != nil {
			return err
		}
		for _, body := range bodies {
			if *at(d) == nil {
				*at(d) = map[string]any{}
			}
			maps.Copy(*at(d), body)
		}
		return nil
	}}
}

// bootstrapEntries keeps config entries as they are written.
func bootstrapEntries(name string) key {
	return key{name, object, func(d *draft, v any) error {
		bodies, err := toObjects(v)
		if err != nil {
			return err
		}
		for _, body := range bodies {
			d.BootstrapEntries = append(d.BootstrapEntries, Definition{Kind: "config entry", Source: d.origin[name], Body: body})
		}
		return nil
	}}
}

// definitions keeps services and checks as they are written: a single one, a
// list, or repeated blocks.
func definitions(name, what string) key {
	return key{name, object, func(d *draft, v any) error {
		bodies, err := toObjects(v)
		if err != nil {
			return err
		}
		for _, body := range bodies {
			d.Definitions = append(d.Definitions, Definition{Kind: what, Source: d.origin[name], Body: body})
		}
		return nil
	}}
}

// watches keeps watches as they are written, each under its place in the file.
func watches(name string) key {
	return key{name, object, func(d *draft, v any) error {
		bodies, err := toObjects(v)
		if err != nil {
			return err
		}
		for i, body := range bodies {
			d.Watches = append(d.Watches, Definition{Kind: fmt.Sprintf("%s[%d]", name, i), Source: d.origin[name], Body: body})
		}
		return nil
	}}
}

// links keeps replication links as they are written, each under its place in the file.
func links(name string) key {
	return key{name, object, func(d *draft, v any) error {
		bodies, err := toObjects(v)
		if err != nil {
			return err
		}
		for _, body := range bodies {
			d.Links = append(d.Links, Definition{Kind: fmt.Sprintf("%s[%d]", name, len(d.Links)), Source: d.origin[name], Body: body})
		}
		return nil
	}}
}

// index builds the table; it takes single keys and groups of them.
func index(items ...any) map[string]key {
	out := map[string]key{}
	for _, item := range items {
		switch item := item.(type) {
		case key:
			out[item.name] = item
		case []key:
			for _, k := range item {
				out[k.name] = k
			}
		}
	}
	return out
}
