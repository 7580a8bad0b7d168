package config

import (
	"encoding/base64"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-sockaddr"
	"github.com/hashicorp/go-sockaddr/template"
)

// host is what is asked of the machine.
type host struct {
	name       func() (string, error)
	interfaces func() (sockaddr.IfAddrs, error)
}

func thisHost() host { return host{os.Hostname, sockaddr.GetAllInterfaces} }

// finish works out what follows from the settings, and validates the result.
// errs is what went wrong on the way here.
func (d *draft) finish(errs mistakes) (*Config, []string, error) {
	if errs.unread() {
		return nil, d.warnings, errors.Join(errs...)
	}
	d.resolveIdentity(&errs)
	d.resolveRole()
	d.resolveAddresses(&errs)
	d.resolveTLS()
	d.resolveSecrets(&errs)
	d.closeHTTPS()
	d.advise()
	errs = append(errs, d.Config.mistakes()...)
	if len(errs) > 0 {
		for _, err := range errs {
			if m, ok := errors.AsType[*Mistake](err); ok && m.Origin == "" {
				m.Origin = d.origin[m.Key]
			}
		}
		return nil, d.warnings, errors.Join(errs...)
	}
	c := d.Config
	return &c, d.warnings, nil
}

// unread tells whether a file cannot be read. What it would have set is not known then.
func (m mistakes) unread() bool {
	return slices.ContainsFunc(m, func(err error) bool {
		_, ok := errors.AsType[*Mistake](err)
		return !ok
	})
}

func (d *draft) resolveIdentity(errs *mistakes) {
	d.Datacenter = strings.ToLower(d.Datacenter)
	d.PrimaryDatacenter = strings.ToLower(d.PrimaryDatacenter)
	if d.PrimaryDatacenter == "" {
		d.PrimaryDatacenter = d.Datacenter
	}
	d.NodeID = strings.ToLower(d.NodeID)
	d.Domain = strings.ToLower(strings.Trim(d.Domain, "."))
	d.AltDomain = strings.ToLower(strings.Trim(d.AltDomain, "."))
	if d.NodeName == "" && !d.given("node_name") {
		name, err := d.host.name()
		if err != nil {
			errs.add("node_name", "the host's name cannot be read (%v): set one", err)
		}
		d.NodeName = name
	}
}

// resolveRole settles what depends on being a server, alone, or in development.
func (d *draft) resolveRole() {
	if !d.given("leave_on_terminate") {
		d.LeaveOnTerm = !d.Server
	}
	if !d.given("skip_leave_on_interrupt") {
		d.SkipLeaveOnInt = d.Server
	}
	joins := len(d.StartJoinLAN)+len(d.RetryJoinLAN.Addrs) > 0
	if d.dev && !d.given("bootstrap") {
		// One that joins others must not elect itself beside them.
		d.Bootstrap = d.Server && d.BootstrapExpect == 0 && !joins
	}
	if d.BootstrapExpect == 1 && d.Server && !d.Bootstrap {
		d.Bootstrap, d.BootstrapExpect = true, 0
		d.warn("bootstrap_expect is 1, which is the same as bootstrap mode")
	}
	if d.Raft.Multiplier == 0 {
		d.Raft.Multiplier = 1 // documented as "the default"
	}
	timeout := time.Duration(d.Raft.Multiplier) * raftUnit
	d.Raft.HeartbeatTimeout, d.Raft.ElectionTimeout, d.Raft.LeaderLeaseTimeout = timeout, timeout, timeout
	// Of the two limits of a transaction's size the higher one counts.
	d.Limits.TxnMaxReqLen = max(d.Limits.TxnMaxReqLen, d.Limits.KVMaxValueSize)
	d.Log.Level = strings.ToUpper(d.Log.Level)
	if d.Log.Level == "ERR" {
		d.Log.Level = "ERROR"
	}
}

