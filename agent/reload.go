package agent

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/config"
	"github.com/hanse-project/hanse/tlsconf"
	"github.com/hanse-project/hanse/watch"
)

// Reload reads the configuration again and takes over what can change while the agent
// runs: the log level, how DNS answers, what the files of certificates hold, the agent's
// own tokens, services and checks, watches, and replication links. What would need a
// restart is named in the log. After an error everything is as before.
func (a *Agent) Reload() error {
	if a.opts.Load == nil {
		return errors.New("this agent was not started from a configuration that could be read again")
	}
	cfg, warnings, err := a.opts.Load()
	if err != nil {
		return fmt.Errorf("reload the configuration: %w", err)
	}
	if _, err := loadCertificates(a.cfg); err != nil {
		return fmt.Errorf("reload the certificates: %w", err)
	}
	watches, err := watch.ParseAll(cfg.Watches)
	if err != nil {
		return fmt.Errorf("reload the watches: %w", err)
	}
	links, err := ReadLinks(cfg)
	if err != nil {
		return fmt.Errorf("reload the replication links: %w", err)
	}
	if err := a.local.Load(cfg.Definitions); err != nil {
		return fmt.Errorf("reload the services and checks: %w", err)
	}
	if err := a.certs.reload(a.cfg); err != nil {
		return fmt.Errorf("reload the certificates: %w", err)
	}
	a.tokens.Configure(configuredTokens(cfg))
	a.watches.Set(watches)
	if s, isServer := a.role.(*serverRole); isServer {
		s.Want(links)
	}
	for _, w := range warnings {
		a.log.Warn(w)
	}
	a.dns.server.Apply(dnsSettings(cfg))
	a.log.SetLevel(hclog.LevelFromString(cfg.Log.Level))
	for _, key := range needsRestart(a.cfg, cfg) {
		a.log.Warn("a changed setting takes effect at the next start", "setting", key)
	}
	a.log.Info("Reloaded the configuration")
	return nil
}

// certificates are those of the interfaces.
type certificates struct{ rpc, https *tlsconf.Certificates }

func loadCertificates(cfg *config.Config) (c certificates, err error) {
	if c.rpc, err = tlsconf.New(tlsconf.Options(cfg.TLS.InternalRPC)); err != nil {
		return c, fmt.Errorf("tls.internal_rpc: %w", err)
	}
	if c.https, err = tlsconf.New(tlsconf.Options(cfg.TLS.HTTPS)); err != nil {
		return c, fmt.Errorf("tls.https: %w", err)
	}
	return c, nil
}

// reload reads the files again: all of them, or none if one is wrong.
func (c certificates) reload(cfg *config.Config) error {
	if _, err := loadCertificates(cfg); err != nil {
		return err
	}
	return errors.Join(c.rpc.Reload(), c.https.Reload())
}

// needsRestart names the settings that differ and that a reload does not take over.
func needsRestart(old, new *config.Config) []string {
	names := differing(nil, "", reflect.ValueOf(old).Elem(), reflect.ValueOf(new).Elem())
	slices.Sort(names)
	return slices.Compact(names)
}

// reloadable are the fields that a reload takes over, by their paths.
var reloadable = map[string]bool{
	"Log.Level": true, "Definitions": true, "Watches": true, "Links": true, "DNS": true, "Recursors": true,
	"ACL.Tokens.Default": true, "ACL.Tokens.Agent": true, "ACL.Tokens.AgentRecovery": true,
	"ACL.Tokens.Replication": true, "ACL.Tokens.ConfigFileServiceRegistration": true, "ACL.Tokens.DNS": true,
}

// differing adds the settings behind the fields at path that differ.
func differing(names []string, path string, old, new reflect.Value) []string {
	for i := range old.NumField() {
		field := old.Type().Field(i)
		at := path + field.Name
		switch a, b := old.Field(i), new.Field(i); {
		case reloadable[at]:
		case field.Type.Kind() == reflect.Struct:
			names = differing(names, at+".", a, b)
		case !reflect.DeepEqual(a.Interface(), b.Interface()):
			names = append(names, settingOf(at))
		}
	}
	return names
}

