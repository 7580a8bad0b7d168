package config

import "time"

// Config is what one agent runs with. It is complete: nothing in it has to be
// looked up or defaulted again. Treat it as read-only and shared.
type Config struct {
	// Who this agent is.
	Datacenter        string // lower case
	PrimaryDatacenter string // where ACLs will live; the agent's own unless set
	NodeName          string
	NodeID            string // "" means: the agent makes one and keeps it in DataDir
	DisableHostNodeID bool   // true: a made node ID is random, not derived from the host
	NodeMeta          map[string]string
	Domain            string // without dots at its ends, "consul" unless set
	AltDomain         string

	// What it does.
	Server          bool
	DevMode         bool
	Bootstrap       bool // elects itself at once; never together with BootstrapExpect
	BootstrapExpect int  // servers that must have met before the first election; 0 means none
	ReadReplica     bool
	DataDir         string // "" only in dev mode: everything stays in memory
	UI              bool
	EnableDebug     bool
	PidFile         string

	// Where it is. IPs are in text form; the lists hold "ip:port" or
	// "unix:///path" and are empty where the interface is off.
	BindAddr         string
	AdvertiseAddrLAN string
	AdvertiseAddrWAN string
	SerfBindAddrLAN  string
	SerfBindAddrWAN  string
	ClientAddrs      []string
	HTTPAddrs        []string
	HTTPSAddrs       []string
	DNSAddrs         []string
	Ports            Ports
	UnixSockets      UnixSockets
	TranslateWANAddr bool

	// Gossip.
	EncryptKey            []byte // 16, 24 or 32 bytes; nil means gossip in the clear
	EncryptVerifyIncoming bool
	EncryptVerifyOutgoing bool
	DisableKeyringFile    bool
	GossipLAN             Gossip
	GossipWAN             Gossip
	ReconnectTimeoutLAN   time.Duration // how long a failed member is tried again; 0 means 72h
	ReconnectTimeoutWAN   time.Duration
	DisableCoordinates    bool

	// Joining and leaving.
	StartJoinLAN          []string // tried once, and it is fatal when none answers
	StartJoinWAN          []string
	RetryJoinLAN          RetryJoin
	RetryJoinWAN          RetryJoin
	RejoinAfterLeave      bool
	LeaveOnTerm           bool // SIGTERM leaves the cluster first; true for clients unless set
	SkipLeaveOnInt        bool // SIGINT stops without leaving; true for servers unless set
	LeaveDrainTime        time.Duration
	AdvertiseReconnectTTL time.Duration

	// Consensus.
	Raft      Raft
	Autopilot Autopilot

	// Calls and limits.
	Limits           Limits
	RPCHoldTimeout   time.Duration // how long a call waits out an election
	DefaultQueryTime time.Duration // of a blocking query without ?wait
	MaxQueryTime     time.Duration
	TombstoneTTL     time.Duration // how long a deleted key keeps its index
	SessionTTLMin    time.Duration // 0 means 10s
	HTTP             HTTP
	Cache            Cache
	TLS              TLS

	// Access rules, of which only the agent's own tokens are here so far.
	ACL ACL

	// Logs and metrics.
	Log       Log
	Telemetry Telemetry

	// Checks, services and DNS.
	EnableScriptChecks      bool     // from files and from the HTTP API
	EnableLocalScriptChecks bool     // from files only
	Recursors               []string // ip:port of the DNS servers for other domains
	DNS                     DNS
	DisableRemoteExec       bool
	EnableAgentTLSForChecks bool          // checks show the agent's certificate, and trust its authorities
	CheckOutputMaxSize      int           // bytes of an output that are kept
	DiscardCheckOutput      bool          // outputs are not kept at all
	CheckUpdateInterval     time.Duration // how long an output alone waits for the catalog; 0 sends it at once
	CheckReapInterval       time.Duration // how often services are looked at that have been critical for long
	CheckDeregisterMin      time.Duration // the least deregister_critical_service_after that counts
	Definitions             []Definition  // services and checks found in the files
	Connect                 Connect
	BootstrapEntries        []Definition // config entries that a leader writes if they are not there
	Watches                 []Definition // watches, likewise
	Links                   []Definition // replication links that the leader runs, likewise

	// Versions of the protocols spoken.
	Protocol     int
	RaftProtocol int
}

