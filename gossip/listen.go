package gossip

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/memberlist"
)

// freePortTries is how often a free port is looked for: it has to be free for both
// TCP and UDP.
const freePortTries = 10

// listen opens the pool's sockets, unless a transport was given. It fills in the
// port that was found free.
func (c *Config) listen() (memberlist.Transport, error) {
	if c.BindAddr == "" {
		c.BindAddr = net.IPv4zero.String()
	}
	if err := c.checkAddrs(); err != nil {
		return nil, err
	}
	if c.Transport != nil {
		return c.Transport, nil
	}
	tries := 1
	if c.BindPort == 0 {
		tries = freePortTries
	}
	var err error
	for range tries {
		var t *memberlist.NetTransport
		t, err = memberlist.NewNetTransport(&memberlist.NetTransportConfig{
			BindAddrs: []string{c.BindAddr},
			BindPort:  c.BindPort,
			Logger:    c.Log.StandardLogger(&hclog.StandardLoggerOptions{InferLevels: true}),
		})
		if err == nil {
			c.BindPort = t.GetAutoBindPort()
			return t, nil
		}
	}
	return nil, c.explainListen(err)
}

// checkAddrs refuses what is not an IP address: memberlist would listen everywhere.
func (c *Config) checkAddrs() error {
	bind := net.ParseIP(c.BindAddr)
	if bind == nil {
		return fmt.Errorf("%s is %q, which is not an IP address: set it to an address of this host", c.AddrKey, c.BindAddr)
	}
	if c.AdvertiseAddr == "" {
		if bind.IsUnspecified() && bind.To4() == nil {
			return fmt.Errorf("%s is %q, which others cannot reach: set %s to an address of this host",
				c.AddrKey, c.BindAddr, c.AdvertiseKey)
		}
		return nil
	}
	ip := net.ParseIP(c.AdvertiseAddr)
	if ip == nil || ip.IsUnspecified() {
		return fmt.Errorf("%s is %q: set it to the IP address at which others reach this host", c.AdvertiseKey, c.AdvertiseAddr)
	}
	return nil
}

func (c *Config) explainListen(err error) error {
	where := net.JoinHostPort(c.BindAddr, strconv.Itoa(c.BindPort))
	fix := "check " + c.AddrKey + " and " + c.PortKey
	switch text := err.Error(); {
	case strings.Contains(text, "address already in use"):
		fix = "another process has this port: stop it, or choose another " + c.PortKey + " or " + c.AddrKey
	case strings.Contains(text, "cannot assign requested address"):
		fix = "no interface of this host has this address: set " + c.AddrKey + " to one that `ip addr` shows"
	case strings.Contains(text, "permission denied"):
		fix = "ports below 1024 need privileges: choose another " + c.PortKey
	}
	return fmt.Errorf("%s gossip cannot listen on %s (%s, %s): %w; %s", c.Pool, where, c.AddrKey, c.PortKey, err, fix)
}
