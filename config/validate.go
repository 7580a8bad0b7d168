package config

import (
	"errors"
	"iter"
	"maps"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Validate joins all the mistakes it finds, each a [Mistake] with its key and
// what to do. What [Load] returns has passed it.
func (c *Config) Validate() error { return errors.Join(c.mistakes()...) }

func (c *Config) mistakes() mistakes {
	var errs mistakes
	c.checkIdentity(&errs)
	c.checkRole(&errs)
	c.checkAddresses(&errs)
	c.checkPorts(&errs)
	c.checkNumbers(&errs)
	c.checkDNS(&errs)
	c.checkTLS(&errs)
	return errs
}

var (
	validDatacenter = regexp.MustCompile(`^[a-z0-9_-]+$`)
	validUUID       = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	validMetaKey    = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	validLabel      = regexp.MustCompile(`^[A-Za-z0-9-]+$`)
	validPrefix     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)
)

func (c *Config) checkIdentity(errs *mistakes) {
	for key, dc := range byKey(map[string]string{"datacenter": c.Datacenter, "primary_datacenter": c.PrimaryDatacenter}) {
		if !validDatacenter.MatchString(dc) || len(dc) > 63 {
			errs.add(key, "%q is not a name for a datacenter: use up to 63 letters, digits, dashes and underscores", dc)
		}
	}
	switch name := c.NodeName; {
	case name == "":
		errs.add("node_name", "cannot be empty: give this node a name")
	case len(name) > 128:
		errs.add("node_name", "is %d bytes long: use at most 128", len(name))
	case strings.ContainsFunc(name, badInNodeName):
		errs.add("node_name", "%q has spaces, quotes, slashes or control characters: use letters, digits, dashes and dots", name)
	}
	if c.NodeID != "" && !validUUID.MatchString(c.NodeID) {
		errs.add("node_id", "%q is not a UUID: write 36 characters such as 8c0e3f2a-1b7d-4c55-9a3e-0f6d2b1c4e7a, or leave it out", c.NodeID)
	}
	if c.Domain == "" {
		errs.add("domain", "cannot be empty: leave it out for \"consul\"")
	}
	checkNodeMeta(errs, c.NodeMeta)
	if c.BootstrapExpect < 0 {
		errs.add("bootstrap_expect", "is %d: it cannot be negative", c.BootstrapExpect)
	}
}

func badInNodeName(r rune) bool {
	return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune("/\\\"'`", r) || r == unicode.ReplacementChar
}

// dnsName tells whether each part of name can stand between dots in DNS.
func dnsName(name string) bool {
	for label := range strings.SplitSeq(name, ".") {
		if len(label) > 63 || !validLabel.MatchString(label) {
			return false
		}
	}
	return true
}

// The limits of node meta: the catalog of every server holds them.
const (
	maxMetaPairs = 64
	maxMetaKey   = 128
	maxMetaValue = 512
)

func checkNodeMeta(errs *mistakes, meta map[string]string) {
	if len(meta) > maxMetaPairs {
		errs.add("node_meta", "has %d pairs: at most %d are allowed", len(meta), maxMetaPairs)
	}
	for key, value := range byKey(meta) {
		switch {
		case key == "":
			errs.add("node_meta", "a key cannot be blank")
		case len(key) > maxMetaKey:
			errs.add("node_meta", "the key %.20q… is %d characters long: at most %d are allowed", key, len(key), maxMetaKey)
		case strings.HasPrefix(key, "consul-"):
			errs.add("node_meta", "the key %q begins with \"consul-\", which is reserved: rename it", key)
		case !validMetaKey.MatchString(key):
			errs.add("node_meta", "the key %q: use letters, digits, dashes and underscores", key)
		}
		if len(value) > maxMetaValue {
			errs.add("node_meta", "the value of %q is %d characters long: at most %d are allowed", key, len(value), maxMetaValue)
		}
	}
}

