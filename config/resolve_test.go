package config

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-sockaddr"
)

func TestRolesDecideDefaults(t *testing.T) {
	base := []string{"-bind", "127.0.0.1", "-data-dir", "/nowhere/hanse", "-node", "n"}
	dev := []string{"-dev", "-node", "n"}
	for _, c := range []struct {
		name string
		args []string
		want func(*Config) bool
		warn string
	}{
		{"a client leaves on both signals", base, func(c *Config) bool { return c.LeaveOnTerm && !c.SkipLeaveOnInt }, ""},
		{"a server stays on both signals", append(base, "-server"), func(c *Config) bool { return !c.LeaveOnTerm && c.SkipLeaveOnInt }, ""},
		{"what was said about signals counts", append(base, "-server", "-hcl", "leave_on_terminate = true skip_leave_on_interrupt = false"),
			func(c *Config) bool { return c.LeaveOnTerm && !c.SkipLeaveOnInt }, ""},
		{"the raft timing follows the multiplier", append(base, "-server", "-hcl", "performance { raft_multiplier = 2 }"),
			func(c *Config) bool { return c.Raft.ElectionTimeout == 700*time.Millisecond }, ""},
		{"multiplier 0 is the default", append(base, "-server", "-hcl", "performance { raft_multiplier = 0 }"),
			func(c *Config) bool { return c.Raft.HeartbeatTimeout == 350*time.Millisecond }, ""},
		{"expecting one server is bootstrap", append(base, "-server", "-bootstrap-expect=1"),
			func(c *Config) bool { return c.Bootstrap && c.BootstrapExpect == 0 }, "same as bootstrap mode"},
		{"two servers have no failure tolerance", append(base, "-server", "-bootstrap-expect=2"),
			func(c *Config) bool { return c.BootstrapExpect == 2 }, "no failure tolerance"},
		{"an even number is not the best", append(base, "-server", "-bootstrap-expect=4"),
			func(c *Config) bool { return c.BootstrapExpect == 4 }, "use 5"},
		{"dev is a server alone in memory", dev,
			func(c *Config) bool {
				return c.Server && c.Bootstrap && c.UI && c.DataDir == "" && c.BindAddr == "127.0.0.1" && c.Raft.ElectionTimeout == raftUnit
			}, ""},
		{"dev keeps data where told", append(dev, "-data-dir", "/nowhere/hanse"), func(c *Config) bool { return c.DataDir == "/nowhere/hanse" && c.Bootstrap }, ""},
		{"dev that joins does not elect itself", append(dev, "-join", "127.0.0.2"),
			func(c *Config) bool { return c.Server && !c.Bootstrap && c.Raft.ElectionTimeout == raftUnit }, ""},
		{"dev that joins is one unless told", append(dev, "-retry-join", "127.0.0.2", "-bootstrap"), func(c *Config) bool { return c.Bootstrap }, ""},
		{"dev that waits for others does not elect itself", append(dev, "-bootstrap-expect=3"), func(c *Config) bool { return !c.Bootstrap && c.BootstrapExpect == 3 }, ""},
		{"dev can be a client", append(dev, "-server=false"), func(c *Config) bool { return !c.Server && !c.Bootstrap && c.DevMode }, ""},
		{"the higher limit of a transaction counts", append(base, "-hcl", "limits { kv_max_value_size = 1000000 txn_max_req_len = 5 }"),
			func(c *Config) bool { return c.Limits.TxnMaxReqLen == 1000000 }, ""},
		{"a name with dots is a name", append(base, "-node", "192.168.33.11.shanghai"), func(c *Config) bool { return c.NodeName == "192.168.33.11.shanghai" }, ""},
		{"a name that DNS cannot hold is warned of", append(base, "-node", "a_b"), func(c *Config) bool { return c.NodeName == "a_b" }, "over DNS"},
	} {
		got, warnings := load(t, c.args...)
		if !c.want(got) {
			t.Errorf("%s: %+v", c.name, got)
		}
		if found := slices.ContainsFunc(warnings, func(w string) bool { return strings.Contains(w, c.warn) }); c.warn != "" && !found || c.warn == "" && len(warnings) > 0 {
			t.Errorf("%s: warnings %q, want %q", c.name, warnings, c.warn)
		}
	}
}

