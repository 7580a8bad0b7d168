package agent

import (
	"fmt"
	"io"
	"strings"

	"github.com/hanse-project/hanse/config"
	"github.com/hanse-project/hanse/version"
)

// banner tells a person what is about to run.
func banner(out io.Writer, cfg *config.Config, nodeID string) {
	fmt.Fprintln(out, "==> Starting Hanse agent...")
	lines := [][2]string{
		{"Version", "'" + version.Hanse + "' (speaks Consul " + version.Consul + ")"},
		{"Node ID", "'" + nodeID + "'"},
		{"Node name", "'" + cfg.NodeName + "'"},
		{"Datacenter", "'" + cfg.Datacenter + "' (Segment: '<all>')"},
		{"Server", fmt.Sprintf("%v (Bootstrap: %v)", cfg.Server, cfg.Bootstrap)},
		{"Client Addr", fmt.Sprintf("%v (HTTP: %d, HTTPS: %d, gRPC: -1, gRPC-TLS: -1, DNS: %d)",
			cfg.ClientAddrs, portOf(cfg.HTTPAddrs, cfg.Ports.HTTP), portOf(cfg.HTTPSAddrs, cfg.Ports.HTTPS), portOf(cfg.DNSAddrs, cfg.Ports.DNS))},
		{"Cluster Addr", fmt.Sprintf("%s (LAN: %d, WAN: %d)", cfg.AdvertiseAddrLAN, cfg.Ports.SerfLAN, cfg.Ports.SerfWAN)},
		{"Gossip Encryption", fmt.Sprint(len(cfg.EncryptKey) > 0)},
		{"Auto-Encrypt-TLS", "false"},
		{"ACL Enabled", "false"},
	}
	width := 0
	for _, l := range lines {
		width = max(width, len(l[0]))
	}
	for _, l := range lines {
		fmt.Fprintf(out, "%s%s: %s\n", strings.Repeat(" ", width-len(l[0])+1), l[0], l[1])
	}
	fmt.Fprint(out, "\n==> Log data will now stream in as it occurs:\n\n")
}

// portOf is the port of an interface, -1 if it is off.
func portOf(addrs []string, port int) int {
	if len(addrs) == 0 {
		return -1
	}
	return port
}
