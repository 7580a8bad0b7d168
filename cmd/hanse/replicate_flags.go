package main

import (
	"flag"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/replicate"
	replicatehttp "github.com/hanse-project/hanse/replicate/http"
)

// replicateSettings is what flags and files say.
type replicateSettings struct {
	client    *clientFlags
	auth      string
	ssl       bool
	sslVerify bool

	files    []string
	prefixes []replicate.Link
	excludes []string

	once, dryRun, version bool
	allowMassDelete       bool
	maxDeleteFraction     float64
	maxStale              time.Duration
	verifyInterval        time.Duration
	repair                bool
	quiet                 quietValue
	retryEnabled          bool
	retry                 replicate.Retry
	statusPath            string
	lock                  bool
	lockTTL               time.Duration

	metricsAddr    string
	pidFile        string
	logLevel       levelValue
	syslog         bool
	syslogFacility string
	killSignal     signalValue
}

// replicateFlags declares the flags, under the names that consul-replicate has too.
func replicateFlags(fs *flag.FlagSet) *replicateSettings {
	s := &replicateSettings{
		client: agentFlags(fs), sslVerify: true, retryEnabled: true, maxDeleteFraction: replicate.DefaultMaxDeleteFraction,
		verifyInterval: 10 * time.Minute, repair: true,
		retry:    replicate.Retry{Base: 250 * time.Millisecond, Max: time.Second},
		logLevel: levelValue{hclog.Info}, killSignal: signalValue{syscall.SIGINT},
	}
	fs.Func("prefix", "A `link` SOURCE@DC[:DESTINATION]; may be repeated. Keys keep their names\n      without a destination.", func(v string) error {
		link, err := replicate.ParseLink(v)
		s.prefixes = append(s.prefixes, link)
		return err
	})
	fs.Func("exclude", "A `prefix` of source keys to leave alone at both ends; may be repeated.", func(v string) error {
		s.excludes = append(s.excludes, v)
		return nil
	})
	fs.Func("config", "The `path` of an HCL or JSON file, or of a directory of them; may be\n      repeated. Flags go before files.", func(v string) error {
		s.files = append(s.files, v)
		return nil
	})
	fs.BoolVar(&s.once, "once", false, "Bring the destination in step and exit, with 0 if that was done.")
	fs.BoolVar(&s.dryRun, "dry-run", false, "Print what -once would write, and write nothing.")
	fs.BoolVar(&s.allowMassDelete, "allow-mass-delete", false, "Carry out deletes that are held. Best used for one run with -once.")
	fs.Float64Var(&s.maxDeleteFraction, "max-delete-fraction", s.maxDeleteFraction, "Hold deletes of at least 10 keys above this `share` of a link's keys, 0.5\n      by default.")
	fs.DurationVar(&s.maxStale, "max-stale", 0, "Let any server of the source answer that is at most this `duration` behind.")
	fs.DurationVar(&s.verifyInterval, "verify-interval", s.verifyInterval, "Compare both ends in the background this often, a `duration`; 10m by default,\n      0 for never. It takes a Hanse at both ends. See -repair.")
	fs.BoolVar(&s.repair, "repair", s.repair, "Put right what -verify-interval finds, or only count it; on by default.")
	fs.Var(&s.quiet, "wait", "Wait until the source was quiet for `min[:max]`, but not beyond max, which\n      is four times min by default.")
	fs.StringVar(&s.statusPath, "status-dir", replicate.DefaultStatusPath, "The `path` in the key/value store below which checkpoints are kept;\n      "+replicate.DefaultStatusPath+" by default.")
	fs.BoolVar(&s.lock, "lock", true, "Lock each link, so that of several daemons one is active and the next takes\n      over; on by default. A run with -once or -dry-run locks nothing.")
	fs.DurationVar(&s.lockTTL, "lock-ttl", replicatehttp.DefaultLockTTL, "The `duration` after which the lock of a daemon that fell silent runs out; 10s\n      by default, and at least. It can take twice as long.")
	fs.StringVar(&s.metricsAddr, "metrics-addr", "", "The `address` to serve Prometheus metrics at, such as 127.0.0.1:9107.")
	fs.StringVar(&s.pidFile, "pid-file", "", "The `path` of a file to keep our process ID in.")
	fs.Var(&s.logLevel, "log-level", "The `level` of the log: trace, debug, info (the default), warn or err.")
	fs.BoolVar(&s.syslog, "syslog", false, "Log to syslog too.")
	fs.StringVar(&s.syslogFacility, "syslog-facility", "LOCAL0", "The `facility` of -syslog, LOCAL0 by default.")
	fs.Var(&s.killSignal, "kill-signal", "A further `signal` that stops us: SIGINT and SIGTERM always do.")
	fs.BoolVar(&s.version, "version", false, "Print the version.")
	s.consulFlags(fs)
	return s
}