// Ports are the configured port numbers; -1 means off.
type Ports struct {
	Server  int // RPC between agents and servers
	SerfLAN int
	SerfWAN int
	HTTP    int
	HTTPS   int
	DNS     int
	GRPC    int
	GRPCTLS int
	// SidecarMin to SidecarMax are given to sidecars that name no port; 0 gives none.
	SidecarMin int
	SidecarMax int
}

// UnixSockets is what a socket file of the HTTP API belongs to; "" leaves it
// as the operating system made it.
type UnixSockets struct {
	User  string // a numeric user ID
	Group string // a numeric group ID
	Mode  string // octal, such as "0700"
}

// Gossip is the timing of one pool.
type Gossip struct {
	GossipInterval time.Duration // 0 means only along with probes
	GossipNodes    int
	ProbeInterval  time.Duration
	ProbeTimeout   time.Duration
	RetransmitMult int
	SuspicionMult  int
}

// RetryJoin says whom to join and how long to keep trying.
type RetryJoin struct {
	Addrs       []string
	Interval    time.Duration // the longest pause between two tries
	MaxAttempts int           // 0 means for ever
}

// Raft is the timing of the log.
type Raft struct {
	Multiplier         int // what the timeouts below were scaled with
	HeartbeatTimeout   time.Duration
	ElectionTimeout    time.Duration
	LeaderLeaseTimeout time.Duration
	SnapshotThreshold  int           // entries between two snapshots
	SnapshotInterval   time.Duration // how often the threshold is looked at
	TrailingLogs       int           // entries kept behind a snapshot
}

// Autopilot is the upkeep of the set of servers.
type Autopilot struct {
	CleanupDeadServers      bool
	LastContactThreshold    time.Duration
	MaxTrailingLogs         int
	MinQuorum               int
	ServerStabilizationTime time.Duration
}

// Limits keep one client from starving the others. 0 means no limit, except
// where a size is meant.
type Limits struct {
	HTTPMaxConnsPerClient int
	HTTPSHandshakeTimeout time.Duration
	RPCMaxConnsPerClient  int
	RPCHandshakeTimeout   time.Duration
	RPCClientTimeout      time.Duration
	KVMaxValueSize        int // bytes
	TxnMaxReqLen          int // bytes of a transaction's JSON
}

// HTTP is what the HTTP API adds to or takes from its answers.
type HTTP struct {
	ResponseHeaders map[string]string
	BlockEndpoints  []string // path prefixes answered with 403
	AllowWriteFrom  []string // CIDRs; empty means from everywhere
	MaxHeaderBytes  int      // 0 or less means the library's 1 MiB
	UseCache        bool     // ?cached may be answered by the agent's cache
}

// Cache bounds how often the agent's cache asks the servers for news of one answer.
type Cache struct {
	EntryFetchRate     float64 // per second; 0 is no bound
	EntryFetchMaxBurst int     // how many may come at once before the rate holds
}

// TLS holds the certificates of each interface, after the defaults of the tls
// stanza and the older top-level keys were laid under them.
type TLS struct {
	InternalRPC TLSInterface
	HTTPS       TLSInterface
	GRPC        TLSInterface
	ServerName  string // replaces the node name in the certificate's check; "" means none
}

// TLSInterface is the certificates of one interface.
type TLSInterface struct {
	CAFile               string
	CAPath               string
	CertFile             string
	KeyFile              string
	MinVersion           string // TLSv1_2 or TLSv1_3
	CipherSuites         []string
	VerifyIncoming       bool
	VerifyOutgoing       bool
	VerifyServerHostname bool
}

// ACL is what an agent knows of access rules.
type ACL struct {
	Enabled                bool // tokens can be set over HTTP
	EnableTokenPersistence bool // and are kept in DataDir
	Tokens                 ACLTokens
}

// ACLTokens are the secrets of the agent's own tokens; "" is none.
type ACLTokens struct {
	Default                       string // where a request has none
	Agent                         string // for the agent's own work
	AgentRecovery                 string
	Replication                   string
	ConfigFileServiceRegistration string // for the definitions of files
	DNS                           string
}

// Log says how much is logged, and where to besides standard output.
type Log struct {
	Level          string // TRACE, DEBUG, INFO, WARN or ERROR
	JSON           bool
	File           string // a file, or a folder when it ends in a slash; "" means none
	RotateBytes    int    // 0 means no limit
	RotateDuration time.Duration
	RotateMaxFiles int // 0 keeps all, -1 none
	Syslog         bool
	SyslogFacility string
}