func (c *Config) checkRole(errs *mistakes) {
	if c.Bootstrap && !c.Server {
		errs.add("bootstrap", "'bootstrap = true' requires 'server = true': add it, or drop bootstrap")
	}
	if c.BootstrapExpect > 0 && !c.Server {
		errs.add("bootstrap_expect", "'bootstrap_expect > 0' requires 'server = true': add it, or drop bootstrap_expect")
	}
	if c.BootstrapExpect > 0 && c.Bootstrap {
		errs.add("bootstrap_expect", "'bootstrap_expect > 0' and 'bootstrap = true' are mutually exclusive: keep bootstrap_expect, on every server alike")
	}
	if c.ReadReplica && !c.Server {
		errs.add("read_replica", "requires 'server = true': add it, or drop read_replica")
	}
	if c.ReadReplica && c.Bootstrap {
		errs.add("read_replica", "a server without a vote cannot bootstrap: drop one of the two")
	}
	if c.DataDir == "" {
		if !c.DevMode {
			errs.add("data_dir", "cannot be empty: name a folder that survives a restart, or use -dev")
		}
	} else if info, err := os.Stat(c.DataDir); err == nil && !info.IsDir() {
		errs.add("data_dir", "%q is a file: name a folder", c.DataDir)
	}
	if len(c.StartJoinWAN)+len(c.RetryJoinWAN.Addrs) > 0 {
		key := "retry_join_wan"
		if len(c.StartJoinWAN) > 0 {
			key = "start_join_wan"
		}
		if !c.Server {
			errs.add(key, "only servers are in the WAN pool: add 'server = true', or drop %s", key)
		} else if c.Ports.SerfWAN < 0 {
			errs.add(key, "the WAN pool is off: set ports.serf_wan, or drop %s", key)
		}
	}
	if c.Protocol < 2 || c.Protocol > 3 {
		errs.add("protocol", "is %d: use 2 or 3", c.Protocol)
	}
	if c.RaftProtocol != 3 {
		errs.add("raft_protocol", "is %d: only 3 is supported", c.RaftProtocol)
	}
}

func (c *Config) checkAddresses(errs *mistakes) {
	for key, text := range byKey(map[string]string{"advertise_addr": c.AdvertiseAddrLAN, "advertise_addr_wan": c.AdvertiseAddrWAN}) {
		ip, err := netip.ParseAddr(text)
		if text != "" && err != nil {
			errs.add(key, "%q is not an IP address", text)
		} else if ip.IsValid() && (ip.IsUnspecified() || ip.IsMulticast()) {
			errs.add(key, "cannot be %s, which nobody can reach: name an address of this machine", text)
		}
	}
	for _, cidr := range c.HTTP.AllowWriteFrom {
		if _, err := netip.ParsePrefix(cidr); err != nil {
			errs.add("http_config.allow_write_http_from", "%q is not a network such as 10.0.0.0/8", cidr)
		}
	}
	for key, joins := range byKey(map[string][]string{
		"start_join": c.StartJoinLAN, "start_join_wan": c.StartJoinWAN,
		"retry_join": c.RetryJoinLAN.Addrs, "retry_join_wan": c.RetryJoinWAN.Addrs,
	}) {
		for _, addr := range joins {
			if strings.TrimSpace(addr) == "" {
				errs.add(key, "holds an empty address: remove it")
			} else if strings.Contains(addr, "provider=") {
				errs.add(key, "%q: looking up machines at a cloud provider is not supported: name addresses or a DNS name", addr)
			}
		}
	}
}

// byKey walks a map in the order of its keys, so that mistakes come in the same
// order each time.
func byKey[V any](m map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, key := range slices.Sorted(maps.Keys(m)) {
			if !yield(key, m[key]) {
				return
			}
		}
	}
}

// endpoint is one place the agent listens at.
type endpoint struct {
	key  string
	addr string
}

func (c *Config) endpoints() []endpoint {
	out := []endpoint{{"ports.serf_lan", hostPort(c.SerfBindAddrLAN, c.Ports.SerfLAN)}}
	if c.Server {
		out = append(out, endpoint{"ports.server", hostPort(c.BindAddr, c.Ports.Server)})
		if c.Ports.SerfWAN > 0 {
			out = append(out, endpoint{"ports.serf_wan", hostPort(c.SerfBindAddrWAN, c.Ports.SerfWAN)})
		}
	}
	for _, addr := range c.HTTPAddrs {
		out = append(out, endpoint{"ports.http", addr})
	}
	for _, addr := range c.HTTPSAddrs {
		out = append(out, endpoint{"ports.https", addr})
	}
	for _, addr := range c.DNSAddrs {
		out = append(out, endpoint{"ports.dns", addr})
	}
	return out
}