// consulFlags declares how to reach the agent, in the words of consul-replicate. Some
// are second names of the flags that every command has.
func (s *replicateSettings) consulFlags(fs *flag.FlagSet) {
	fs.StringVar(&s.client.addr, "consul-addr", "", "The same `address` as -http-addr.")
	fs.StringVar(&s.client.token, "consul-token", "", "The same `token` as -token.")
	fs.StringVar(&s.auth, "consul-auth", "", "A `user[:password]` for basic authentication.")
	fs.BoolVar(&s.retryEnabled, "consul-retry", true, "Repeat what fails; on by default.")
	fs.IntVar(&s.retry.Attempts, "consul-retry-attempts", 0, fmt.Sprintf("Give up after this `number` of failures in a row; 0, the default, means\n      never, and %d with -once.", onceAttempts))
	fs.DurationVar(&s.retry.Base, "consul-retry-backoff", s.retry.Base, "The first delay, a `duration`. It doubles with each failure; 250ms by\n      default.")
	fs.DurationVar(&s.retry.Max, "consul-retry-max-backoff", s.retry.Max, "The longest delay, a `duration`; 1s by default, 0 for no limit.")
	fs.BoolVar(&s.ssl, "consul-ssl", false, "Talk HTTPS to the agent.")
	fs.BoolVar(&s.sslVerify, "consul-ssl-verify", true, "Verify the agent's certificate; on by default.")
	fs.StringVar(&s.client.caFile, "consul-ssl-ca-cert", "", "The same `path` as -ca-file.")
	fs.StringVar(&s.client.caPath, "consul-ssl-ca-path", "", "The same `directory` as -ca-path.")
	fs.StringVar(&s.client.clientCert, "consul-ssl-cert", "", "The same `path` as -client-cert.")
	fs.StringVar(&s.client.clientKey, "consul-ssl-key", "", "The same `path` as -client-key.")
	fs.StringVar(&s.client.tlsServerName, "consul-ssl-server-name", "", "The same `name` as -tls-server-name.")
}

// links are the prefixes, each with all excludes.
func (s *replicateSettings) links() ([]replicate.Link, error) {
	switch {
	case s.lockTTL <= 0:
		return nil, usageError(fmt.Sprintf("-lock-ttl is %v: use 10s or more, or -lock=false to do without locks.", s.lockTTL))
	case s.verifyInterval < 0:
		return nil, usageError(fmt.Sprintf("-verify-interval is %v: use a positive duration, or 0 to compare nothing in the background.", s.verifyInterval))
	}
	if len(s.prefixes) == 0 {
		return nil, usageError("Nothing to replicate: give at least one -prefix, or a -config that has one.")
	}
	links := make([]replicate.Link, 0, len(s.prefixes))
	for _, link := range s.prefixes {
		link.Excludes = s.excludes
		links = append(links, link)
	}
	return links, nil
}

// quietValue is a flag that takes min[:max].
type quietValue struct{ replicate.Quiet }

func (v *quietValue) String() string { return "" }

func (v *quietValue) Set(s string) error {
	least, most, both := strings.Cut(s, ":")
	var err error
	if v.Min, err = time.ParseDuration(least); err != nil {
		return err
	}
	v.Max = 4 * v.Min
	if both {
		v.Max, err = time.ParseDuration(most)
	}
	return err
}

// levelValue is a flag that takes a log level.
type levelValue struct{ hclog.Level }

func (v *levelValue) String() string { return "" }

func (v *levelValue) Set(s string) error {
	if s = strings.ToLower(s); s == "err" {
		s = "error"
	}
	level := hclog.LevelFromString(s)
	if level == hclog.NoLevel {
		return fmt.Errorf("use trace, debug, info, warn or err")
	}
	v.Level = level
	return nil
}
