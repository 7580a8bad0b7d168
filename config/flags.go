package config

import (
	"errors"
	"flag"
	"fmt"
	"strings"
)

// flagKeys are the agent's flags: each sets the key beside it.
var flagKeys = []struct{ name, key, usage string }{
	{"advertise", "advertise_addr", "Address that other agents reach this one at."},
	{"advertise-wan", "advertise_addr_wan", "Address that servers of other datacenters reach this server at."},
	{"alt-domain", "alt_domain", "A second domain for DNS."},
	{"bind", "bind_addr", "Address for traffic between agents."},
	{"bootstrap", "bootstrap", "Elect this server at once, alone."},
	{"bootstrap-expect", "bootstrap_expect", "Servers that must have met before the first election."},
	{"client", "client_addr", "Addresses of the HTTP API, separated by spaces."},
	{"data-dir", "data_dir", "Folder for everything that must survive a restart."},
	{"datacenter", "datacenter", "Datacenter of this agent."},
	{"default-query-time", "default_query_time", "How long a blocking query waits when it does not say."},
	{"disable-host-node-id", "disable_host_node_id", "Make a random node ID instead of one derived from the host."},
	{"disable-keyring-file", "disable_keyring_file", "Do not keep gossip keys on disk."},
	{"dns-port", "ports.dns", "Port of DNS."},
	{"domain", "domain", "Domain of DNS."},
	{"enable-local-script-checks", "enable_local_script_checks", "Allow checks that run scripts, from files only."},
	{"enable-script-checks", "enable_script_checks", "Allow checks that run scripts."},
	{"encrypt", "encrypt", "Gossip key: 16, 24 or 32 bytes in base64."},
	{"grpc-port", "ports.grpc", "Port of gRPC."},
	{"grpc-tls-port", "ports.grpc_tls", "Port of gRPC over TLS."},
	{"http-port", "ports.http", "Port of the HTTP API."},
	{"https-port", "ports.https", "Port of the HTTPS API."},
	{"join", "start_join", "Agent to join at start. May be repeated."},
	{"join-wan", "start_join_wan", "Server of another datacenter to join at start. May be repeated."},
	{"log-file", "log_file", "File that logs go to as well."},
	{"log-json", "log_json", "Write logs as JSON."},
	{"log-level", "log_level", "trace, debug, info, warn or error."},
	{"log-rotate-bytes", "log_rotate_bytes", "Size at which a new log file is begun."},
	{"log-rotate-duration", "log_rotate_duration", "Age at which a new log file is begun."},
	{"log-rotate-max-files", "log_rotate_max_files", "Old log files to keep; 0 keeps all."},
	{"max-query-time", "max_query_time", "Longest wait of a blocking query."},
	{"node", "node_name", "Name of this node; the host's name unless set."},
	{"node-id", "node_id", "UUID of this node."},
	{"node-meta", "node_meta", "key:value about this node. May be repeated."},
	{"non-voting-server", "non_voting_server", "Old name of -read-replica."},
	{"pid-file", "pid_file", "File to write the process ID to."},
	{"protocol", "protocol", "Protocol version."},
	{"raft-protocol", "raft_protocol", "Raft protocol version."},
	{"read-replica", "read_replica", "Make this server one that serves reads and has no vote."},
	{"recursor", "recursors", "Upstream DNS server. May be repeated."},
	{"rejoin", "rejoin_after_leave", "Rejoin the cluster even after having left it."},
	{"retry-interval", "retry_interval", "Longest pause between attempts to join."},
	{"retry-interval-wan", "retry_interval_wan", "Longest pause between attempts to join over the WAN."},
	{"retry-join", "retry_join", "Agent to join, tried until it answers. May be repeated."},
	{"retry-join-wan", "retry_join_wan", "Server of another datacenter to join, tried until it answers. May be repeated."},
	{"retry-max", "retry_max", "Attempts to join before giving up; 0 means for ever."},
	{"retry-max-wan", "retry_max_wan", "Attempts to join over the WAN before giving up; 0 means for ever."},
	{"serf-lan-bind", "serf_lan", "Address for LAN gossip."},
	{"serf-lan-port", "ports.serf_lan", "Port of LAN gossip."},
	{"serf-wan-bind", "serf_wan", "Address for WAN gossip."},
	{"serf-wan-port", "ports.serf_wan", "Port of WAN gossip; -1 turns it off."},
	{"server", "server", "Run as a server."},
	{"server-port", "ports.server", "Port of RPC between agents and servers."},
	{"syslog", "enable_syslog", "Log to syslog as well."},
	{"ui", "ui_config.enabled", "Serve the web page at /ui/."},
	{"dc", "datacenter", "Old name of -datacenter."},
}