func (c *Config) checkPorts(errs *mistakes) {
	wrong := false
	check := func(key string, port int, canBeOff bool) {
		if port > 0 && port <= 65535 || canBeOff && port == -1 {
			return
		}
		wrong = true
		if canBeOff {
			errs.add(key, "is %d: use 1 to 65535, or -1 for off", port)
		} else {
			errs.add(key, "is %d: use 1 to 65535", port)
		}
	}
	check("ports.server", c.Ports.Server, false)
	check("ports.serf_lan", c.Ports.SerfLAN, false)
	check("ports.serf_wan", c.Ports.SerfWAN, true)
	check("ports.http", c.Ports.HTTP, true)
	check("ports.https", c.Ports.HTTPS, true)
	check("ports.dns", c.Ports.DNS, true)
	check("ports.grpc", c.Ports.GRPC, true)
	check("ports.grpc_tls", c.Ports.GRPCTLS, true)
	if low, high := c.Ports.SidecarMin, c.Ports.SidecarMax; low < 0 || high > 65535 || low > high {
		errs.add("ports.sidecar_min_port", "with ports.sidecar_max_port it makes the range of %d to %d: use 1 to 65535, the lower number first, or 0 for both", low, high)
	}
	if wrong {
		return
	}
	var seen []endpoint
	for _, e := range c.endpoints() {
		for _, other := range seen {
			if collide(e.addr, other.addr) {
				errs.add(e.key, "%s is already taken by %s: use another port or address", e.addr, other.key)
			}
		}
		seen = append(seen, e)
	}
}

// collide tells whether one machine cannot listen at both.
func collide(a, b string) bool {
	if a == b {
		return true
	}
	x, errX := netip.ParseAddrPort(a)
	y, errY := netip.ParseAddrPort(b)
	return errX == nil && errY == nil && x.Port() == y.Port() && (x.Addr().IsUnspecified() || y.Addr().IsUnspecified())
}

func (c *Config) checkNumbers(errs *mistakes) {
	positive := map[string]time.Duration{
		"retry_interval": c.RetryJoinLAN.Interval, "retry_interval_wan": c.RetryJoinWAN.Interval,
		"performance.rpc_hold_timeout": c.RPCHoldTimeout, "default_query_time": c.DefaultQueryTime,
		"max_query_time": c.MaxQueryTime, "tombstone_ttl": c.TombstoneTTL,
		"raft_snapshot_interval":           c.Raft.SnapshotInterval,
		"gossip_lan.probe_interval":        c.GossipLAN.ProbeInterval,
		"gossip_lan.probe_timeout":         c.GossipLAN.ProbeTimeout,
		"gossip_wan.probe_interval":        c.GossipWAN.ProbeInterval,
		"gossip_wan.probe_timeout":         c.GossipWAN.ProbeTimeout,
		"limits.rpc_client_timeout":        c.Limits.RPCClientTimeout,
		"limits.rpc_handshake_timeout":     c.Limits.RPCHandshakeTimeout,
		"limits.https_handshake_timeout":   c.Limits.HTTPSHandshakeTimeout,
		"autopilot.last_contact_threshold": c.Autopilot.LastContactThreshold,
		"check_reap_interval":              c.CheckReapInterval,
		"check_deregister_interval_min":    c.CheckDeregisterMin,
	}
	for key, d := range byKey(positive) {
		if d <= 0 {
			errs.add(key, "is %v: use a positive duration", d)
		}
	}
	notNegative := map[string]time.Duration{
		"performance.leave_drain_time": c.LeaveDrainTime, "log_rotate_duration": c.Log.RotateDuration,
		"session_ttl_min": c.SessionTTLMin, "telemetry.prometheus_retention_time": c.Telemetry.PrometheusRetention,
		"autopilot.server_stabilization_time": c.Autopilot.ServerStabilizationTime,
		"advertise_reconnect_timeout":         c.AdvertiseReconnectTTL,
		"check_update_interval":               c.CheckUpdateInterval,
		"gossip_lan.gossip_interval":          c.GossipLAN.GossipInterval,
		"gossip_wan.gossip_interval":          c.GossipWAN.GossipInterval,
	}
	for key, d := range byKey(notNegative) {
		if d < 0 {
			errs.add(key, "is %v: it cannot be negative", d)
		}
	}
	for key, d := range byKey(map[string]time.Duration{"reconnect_timeout": c.ReconnectTimeoutLAN, "reconnect_timeout_wan": c.ReconnectTimeoutWAN}) {
		if d != 0 && d < 8*time.Hour {
			errs.add(key, "is %v: use at least 8h, so that a machine that is down for a night comes back", d)
		}
	}
	if r := c.Cache.EntryFetchRate; r < 0 {
		errs.add("cache.entry_fetch_rate", "is %v: use refreshes per second, or 0 for no bound", r)
	}
	for key, d := range byKey(map[string]time.Duration{"max_query_time": c.MaxQueryTime, "session_ttl_min": c.SessionTTLMin}) {
		if d > 24*time.Hour {
			errs.add(key, "is %v: use at most 24h", d)
		}
	}
	counts := map[string]int{
		"cache.entry_fetch_max_burst": c.Cache.EntryFetchMaxBurst,
		"gossip_lan.gossip_nodes":     c.GossipLAN.GossipNodes, "gossip_wan.gossip_nodes": c.GossipWAN.GossipNodes,
		"gossip_lan.retransmit_mult": c.GossipLAN.RetransmitMult, "gossip_wan.retransmit_mult": c.GossipWAN.RetransmitMult,
		"gossip_lan.suspicion_mult": c.GossipLAN.SuspicionMult, "gossip_wan.suspicion_mult": c.GossipWAN.SuspicionMult,
		"raft_snapshot_threshold": c.Raft.SnapshotThreshold, "raft_trailing_logs": c.Raft.TrailingLogs,
		"check_output_max_size":    c.CheckOutputMaxSize,
		"limits.kv_max_value_size": c.Limits.KVMaxValueSize, "limits.txn_max_req_len": c.Limits.TxnMaxReqLen,
	}
	for key, n := range byKey(counts) {
		if n < 1 {
			errs.add(key, "is %d: use at least 1", n)
		}
	}
	for key, n := range byKey(map[string]int{
		"retry_max": c.RetryJoinLAN.MaxAttempts, "retry_max_wan": c.RetryJoinWAN.MaxAttempts,
		"limits.http_max_conns_per_client": c.Limits.HTTPMaxConnsPerClient,
		"limits.rpc_max_conns_per_client":  c.Limits.RPCMaxConnsPerClient,
		"log_rotate_bytes":                 c.Log.RotateBytes,
		"autopilot.max_trailing_logs":      c.Autopilot.MaxTrailingLogs, "autopilot.min_quorum": c.Autopilot.MinQuorum,
	}) {
		if n < 0 {
			errs.add(key, "is %d: it cannot be negative", n)
		}
	}
	if m := c.Raft.Multiplier; m < 1 || m > 10 {
		errs.add("performance.raft_multiplier", "is %d: use 1 (quick) to 10 (patient)", m)
	}
	c.checkNames(errs)
}