func (d *draft) resolveAddresses(errs *mistakes) {
	d.BindAddr = oneIP(errs, "bind_addr", d.bind)
	d.SerfBindAddrLAN, d.SerfBindAddrWAN = d.BindAddr, d.BindAddr
	if d.serfLAN != "" {
		d.SerfBindAddrLAN = oneIP(errs, "serf_lan", d.serfLAN)
	}
	if d.serfWAN != "" {
		d.SerfBindAddrWAN = oneIP(errs, "serf_wan", d.serfWAN)
	}
	switch {
	case d.advertise != "":
		d.AdvertiseAddrLAN = oneIP(errs, "advertise_addr", d.advertise)
	case d.BindAddr != "":
		d.AdvertiseAddrLAN = d.ownAddress(errs)
	}
	d.AdvertiseAddrWAN = d.AdvertiseAddrLAN
	if d.advertiseWAN != "" {
		d.AdvertiseAddrWAN = oneIP(errs, "advertise_addr_wan", d.advertiseWAN)
	}
	for _, port := range []*int{&d.Ports.HTTP, &d.Ports.HTTPS, &d.Ports.DNS, &d.Ports.GRPC, &d.Ports.GRPCTLS} {
		if *port == 0 {
			*port = -1
		}
	}
	evaluateAll(errs, "start_join", &d.StartJoinLAN)
	evaluateAll(errs, "start_join_wan", &d.StartJoinWAN)
	evaluateAll(errs, "retry_join", &d.RetryJoinLAN.Addrs)
	evaluateAll(errs, "retry_join_wan", &d.RetryJoinWAN.Addrs)
	evaluateAll(errs, "recursors", &d.Recursors)
	d.resolveRecursors()
	d.ClientAddrs = manyIPs(errs, "client_addr", d.client)
	const dnsKey = "addresses.dns" // DNS is not spoken over socket files
	listeners := func(key, written string, port int) []string {
		if port < 0 {
			return nil
		}
		ips := d.ClientAddrs
		if written != "" {
			ips = manyIPs(errs, key, written)
		}
		var out []string
		for _, ip := range ips {
			switch {
			case !strings.HasPrefix(ip, unixPrefix):
				out = append(out, hostPort(ip, port))
			case key != dnsKey:
				out = append(out, ip)
			}
		}
		return out
	}
	d.HTTPAddrs = listeners("addresses.http", d.addresses.http, d.Ports.HTTP)
	d.HTTPSAddrs = listeners("addresses.https", d.addresses.https, d.Ports.HTTPS)
	d.DNSAddrs = listeners(dnsKey, d.addresses.dns, d.Ports.DNS)
}

func hostPort(ip string, port int) string { return net.JoinHostPort(ip, strconv.Itoa(port)) }

const unixPrefix = "unix://"

// oneIP evaluates a template, if it is one, and wants exactly one IP of it. It
// returns "" after a mistake.
func oneIP(errs *mistakes, key, written string) string {
	ips := manyIPs(errs, key, written)
	switch {
	case len(ips) > 1:
		errs.add(key, "%q are %d addresses: give exactly one", strings.Join(ips, " "), len(ips))
		return ""
	case len(ips) == 1 && strings.HasPrefix(ips[0], unixPrefix):
		errs.add(key, "%q is a socket file: give an IP address", ips[0])
		return ""
	case len(ips) == 0:
		return ""
	}
	return ips[0]
}

// manyIPs evaluates a template and splits the result at spaces.
func manyIPs(errs *mistakes, key, written string) []string {
	text, ok := evaluate(errs, key, written)
	if !ok {
		return nil
	}
	if strings.TrimSpace(text) == "" {
		errs.add(key, "is empty: give an IP address")
	}
	var ips []string
	for field := range strings.FieldsSeq(text) {
		if strings.HasPrefix(field, unixPrefix) {
			ips = append(ips, field)
			continue
		}
		ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(field, "["), "]"))
		if err != nil {
			errs.add(key, "%q is not an IP address: give one without a port, or a go-sockaddr template", field)
			continue
		}
		ips = append(ips, ip.String())
	}
	return ips
}

// evaluate fills in a go-sockaddr template. Other texts stay as they are.
func evaluate(errs *mistakes, key, written string) (string, bool) {
	if !strings.Contains(written, "{{") {
		return written, true
	}
	out, err := template.Parse(written)
	switch {
	case err != nil:
		errs.add(key, "the template %q fails: %v", written, err)
	case strings.TrimSpace(out) == "":
		errs.add(key, "the template %q finds no address on this machine: name one", written)
	default:
		return out, true
	}
	return "", false
}

// evaluateAll does so for a list, where one template may yield several entries.
func evaluateAll(errs *mistakes, key string, list *[]string) {
	var out []string
	for _, written := range *list {
		if !strings.Contains(written, "{{") {
			out = append(out, written)
		} else if text, ok := evaluate(errs, key, written); ok {
			out = append(out, strings.Fields(text)...)
		}
	}
	*list = out
}

// ownAddress is the address to advertise when none was set: that of bind_addr,
// and for a wildcard the only private IPv4 (or public IPv6) of the machine.
func (d *draft) ownAddress(errs *mistakes) string {
	bound, err := netip.ParseAddr(d.BindAddr)
	if err != nil || !bound.IsUnspecified() {
		return d.BindAddr
	}
	all, err := d.host.interfaces()
	if err != nil {
		errs.add("advertise_addr", "the interfaces of this machine cannot be read (%v): set bind_addr or advertise_addr", err)
		return ""
	}
	what, found := "private IPv4", privateIPv4(all)
	if bound.Is6() {
		what, found = "public IPv6", publicIPv6(all)
	}
	switch {
	case len(found) == 1:
		return found[0]
	case len(found) > 1:
		errs.add("advertise_addr", "Multiple %s addresses found. Please configure one with 'bind' and/or 'advertise'. Found: %s", what, strings.Join(found, " "))
		return ""
	}
	others := append(texts(reachable(all, sockaddr.TypeIPv4)), texts(reachable(all, sockaddr.TypeIPv6))...)
	if len(others) == 0 && bound.Is4() {
		d.warn("this machine has no address but loopback: advertising 127.0.0.1")
		return "127.0.0.1"
	}
	errs.add("advertise_addr", "No %s address found: set bind_addr or advertise_addr. Found: %s", what, strings.Join(others, " "))
	return ""
}