// ignoredFlags are those of Consul that have nothing behind them here yet. The
// value says whether one takes an argument.
var ignoredFlags = map[string]bool{
	"allow-write-http-from": true, "auto-reload-config": false, "check_output_max_size": true,
	"primary-gateway": true, "segment": true, "serf-lan-allowed-cidrs": true, "serf-wan-allowed-cidrs": true,
	"ui-content-path": true, "ui-dir": true, "atlas": true, "atlas-token": true, "atlas-join": false,
	"atlas-endpoint": true, "rpc-port": true,
}

// Flags is what the command line of an agent said.
type Flags struct {
	dev       bool
	format    string
	paths     []string // of -config-file and -config-dir, in the order given
	fragments []string
	values    []flagValue
	ignored   []string
}

type flagValue struct {
	flag, key string
	value     any
}

// Register adds the agent's flags to fs.
func Register(fs *flag.FlagSet) *Flags {
	f := &Flags{}
	path := func(s string) error {
		if s == "" {
			return errors.New("is empty: name a file or a folder")
		}
		f.paths = append(f.paths, s)
		return nil
	}
	fs.Func("config-file", "`File` or folder with settings, .json or .hcl. May be repeated.", path)
	fs.Func("config-dir", "`Folder` whose .json and .hcl files are read in alphabetical order. May be repeated.", path)
	fs.Func("config-format", "Read every file as `json` or `hcl`, whatever its name.", func(s string) error {
		if s != "json" && s != "hcl" {
			return errors.New("use json or hcl")
		}
		f.format = s
		return nil
	})
	fs.Func("hcl", "A `fragment` of settings in HCL. May be repeated.", func(s string) error {
		f.fragments = append(f.fragments, s)
		return nil
	})
	fs.BoolVar(&f.dev, "dev", false, "Development mode: a server alone on 127.0.0.1 that keeps its data in memory.")
	for _, def := range flagKeys {
		f.register(fs, def.name, def.key, def.usage)
	}
	for name, takes := range ignoredFlags {
		note := func(string) error { f.ignored = append(f.ignored, name); return nil }
		if takes {
			fs.Func(name, "Known, and ignored.", note)
		} else {
			fs.BoolFunc(name, "Known, and ignored.", note)
		}
	}
	return f
}

func (f *Flags) register(fs *flag.FlagSet, name, path, usage string) {
	k := keys[path]
	take := func(s string) error {
		var value any = s
		if k.kind == table {
			left, right, ok := strings.Cut(s, ":")
			if !ok || left == "" {
				return errors.New("write it as key:value")
			}
			value = map[string]any{left: right}
		}
		// A mistake is told at the flag, before any file is read.
		if err := k.set(newDraft(false), value); err != nil {
			return err
		}
		f.values = append(f.values, flagValue{name, path, value})
		return nil
	}
	if k.kind == boolean {
		fs.BoolFunc(name, usage, take)
		return
	}
	fs.Func(name, usage, take)
}

// Load reads the files and merges everything. It can be called again, to
// reload. The warnings are whole sentences for the log; on an error the Config
// is nil, and the error joins every mistake found.
func (f *Flags) Load() (*Config, []string, error) {
	d, errs := f.read()
	return d.finish(errs)
}

// Draft is what the files and flags say, mistakes and all, or nil if a file cannot be
// read. It is there to look for further mistakes, in definitions; no agent is to be run
// from it.
func (f *Flags) Draft() *Config {
	d, errs := f.read()
	if errs.unread() {
		return nil
	}
	return &d.Config
}

// read merges everything, with what went wrong on the way.
func (f *Flags) read() (*draft, mistakes) {
	d := newDraft(f.dev)
	var errs []error
	for _, path := range f.paths {
		sources, err := readPath(path, f.format)
		if err != nil {
			errs = append(errs, err)
		}
		for _, src := range sources {
			errs = append(errs, d.read(src)...)
		}
	}
	for i, text := range f.fragments {
		errs = append(errs, d.read(source{fmt.Sprintf("-hcl (number %d)", i+1), "hcl", []byte(text)})...)
	}
	for _, v := range f.values {
		d.set((*mistakes)(&errs), "-"+v.flag, v.key, v.value)
		if v.flag == "dc" {
			d.warn("-dc is an old name: write -datacenter")
		}
	}
	for _, name := range f.ignored {
		d.warn("-%s was ignored: it is not supported yet", name)
	}
	return d, errs
}

// Load reads files and folders alone, as for checking them.
func Load(paths ...string) (*Config, []string, error) {
	return (&Flags{paths: paths}).Load()
}

// ExplainFlag adds to the error of fs.Parse, for a flag that is not known, the
// nearest one that is.
func ExplainFlag(fs *flag.FlagSet, err error) error {
	const undefined = "flag provided but not defined: -"
	if err == nil || !strings.HasPrefix(err.Error(), undefined) {
		return err
	}
	var names []string
	fs.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
	name := strings.TrimLeft(strings.TrimPrefix(err.Error(), undefined), "-")
	if near := Nearest(name, names); near != "" {
		return fmt.Errorf("unknown flag -%s: did you mean -%s?", name, near)
	}
	return fmt.Errorf("unknown flag -%s: -h shows those that there are", name)
}
