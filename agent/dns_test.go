package agent_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/miekg/dns"

	"github.com/hanse-project/hanse/test/lab"
)

// look asks an agent's DNS port, and tells whether the answer holds the text.
func look(addr, network, name string, qtype uint16, want string) error {
	client := &dns.Client{Net: network}
	reply, _, err := client.Exchange(new(dns.Msg).SetQuestion(name, qtype), addr)
	if err != nil {
		return err
	}
	if !strings.Contains(reply.String(), want) {
		return fmt.Errorf("%s over %s: %q is not in\n%s", name, network, want, reply)
	}
	return nil
}

func TestServersAndClientsAnswerOverDNS(t *testing.T) {
	server := start(t, "-dev", "-node", "server", "-alt-domain", "alt.example")
	client := start(t, "-dev", "-node", "client", "-server=false", "-retry-join", server.addr)
	for _, a := range []*running{server, client} {
		if got, want := fmt.Sprint(a.DNSAddrs()), fmt.Sprintf("[%s:8600]", a.addr); got != want {
			t.Errorf("DNS on %s, want %s", got, want)
		}
	}
	c, err := api.NewClient(&api.Config{Address: client.HTTPAddrs()[0]})
	if err != nil {
		t.Fatal(err)
	}
	lab.Until(t, "a service of the client is found over DNS", func() error {
		return c.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "web", Port: 80})
	})
	for _, a := range []*running{server, client} {
		for _, network := range []string{"udp", "tcp"} {
			lab.Until(t, "a service of the client is found over DNS", func() error {
				return look(a.DNSAddrs()[0], network, "web.service.consul.", dns.TypeSRV, "80 client.node.dc1.consul.")
			})
		}
	}
	lab.Until(t, "the server is found below the other domain", func() error {
		return look(server.DNSAddrs()[0], "udp", "server.node.alt.example.", dns.TypeA, server.addr)
	})
}

func TestDNSIsOffAtPortMinusOne(t *testing.T) {
	a := start(t, "-dev", "-dns-port", "-1")
	if got := a.DNSAddrs(); len(got) > 0 {
		t.Errorf("DNS on %v", got)
	}
}

func TestReloadChangesAnswersOverDNS(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.hcl")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`dns_config { node_ttl = "7s" }`)
	a := start(t, "-dev", "-node", "n", "-config-file", file)
	ttl := func(want string) {
		t.Helper()
		lab.Until(t, "the node is found with the TTL "+want, func() error {
			return look(a.DNSAddrs()[0], "udp", "n.node.consul.", dns.TypeA, "n.node.consul.\t"+want+"\tIN\tA\t"+a.addr)
		})
	}
	ttl("7")
	write(`dns_config { node_ttl = "8s" }`)
	if err := a.Reload(); err != nil {
		t.Fatal(err)
	}
	ttl("8")
	write(`dns_config { recursor_strategy = "luck" }`)
	if err := a.Reload(); err == nil || !strings.Contains(err.Error(), `dns_config.recursor_strategy: is "luck"`) {
		t.Errorf("reload of a mistake: %v", err)
	}
	ttl("8")
}
