package local

import (
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/hanse-project/hanse/catalog"
)

// Limits of a service's metadata, as documented for Consul.
const (
	maxMeta      = 64
	maxMetaKey   = 128
	maxMetaValue = 512
	maxWeight    = 65535
)

var metaKey = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)

// dnsLabel is what can be looked up.
var dnsLabel = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$`)

// validate says what is wrong with a definition that is complete, all but its checks.
func (d *Service) validate() error {
	switch {
	case d.Name == "":
		return invalid("Missing service name")
	case strings.ContainsRune(d.ID+d.Name, 0):
		return invalid("Invalid service name or ID: it contains a zero byte")
	case anyAddress(d.Address):
		return invalid("Invalid service address")
	case d.Port < 0 || d.Port > 65535:
		return invalidf("Invalid service port %d: use 0 to 65535", d.Port)
	}
	for _, name := range slices.Sorted(maps.Keys(d.TaggedAddresses)) {
		switch a := d.TaggedAddresses[name]; {
		case anyAddress(a.Address):
			return invalidf("Invalid service address in TaggedAddresses %q", name)
		case a.Port < 0 || a.Port > 65535:
			return invalidf("Invalid service port %d in TaggedAddresses %q: use 0 to 65535", a.Port, name)
		}
	}
	if err := validateMeta(d.Meta); err != nil {
		return err
	}
	if w := d.Weights; w != nil {
		switch {
		case w.Passing < 1:
			return invalid("Invalid Weights: Passing must be greater than 0")
		case w.Warning < 0:
			return invalid("Invalid Weights: Warning must be greater or equal than 0")
		case w.Passing > maxWeight || w.Warning > maxWeight:
			return invalidf("Invalid Weights: Weight must be less or equal than %d", maxWeight)
		}
	}
	return d.validateProxy()
}

func (d *Service) validateProxy() error {
	if d.Kind != catalog.KindConnectProxy {
		return nil
	}
	var wrong []string
	if d.Proxy == nil || d.Proxy.DestinationServiceName == "" {
		wrong = append(wrong, "Proxy.DestinationServiceName must be non-empty for Connect proxy services")
	}
	if d.Port == 0 && d.SocketPath == "" {
		wrong = append(wrong, "Port or SocketPath must be set for a Connect proxy")
	}
	if len(wrong) == 0 {
		return nil
	}
	errs := "1 error occurred"
	if len(wrong) > 1 {
		errs = "2 errors occurred"
	}
	return invalidf("Validation failed: %s:\n\t* %s\n\n", errs, strings.Join(wrong, "\n\t* "))
}

// anyAddress is an address that stands for all of a machine: nobody can be told to
// connect there.
func anyAddress(address string) bool {
	ip, err := netip.ParseAddr(strings.Trim(address, "[]"))
	return err == nil && ip.IsUnspecified()
}

func validateMeta(meta map[string]string) error {
	const begins = "Invalid Service Meta: "
	if len(meta) > maxMeta {
		return invalidf(begins+"cannot contain more than %d key/value pairs", maxMeta)
	}
	for _, key := range slices.Sorted(maps.Keys(meta)) {
		reason := ""
		switch value := meta[key]; {
		case key == "":
			reason = "Key cannot be blank"
		case !metaKey.MatchString(key):
			reason = "Key contains invalid characters"
		case len(key) > maxMetaKey:
			reason = "Key is too long (limit: 128 characters)"
		case strings.HasPrefix(key, "consul-"):
			reason = "Key prefix 'consul-' is reserved for internal use"
		case len(value) > maxMetaValue:
			reason = "Value is too long (limit: 512 characters)"
		}
		if reason != "" {
			return invalidf(begins+"Couldn't load metadata pair ('%s', '%s'): %s", key, meta[key], reason)
		}
	}
	return nil
}

// warnings are about what is accepted and will not work as its owner may think.
func (d *Service) warnings() []string {
	var all []string
	if !dnsLabel.MatchString(d.Name) {
		all = append(all, "Service name will not be discoverable via DNS due to invalid characters. Valid characters include all alpha-numerics and dashes.")
	}
	for _, tag := range d.Tags {
		if !dnsLabel.MatchString(tag) {
			all = append(all, "Service tag will not be discoverable via DNS due to invalid characters. Valid characters include all alpha-numerics and dashes.")
			break
		}
	}
	return all
}

// validate says what is wrong with the definition of a check that is complete.
func (c *Check) validate() error {
	switch c.Status {
	case "", catalog.Passing, catalog.Warning, catalog.Critical:
	default:
		return invalid("Status for checks must 'passing', 'warning', 'critical'")
	}
	switch {
	case c.Name == "":
		return invalid("Missing check name")
	case c.ID == catalog.SerfCheckID:
		return invalidf("Invalid check ID: %s is the check of gossip, use another", c.ID)
	case strings.ContainsRune(c.ID+c.ServiceID, 0):
		return invalid("Invalid check ID: it contains a zero byte")
	}
	def := c.runnable()
	if err := def.Validate(); err != nil {
		return invalid("Invalid check: " + err.Error())
	}
	return nil
}