// settings are the names of settings, and the beginnings of such names, that do not
// follow from those of the fields.
var settings = map[string]string{
	"Server": "server", "UI": "ui_config.enabled", "DevMode": "-dev",
	"AdvertiseAddrLAN": "advertise_addr", "AdvertiseAddrWAN": "advertise_addr_wan", "ClientAddrs": "client_addr",
	"SerfBindAddrLAN": "serf_lan", "SerfBindAddrWAN": "serf_wan", "TranslateWANAddr": "translate_wan_addrs",
	"HTTPAddrs": "addresses.http", "HTTPSAddrs": "addresses.https", "DNSAddrs": "addresses.dns",
	"EncryptKey": "encrypt", "ReconnectTimeoutLAN": "reconnect_timeout", "ReconnectTimeoutWAN": "reconnect_timeout_wan",
	"StartJoinLAN": "start_join", "StartJoinWAN": "start_join_wan",
	"RetryJoinLAN.Addrs": "retry_join", "RetryJoinLAN.Interval": "retry_interval", "RetryJoinLAN.MaxAttempts": "retry_max",
	"RetryJoinWAN.Addrs": "retry_join_wan", "RetryJoinWAN.Interval": "retry_interval_wan", "RetryJoinWAN.MaxAttempts": "retry_max_wan",
	"LeaveOnTerm": "leave_on_terminate", "SkipLeaveOnInt": "skip_leave_on_interrupt",
	"LeaveDrainTime": "performance.leave_drain_time", "AdvertiseReconnectTTL": "advertise_reconnect_timeout",
	"Raft.Multiplier": "performance.raft_multiplier", "Raft.HeartbeatTimeout": "performance.raft_multiplier",
	"Raft.ElectionTimeout": "performance.raft_multiplier", "Raft.LeaderLeaseTimeout": "performance.raft_multiplier",
	"RPCHoldTimeout": "performance.rpc_hold_timeout", "HTTP.": "http_config.",
	"HTTP.AllowWriteFrom": "http_config.allow_write_http_from", "TLS.ServerName": "server_name",
	"Telemetry.PrometheusRetention": "telemetry.prometheus_retention_time",
	"Log.Syslog":                    "enable_syslog", "Log.SyslogFacility": "syslog_facility",
	"Ports.GRPCTLS": "ports.grpc_tls", "Ports.SidecarMin": "ports.sidecar_min_port", "Ports.SidecarMax": "ports.sidecar_max_port",
}

// inTLS are the fields of a TLS interface whose settings begin with tls.
var inTLS = strings.NewReplacer(".MinVersion", ".TLSMinVersion", ".CipherSuites", ".TLSCipherSuites")

// settingOf is the name of a setting in a file.
func settingOf(path string) string {
	if name, irregular := settings[path]; irregular {
		return name
	}
	section, field, nested := strings.Cut(inTLS.Replace(path), ".")
	if !nested {
		return snake(path)
	}
	if name, irregular := settings[section+"."]; irregular {
		return name + snake(field)
	}
	if section == "Raft" || section == "Log" { // which are no sections in a file
		return snake(section) + "_" + snake(field)
	}
	return snake(section) + "." + snake(field)
}

// snake writes HTTPMaxConnsPerClient as http_max_conns_per_client.
func snake(name string) string {
	letters := []rune(name)
	var out strings.Builder
	for i, r := range letters {
		begins := unicode.IsUpper(r) && i > 0 && letters[i-1] != '.' &&
			(unicode.IsLower(letters[i-1]) || i+1 < len(letters) && unicode.IsLower(letters[i+1]))
		if begins {
			out.WriteByte('_')
		}
		out.WriteRune(unicode.ToLower(r))
	}
	return out.String()
}