func TestAddressesAreResolved(t *testing.T) {
	base := []string{"-dev", "-node", "n"}
	for _, c := range []struct {
		name, hcl string
		got       func(*Config) any
		want      any
	}{
		{"a template for bind", `bind_addr = "{{ GetAllInterfaces | include \"name\" \"^lo$\" | include \"type\" \"IPv4\" | attr \"address\" }}"`,
			func(c *Config) any { return c.BindAddr + " " + c.AdvertiseAddrLAN }, "127.0.0.1 127.0.0.1"},
		{"brackets", `bind_addr = "[::1]"`, func(c *Config) any { return c.BindAddr }, "::1"},
		{"several client addresses", `client_addr = "127.0.0.1 ::1"`, func(c *Config) any { return c.HTTPAddrs }, []string{"127.0.0.1:8500", "[::1]:8500"}},
		{"a socket", `addresses { http = "unix:///tmp/h 127.0.0.1" }`, func(c *Config) any { return c.HTTPAddrs }, []string{"unix:///tmp/h", "127.0.0.1:8500"}},
		{"HTTP off", `ports { http = -1 }`, func(c *Config) any { return len(c.HTTPAddrs) }, 0},
		{"port 0 is off", `ports { http = 0 }`, func(c *Config) any { return c.Ports.HTTP }, -1},
		{"WAN off", `ports { serf_wan = -1 }`, func(c *Config) any { return c.Ports.SerfWAN }, -1},
		{"the WAN address follows the LAN's", `advertise_addr = "127.0.0.4"`, func(c *Config) any { return c.AdvertiseAddrWAN }, "127.0.0.4"},
		{"a template to join", `retry_join = ["{{ GetAllInterfaces | include \"name\" \"^lo$\" | include \"type\" \"IPv4\" | attr \"address\" }}", "x"]`,
			func(c *Config) any { return c.RetryJoinLAN.Addrs }, []string{"127.0.0.1", "x"}},
		{"tagged addresses", `advertise_addr_wan = "::1"`, func(c *Config) any { return c.TaggedAddresses() },
			map[string]string{"lan": "127.0.0.1", "lan_ipv4": "127.0.0.1", "wan": "::1", "wan_ipv6": "::1"}},
	} {
		got, _ := load(t, append(base, "-hcl", c.hcl)...)
		if fmt.Sprint(c.got(got)) != fmt.Sprint(c.want) {
			t.Errorf("%s: %v, want %v", c.name, c.got(got), c.want)
		}
	}
}

func TestAdvertiseAddressOfAWildcard(t *testing.T) {
	up := net.FlagUp | net.FlagBroadcast
	iface := func(cidr string, flags net.Flags) sockaddr.IfAddr {
		return sockaddr.IfAddr{SockAddr: sockaddr.MustIPAddr(cidr), Interface: net.Interface{Name: "x", Flags: flags}}
	}
	lo := iface("127.0.0.1/8", net.FlagUp|net.FlagLoopback)
	a, b := iface("10.1.2.3/24", up), iface("192.168.7.8/24", up)
	down, public := iface("10.9.9.9/24", 0), iface("8.8.8.8/24", up)
	six, sixToo := iface("2600::5/64", up), iface("2600::6/64", up)
	for _, c := range []struct {
		name, bind string
		has        sockaddr.IfAddrs
		want, err  string
		warn       bool
	}{
		{"the one private address", "0.0.0.0", sockaddr.IfAddrs{lo, a, down, public, six}, "10.1.2.3", "", false},
		{"two private addresses", "0.0.0.0", sockaddr.IfAddrs{lo, a, b}, "", "Multiple private IPv4 addresses found. Please configure one with 'bind' and/or 'advertise'.", false},
		{"only loopback", "0.0.0.0", sockaddr.IfAddrs{lo}, "127.0.0.1", "", true},
		{"only public", "0.0.0.0", sockaddr.IfAddrs{lo, public}, "", "No private IPv4 address found", false},
		{"the one public IPv6", "[::]", sockaddr.IfAddrs{lo, a, six}, "2600::5", "", false},
		{"two public IPv6", "::", sockaddr.IfAddrs{lo, six, sixToo}, "", "Multiple public IPv6 addresses found.", false},
		{"no IPv6", "::", sockaddr.IfAddrs{lo, a}, "", "No public IPv6 address found", false},
		{"an address is its own", "127.0.0.7", sockaddr.IfAddrs{lo, a, b}, "127.0.0.7", "", false},
	} {
		d := newDraft(false)
		d.bind, d.DataDir, d.NodeName = c.bind, "/nowhere/hanse", "n"
		d.host.interfaces = func() (sockaddr.IfAddrs, error) { return c.has, nil }
		got, warnings, err := d.finish(nil)
		switch {
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error %v, want %q", c.name, err, c.err)
			}
		case err != nil:
			t.Errorf("%s: %v", c.name, err)
		case got.AdvertiseAddrLAN != c.want || got.AdvertiseAddrWAN != c.want || c.warn != (len(warnings) > 0):
			t.Errorf("%s: %s, warnings %q; want %s", c.name, got.AdvertiseAddrLAN, warnings, c.want)
		}
	}
}
