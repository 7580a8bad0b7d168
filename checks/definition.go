package checks

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// How a check ended, and what it counts as.
const (
	Passing  = "passing"
	Warning  = "warning"
	Critical = "critical"
)

// Limits and what holds where a definition is silent, as documented for Consul.
const (
	// MinInterval is the shortest time between two turns; a shorter one is lengthened.
	MinInterval = time.Second
	// DefaultOutputMaxSize is how many bytes of an output are kept.
	DefaultOutputMaxSize = 4096

	defaultTimeout        = 10 * time.Second
	defaultProcessTimeout = 30 * time.Second
)

// Definition says how a check is made. One kind is meant; where fields of several are
// set, the first counts in the order ttl, alias, docker, script, http, tcp, udp, grpc,
// h2ping, os_service. The names of the fields are those of Consul's reference:
// https://developer.hashicorp.com/consul/docs/services/configuration/checks-configuration-reference.
type Definition struct {
	// Args is the command of a script, or what is run in the container DockerContainerID.
	Args              []string
	DockerContainerID string
	// Shell runs Args in a container; "" runs them as they are.
	Shell string

	HTTP             string // a URL
	Method           string // "" means GET
	Header           map[string][]string
	Body             string
	DisableRedirects bool

	TCP          string // host:port
	TCPUseTLS    bool
	UDP          string // host:port
	GRPC         string // host:port, or host:port/service
	GRPCUseTLS   bool
	H2Ping       string // host:port
	H2PingUseTLS bool

	// TLSServerName is the name to ask for and to verify; "" takes the host.
	TLSServerName string
	TLSSkipVerify bool

	OSService string // a unit of systemd

	// AliasService is the ID of a service, and AliasNode the name of its node; "" is this
	// one. A node alone stands for all checks of the node itself.
	AliasNode    string
	AliasService string
	// Token is what a remote node is asked with; "" is the agent's own.
	Token string

	TTL      time.Duration
	Interval time.Duration
	Timeout  time.Duration // 0 means 10 s, or 30 s for what runs a process

	SuccessBeforePassing   int
	FailuresBeforeWarning  int // 0 means FailuresBeforeCritical
	FailuresBeforeCritical int

	OutputMaxSize int // bytes; 0 means what the agent is set to
}

// Type is the kind of the check as it is shown, and "" if it has none.
func (d *Definition) Type() string {
	switch {
	case d.TTL > 0:
		return "ttl"
	case d.AliasNode != "" || d.AliasService != "":
		return "alias"
	case d.DockerContainerID != "":
		return "docker"
	case len(d.Args) > 0:
		return "script"
	case d.HTTP != "":
		return "http"
	case d.TCP != "":
		return "tcp"
	case d.UDP != "":
		return "udp"
	case d.GRPC != "":
		return "grpc"
	case d.H2Ping != "":
		return "h2ping"
	case d.OSService != "":
		return "os_service"
	}
	return ""
}

// RunsCommands tells whether the check runs a command that the definition names, here or
// in a container. Such a check has to be allowed.
func (d *Definition) RunsCommands() bool { return len(d.Args) > 0 || d.DockerContainerID != "" }

// Validate says what is wrong with the definition: the field, and why.
func (d *Definition) Validate() error {
	kind := d.Type()
	switch kind {
	case "ttl":
		if d.Interval > 0 {
			return errors.New("Interval and TTL cannot both be specified")
		}
	case "":
		return errors.New("TTL must be > 0 for TTL checks")
	case "alias":
	default:
		if d.Interval <= 0 {
			return errors.New("Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks")
		}
	}
	for _, n := range []struct {
		field string
		value int
	}{
		{"SuccessBeforePassing", d.SuccessBeforePassing}, {"FailuresBeforeWarning", d.FailuresBeforeWarning},
		{"FailuresBeforeCritical", d.FailuresBeforeCritical}, {"OutputMaxSize", d.OutputMaxSize},
	} {
		if n.value < 0 {
			return fmt.Errorf("%s must be positive", n.field)
		}
	}
	if d.FailuresBeforeWarning > d.FailuresBeforeCritical {
		return errors.New("FailuresBeforeWarning can't be higher than FailuresBeforeCritical")
	}
	if d.Timeout < 0 {
		return fmt.Errorf("Timeout is %s: use a positive duration", d.Timeout)
	}
	return d.validateTarget(kind)
}

// validateTarget checks the fields of one kind.
func (d *Definition) validateTarget(kind string) error {
	switch kind {
	case "docker":
		if len(d.Args) == 0 {
			return errors.New("Args is empty: name the command to run in the container")
		}
		return command(d.Args)
	case "script":
		return command(d.Args)
	case "http":
		return d.validateHTTP()
	case "tcp":
		return hostPort("TCP", d.TCP)
	case "udp":
		return hostPort("UDP", d.UDP)
	case "grpc":
		address, _, _ := strings.Cut(d.GRPC, "/")
		return hostPort("GRPC", address)
	case "h2ping":
		return hostPort("H2PING", d.H2Ping)
	case "os_service":
		if strings.ContainsRune(d.OSService, 0) {
			return errors.New("OSService contains a zero byte")
		}
	}
	return nil
}

func (d *Definition) validateHTTP() error {
	u, err := url.Parse(d.HTTP)
	if err != nil {
		return fmt.Errorf("HTTP is not a URL: %w", errors.Unwrap(err)) // the outer error repeats a password
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("HTTP is %q: use a URL such as http://localhost:8080/health", u.Redacted())
	}
	if _, err := http.NewRequest(d.Method, d.HTTP, nil); err != nil {
		return fmt.Errorf("Method is %q: use a method such as GET", d.Method)
	}
	for name, values := range d.Header {
		if !httpguts.ValidHeaderFieldName(name) {
			return fmt.Errorf("Header has the name %q: use one such as Content-Type", name)
		}
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				return fmt.Errorf("Header %q has a value with a line break or another control character", name)
			}
		}
	}
	return nil
}

func command(args []string) error {
	if args[0] == "" {
		return errors.New("Args begins with an empty word: name the command first")
	}
	for _, a := range args {
		if strings.ContainsRune(a, 0) {
			return errors.New("Args contains a zero byte")
		}
	}
	return nil
}

func hostPort(field, address string) error {
	if _, port, err := net.SplitHostPort(address); err != nil || port == "" {
		return fmt.Errorf("%s is %q: use host:port", field, address)
	}
	return nil
}

// equal tells whether two definitions make the same check.
func (d *Definition) equal(o *Definition) bool { return reflect.DeepEqual(d, o) }

// interval is the time between two turns.
func (d *Definition) interval() time.Duration { return max(d.Interval, MinInterval) }

// timeout is how long one turn may take.
func (d *Definition) timeout() time.Duration {
	if isProcess(d.Type()) {
		return cmp.Or(d.Timeout, defaultProcessTimeout)
	}
	return cmp.Or(d.Timeout, defaultTimeout)
}

// isProcess tells whether a turn of that kind costs a process, here or in a container.
func isProcess(kind string) bool { return kind == "script" || kind == "docker" || kind == "os_service" }