// Telemetry is what the metrics are called.
type Telemetry struct {
	MetricsPrefix       string
	DisableHostname     bool
	PrometheusRetention time.Duration
	FilterDefault       bool
	PrefixFilter        []string
}

// Connect is the mesh.
type Connect struct {
	Enabled    bool           // whether there is a certificate authority
	CAProvider string         // who makes the certificates; "" means the one that is built in
	CAConfig   map[string]any // as decoded, names as written
}

// Definition is a service, a check or a watch as it stood in a file.
type Definition struct {
	Kind   string         // "service", "check", or "watches[0]", "replicate[0]" and so on
	Source string         // the file
	Body   map[string]any // as decoded, names as written
}

// raftUnit is scaled by performance.raft_multiplier.
const raftUnit = 350 * time.Millisecond

// defaults are the settings of an agent that was told nothing.
func defaults() Config {
	return Config{
		Datacenter:            "dc1",
		DisableHostNodeID:     true,
		NodeMeta:              map[string]string{},
		Domain:                "consul",
		Connect:               Connect{Enabled: true},
		EncryptVerifyIncoming: true,
		EncryptVerifyOutgoing: true,
		Ports:                 Ports{Server: 8300, SerfLAN: 8301, SerfWAN: 8302, HTTP: 8500, HTTPS: -1, DNS: 8600, GRPC: -1, GRPCTLS: -1, SidecarMin: 21000, SidecarMax: 21255},
		GossipLAN:             Gossip{200 * time.Millisecond, 3, time.Second, 500 * time.Millisecond, 4, 4},
		GossipWAN:             Gossip{500 * time.Millisecond, 3, 5 * time.Second, 3 * time.Second, 4, 6},
		RetryJoinLAN:          RetryJoin{Interval: 30 * time.Second},
		RetryJoinWAN:          RetryJoin{Interval: 30 * time.Second},
		LeaveDrainTime:        5 * time.Second,
		Raft:                  Raft{Multiplier: 1, SnapshotThreshold: 16384, SnapshotInterval: 30 * time.Second, TrailingLogs: 10240},
		Autopilot:             Autopilot{CleanupDeadServers: true, LastContactThreshold: 200 * time.Millisecond, MaxTrailingLogs: 250, ServerStabilizationTime: 10 * time.Second},
		Limits: Limits{
			HTTPMaxConnsPerClient: 200, HTTPSHandshakeTimeout: 5 * time.Second,
			RPCMaxConnsPerClient: 100, RPCHandshakeTimeout: 5 * time.Second, RPCClientTimeout: time.Minute,
			KVMaxValueSize: 512 << 10, TxnMaxReqLen: 512 << 10,
		},
		RPCHoldTimeout:      7 * time.Second,
		DefaultQueryTime:    5 * time.Minute,
		MaxQueryTime:        10 * time.Minute,
		TombstoneTTL:        15 * time.Minute,
		HTTP:                HTTP{ResponseHeaders: map[string]string{}, UseCache: true},
		Cache:               Cache{EntryFetchMaxBurst: 2},
		Log:                 Log{Level: "INFO", RotateDuration: 24 * time.Hour, SyslogFacility: "LOCAL0"},
		Telemetry:           Telemetry{MetricsPrefix: "consul", FilterDefault: true},
		DisableRemoteExec:   true,
		CheckUpdateInterval: 5 * time.Minute,
		CheckOutputMaxSize:  4096,
		DNS:                 DefaultDNS(),
		CheckReapInterval:   30 * time.Second,
		CheckDeregisterMin:  time.Minute,
		Protocol:            2,
		RaftProtocol:        3,
	}
}

// devDefaults are those of -dev: a server alone on loopback, quick and talkative.
func devDefaults() Config {
	c := defaults()
	c.DevMode = true
	c.Server = true
	c.UI = true
	c.EnableDebug = true
	c.LeaveDrainTime = 0
	c.DisableKeyringFile = true
	c.Log.Level = "DEBUG"
	quick := Gossip{100 * time.Millisecond, 3, 100 * time.Millisecond, 100 * time.Millisecond, 4, 3}
	c.GossipLAN, c.GossipWAN = quick, quick
	return c
}