func (c *Config) checkNames(errs *mistakes) {
	switch c.Log.Level {
	case "TRACE", "DEBUG", "INFO", "WARN", "ERROR":
	default:
		errs.add("log_level", "%q: use trace, debug, info, warn or error", c.Log.Level)
	}
	if !validPrefix.MatchString(c.Telemetry.MetricsPrefix) {
		errs.add("telemetry.metrics_prefix", "%q cannot begin a metric's name: use letters, digits and underscores", c.Telemetry.MetricsPrefix)
	}
	for _, rule := range c.Telemetry.PrefixFilter {
		if len(rule) < 2 || rule[0] != '+' && rule[0] != '-' {
			errs.add("telemetry.prefix_filter", "rule %q: use + or - and the beginning of a name, such as +consul.raft or -hanse_rpc", rule)
		}
	}
}

func (c *Config) checkTLS(errs *mistakes) {
	for _, i := range []struct {
		section string
		tls     TLSInterface
		server  bool // whether agents are dialled with it
		used    bool
	}{{"internal_rpc", c.TLS.InternalRPC, true, true}, {"https", c.TLS.HTTPS, false, len(c.HTTPSAddrs) > 0}} {
		if !i.used {
			continue
		}
		key, t := "tls."+i.section, i.tls
		hasCA := t.CAFile != "" || t.CAPath != ""
		hasCert := t.CertFile != "" && t.KeyFile != ""
		if (t.CertFile == "") != (t.KeyFile == "") {
			errs.add(key, "cert_file and key_file belong together: set both")
		}
		if t.VerifyIncoming && !hasCA {
			errs.add(key+".verify_incoming", "needs ca_file or ca_path, to check callers against")
		}
		if t.VerifyIncoming && !hasCert {
			errs.add(key+".verify_incoming", "needs cert_file and key_file, to answer callers with")
		}
		if i.server && t.VerifyOutgoing && !hasCA {
			errs.add(key+".verify_outgoing", "needs ca_file or ca_path, to check servers against")
		}
		switch t.MinVersion {
		case "TLSv1_0", "TLSv1_1", "TLSv1_2", "TLSv1_3":
		default:
			errs.add(key+".tls_min_version", "%q: use TLSv1_2 or TLSv1_3", t.MinVersion)
		}
	}
}
