package agent

import (
	"context"
	"net"

	"github.com/hanse-project/hanse/acltoken"
	"github.com/hanse-project/hanse/config"
	"github.com/hanse-project/hanse/dnsserver"
)

// dnsFace is the ports of DNS.
type dnsFace struct {
	server    *dnsserver.Server
	packets   []net.PacketConn
	listeners []net.Listener
}

// openDNS opens the ports of DNS. Nothing is answered before Run.
func (a *Agent) openDNS() error {
	cfg := a.cfg
	f := &dnsFace{server: dnsserver.New(dnsserver.Config{
		Caller: a.role.Caller(), Cache: a.cache, Datacenter: cfg.Datacenter, Node: cfg.NodeName, Domain: cfg.Domain, AltDomain: cfg.AltDomain,
		Token: func() string { return a.tokens.For(acltoken.DNS) }, TranslateWAN: cfg.TranslateWANAddr, Settings: dnsSettings(cfg), Log: a.log.Named("dns"), Registerer: a.metrics,
	})}
	a.dns = f
	a.parts.add("DNS ports", shortly, func() error {
		for _, conn := range f.packets {
			conn.Close() // the server closed those it served
		}
		for _, ln := range f.listeners {
			ln.Close()
		}
		return nil
	})
	const key = "client_addr, ports.dns"
	for _, addr := range cfg.DNSAddrs {
		conn, err := a.opts.Network.listenPacket(addr, key)
		if err != nil {
			return err
		}
		f.packets = append(f.packets, conn)
		ln, err := a.opts.Network.listen("tcp", addr, key)
		if err != nil {
			return err
		}
		f.listeners = append(f.listeners, ln)
	}
	return nil
}

// dnsSettings are those that a reload takes over.
func dnsSettings(cfg *config.Config) dnsserver.Settings {
	return dnsserver.Settings{DNS: cfg.DNS, Recursors: cfg.Recursors}
}

func (f *dnsFace) run(ctx context.Context) error {
	if len(f.packets) == 0 {
		return nil
	}
	return f.server.Run(ctx, f.packets, f.listeners)
}

func (f *dnsFace) addrs() []string {
	var addrs []string
	for _, conn := range f.packets {
		addrs = append(addrs, conn.LocalAddr().String())
	}
	return addrs
}
