package config

// later is what some Consul release knew and Hanse does not support yet, or no
// longer needs. Such a key, and all below it, is named in a warning that ends
// with the note. Nothing else happens.
var later = notes(map[string][]string{
	"ACLs are not supported yet, and every request is allowed": {
		"acl.default_policy", "acl.disabled_ttl", "acl.down_policy", "acl.enable_key_list_policy", "acl.enable_token_replication",
		"acl.msp_disable_bootstrap", "acl.policy_ttl", "acl.role_ttl", "acl.token_ttl", "acl.tokens.initial_management",
		"acl.tokens.managed_service_provider", "acl.tokens.master", "acl_default_policy", "acl_down_policy",
		"acl_enable_key_list_policy", "acl_enforce_version_8", "acl_master_token", "acl_ttl", "acl_enable_token_replication",
		"enable_acl_replication", "check_update_interval_acl",
	},
	"the service mesh is not supported yet": {
		"connect.enable_mesh_gateway_wan_federation", "connect.enable_serverless_plugin", "connect.proxy", "connect.proxy_defaults",
		"auto_config", "auto_encrypt", "enable_central_service_config", "peering", "primary_gateways",
		"primary_gateways_interval", "ports.proxy_min_port", "ports.proxy_max_port",
		"ports.expose_min_port", "ports.expose_max_port", "xds", "proxy", "tls.grpc.use_auto_cert",
		"enable_xds_load_balancing", "performance.enable_xds_load_balancing", "local_proxy_config_resync_interval",
	},
	"gRPC is not supported yet": {"addresses.grpc", "addresses.grpc_tls", "performance.grpc_keepalive_interval", "performance.grpc_keepalive_timeout"},
	"no such limit is kept yet": {
		"limits.rpc_rate", "limits.rpc_max_burst", "limits.request_limits", "rpc_rate", "rpc_max_burst",
	},
	"it belongs to Consul Enterprise": {
		"audit", "license_path", "license", "partition", "namespace", "segment", "segments", "reporting",
		"autopilot.redundancy_zone_tag", "autopilot.disable_upgrade_migration", "autopilot.upgrade_version_tag",
	},
	"it belongs to HashiCorp's own services": {"cloud", "atlas_infrastructure", "atlas_token", "atlas_acl_token", "atlas_join", "atlas_endpoint"},
	"metrics are read at /v1/agent/metrics, and nowhere else yet": {
		"telemetry.circonus_api_app", "telemetry.circonus_api_token", "telemetry.circonus_api_url",
		"telemetry.circonus_broker_id", "telemetry.circonus_broker_select_tag", "telemetry.circonus_check_display_name",
		"telemetry.circonus_check_force_metric_activation", "telemetry.circonus_check_id",
		"telemetry.circonus_check_instance_id", "telemetry.circonus_check_search_tag", "telemetry.circonus_check_tags",
		"telemetry.circonus_submission_interval", "telemetry.circonus_submission_url", "telemetry.dogstatsd_addr",
		"telemetry.dogstatsd_tags", "telemetry.statsd_address", "telemetry.statsite_address",
		"telemetry.retry_failed_connection", "telemetry.enable_host_metrics", "telemetry.enable_deprecated_names",
		"telemetry.disable_per_tenancy_usage_metrics", "telemetry.disable_compat_1.9", "telemetry.statsite_prefix",
		"telemetry.allowed_prefixes", "telemetry.blocked_prefixes",
		"statsd_addr", "statsite_addr", "statsd_address", "statsite_address", "statsite_prefix", "dogstatsd_addr", "dogstatsd_tags",
	},
	"it has no meaning here": {
		"disable_anonymous_signature", "disable_update_check", "disable_http_unprintable_char_filter", "reap",
		"raft_boltdb", "raft_logstore", "raft_pre_vote_disabled", "raft_prevote_disabled", "disable_kv_key_validation", "use_streaming_backend", "rpc",
		"experiments", "version", "revision", "version_prerelease", "version_metadata", "build_date",
		"tls_prefer_server_cipher_suites", "sync_coordinate_interval_min", "sync_coordinate_rate_target",
		"ae_interval", "server_rejoin_age_max", "locality", "limits.http_max_header_bytes",
	},
	"it is not supported yet": {
		"auto_reload_config", "discovery_max_stale", "serf_lan_allowed_cidrs", "serf_wan_allowed_cidrs",
		"serf_allowed_cidrs_lan", "serf_allowed_cidrs_wan", "advertise_addr_ipv6", "advertise_addr_wan_ipv6", "retry_join_ec2",
		"retry_join_gce", "retry_join_azure", "start_join_ipv6", "ui_config.dir", "ui_config.content_path",
		"ui_config.metrics_provider", "ui_config.metrics_provider_files", "ui_config.metrics_provider_options_json",
		"ui_config.metrics_proxy", "ui_config.dashboard_url_templates", "ui_content_path", "consul", "default_intention_policy",
		"alt_domains", "max_query_blocking_time", "dns_config.prefer_namespace",
	},
	"its place is http_config.response_headers": {"http_api_response_headers"},
	"Hanse brings its own page at /ui/":         {"ui_dir"},
	"the old RPC port is gone: use ports.http":  {"ports.rpc", "addresses.rpc"},
	"use advertise_addr and ports":              {"advertise_addrs"},
})

// aliases are names of old releases that still mean something. They work, with
// a warning that names today's.
var aliases = map[string]string{
	"client":         "client_addr",
	"bind":           "bind_addr",
	"serf_lan_bind":  "serf_lan",
	"serf_wan_bind":  "serf_wan",
	"recursor":       "recursors",
	"soa":            "dns_config.soa",
	"acl_datacenter": "primary_datacenter",

	"acl_token":               "acl.tokens.default",
	"acl_agent_token":         "acl.tokens.agent",
	"acl_agent_master_token":  "acl.tokens.agent_recovery",
	"acl_replication_token":   "acl.tokens.replication",
	"acl.tokens.agent_master": "acl.tokens.agent_recovery",
}

func notes(groups map[string][]string) map[string]string {
	out := map[string]string{}
	for note, names := range groups {
		for _, name := range names {
			out[name] = note
		}
	}
	return out
}