func privateIPv4(all sockaddr.IfAddrs) []string {
	private, _, err := sockaddr.IfByRFC("6890", reachable(all, sockaddr.TypeIPv4))
	if err != nil {
		return nil
	}
	return texts(private)
}

func publicIPv6(all sockaddr.IfAddrs) []string {
	_, public, err := sockaddr.IfByRFC("6890", reachable(all, sockaddr.TypeIPv6))
	if err != nil {
		return nil
	}
	return texts(public)
}

// reachable keeps what is up and can be reached from another machine.
func reachable(all sockaddr.IfAddrs, kind sockaddr.SockAddrType) sockaddr.IfAddrs {
	matched, _ := sockaddr.FilterIfByType(all, kind)
	for _, flag := range []string{"forwardable", "up"} {
		var err error
		if matched, _, err = sockaddr.IfByFlag(flag, matched); err != nil {
			return nil
		}
	}
	return matched
}

func texts(all sockaddr.IfAddrs) []string {
	var out []string
	for _, a := range all {
		if ip := sockaddr.ToIPAddr(a.SockAddr); ip != nil {
			out = append(out, (*ip).NetIP().String())
		}
	}
	return out
}

func (d *draft) resolveSecrets(errs *mistakes) {
	if d.encrypt == "" {
		return
	}
	key, err := base64.StdEncoding.DecodeString(d.encrypt)
	if err != nil {
		errs.add("encrypt", "is not base64: make a key with `hanse keygen`")
		return
	}
	if n := len(key); n != 16 && n != 24 && n != 32 {
		errs.add("encrypt", "is %d bytes, and must be 16, 24 or 32: make a key with `hanse keygen`", n)
		return
	}
	d.EncryptKey = key
}

// closeHTTPS turns HTTPS off where there is no certificate to serve it with. It is no
// mistake: the test servers of other projects always name a port for it.
func (d *draft) closeHTTPS() {
	if len(d.HTTPSAddrs) > 0 && d.TLS.HTTPS.CertFile == "" {
		d.warn("ports.https is %d, and HTTPS is off: it needs a certificate; set tls.https.cert_file and key_file", d.Ports.HTTPS)
		d.HTTPSAddrs = nil
	}
}

// withoutEffect are settings that are checked and kept, and that nothing runs on yet.
var withoutEffect = []string{
	"limits.https_handshake_timeout", "limits.rpc_handshake_timeout", "limits.rpc_client_timeout",
}

// advise warns of what works and is probably not meant.
func (d *draft) advise() {
	if n := d.BootstrapExpect; n == 2 {
		d.warn("bootstrap_expect is 2: a cluster with 2 servers will provide no failure tolerance; use 3 or 5")
	} else if n > 0 && n%2 == 0 {
		d.warn("bootstrap_expect is %d: a cluster with an even number of servers does not achieve optimum fault tolerance; use %d", n, n+1)
	}
	if d.Bootstrap && !d.dev && d.Server {
		d.warn("bootstrap mode is on: do not enable it on more than one server of a datacenter")
	}
	if !d.DisableRemoteExec {
		d.warn("disable_remote_exec is false: whoever may write keys and fire events in this datacenter can run commands here")
	}
	if d.EnableScriptChecks {
		for _, addr := range d.HTTPAddrs {
			if ip, err := netip.ParseAddrPort(addr); err == nil && !ip.Addr().IsLoopback() {
				d.warn("enable_script_checks lets whoever reaches %s run commands here: use enable_local_script_checks", addr)
			}
		}
	}
	if d.ACL.Enabled {
		d.warn("%s: acl.enabled is true, and access rules are not here yet: every request is allowed", d.origin["acl.enabled"])
	}
	if len(d.Links) > 0 && !d.Server {
		d.warn("%s: replicate has no effect here: only servers run replication links", d.origin["replicate"])
	}
	if !dnsName(d.NodeName) {
		d.warn("node_name %q cannot be looked up over DNS: use letters, digits and dashes, at most 63", d.NodeName)
	}
	for _, p := range []struct {
		key  string
		port int
	}{{"ports.grpc", d.Ports.GRPC}, {"ports.grpc_tls", d.Ports.GRPCTLS}} {
		if p.port > 0 && d.given(p.key) {
			d.warn("%s: %s is %d, and nothing listens there: it is not supported yet", d.origin[p.key], p.key, p.port)
		}
	}
	for _, key := range withoutEffect {
		if d.given(key) {
			d.warn("%s: %s was checked, and has no effect yet", d.origin[key], key)
		}
	}
}
