//go:build linux

package fault

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/hanse-project/hanse/test/lab"
)

// overDNS waits until an agent answers a question for addresses with these.
func overDNS(t *testing.T, n *lab.Node, name string, want ...string) {
	t.Helper()
	lab.Until(t, fmt.Sprintf("%s answers over DNS with %v", n.Name, want), func() error {
		conn := n.Dial(t, lab.DNSPort)
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			return err
		}
		c, question := &dns.Conn{Conn: conn}, new(dns.Msg).SetQuestion(name, dns.TypeA)
		if err := c.WriteMsg(question); err != nil {
			return err
		}
		answer, err := c.ReadMsg()
		if err != nil {
			return err
		}
		var got []string
		for _, rr := range answer.Answer {
			if a, ok := rr.(*dns.A); ok {
				got = append(got, a.A.String())
			}
		}
		if slices.Sort(got); !slices.Equal(got, want) || len(want) == 0 && answer.Rcode != dns.RcodeNameError {
			return fmt.Errorf("it answers %v, %s", got, dns.RcodeToString[answer.Rcode])
		}
		return nil
	})
}
