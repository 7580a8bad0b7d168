package httpapi

import (
	"fmt"
	"testing"

	"github.com/hanse-project/hanse/coordinate"
)

// fill gives two datacenters what they held when the exchanges were recorded.
func fill(t *testing.T, dc1, dc2 *server) {
	t.Helper()
	dc1.register(t, `{"Node":"alpha","Address":"127.31.1.1","Service":{"Service":"consul","Port":27300}}`)
	check := func(node, id, service, status, output string) string {
		return fmt.Sprintf(`{"Node":%q,"CheckID":"service:%s","Name":"check of %s","Status":%q,"Output":%q,"ServiceID":%q,"ServiceName":%q}`,
			node, id, id, status, output, id, service)
	}
	dc1.register(t, `{"ID":"c3c3c3c3-0000-4000-8000-000000000003","Node":"gamma","Address":"127.31.1.9",
		"TaggedAddresses":{"lan":"127.31.1.9","lan_ipv4":"127.31.1.9","wan":"127.31.1.9","wan_ipv4":"127.31.1.9"},
		"NodeMeta":{"consul-network-segment":"","consul-version":"1.21.4","rack":"r9"},
		"Service":{"ID":"cache-1","Service":"cache","Tags":["redis"],"Port":6379,"Meta":{"k":"v"}},
		"Checks":[{"Node":"gamma","CheckID":"serfHealth","Name":"Serf Health Status","Status":"passing","Output":"Agent alive and reachable"},
			{"Node":"gamma","CheckID":"cache-ttl","Name":"cache ttl","Status":"passing","ServiceID":"cache-1","ServiceName":"cache","Type":"ttl"}]}`)
	dc1.register(t, `{"ID":"e1e1e1e1-0000-4000-8000-000000000001","Node":"ext1","Address":"10.1.0.11",
		"TaggedAddresses":{"lan":"10.1.0.11","wan":"198.51.100.11"},"NodeMeta":{"os":"linux","rack":"r1","rfc1035-note":"txt value"}}`)
	dc1.register(t, `{"Node":"ext1","SkipNodeUpdate":true,
		"Service":{"ID":"web-1","Service":"web","Tags":["v1","primary"],"Address":"10.1.0.111","Port":80,"Meta":{"version":"1"},"Weights":{"Passing":10,"Warning":2},
			"TaggedAddresses":{"lan":{"Address":"10.1.0.111","Port":80},"wan":{"Address":"198.51.100.111","Port":8080}}},
		"Checks":[{"Node":"ext1","CheckID":"host","Name":"host","Status":"passing"},`+check("ext1", "web-1", "web", "passing", "ok")+`]}`)
	dc1.register(t, `{"Node":"ext2","Address":"10.1.0.12","NodeMeta":{"rack":"r2"},
		"Service":{"ID":"web-2","Service":"web","Tags":["v2"],"Port":80,"Weights":{"Passing":5,"Warning":3}},"Check":`+check("ext2", "web-2", "web", "warning", "warning")+`}`)
	dc1.register(t, `{"Node":"ext3","Address":"10.1.0.13","Service":{"ID":"web-3","Service":"web","Tags":["v1"],"Port":80},
		"Check":`+check("ext3", "web-3", "web", "critical", "critical")+`}`)
	dc1.register(t, `{"Node":"ext3","SkipNodeUpdate":true,"Service":{"ID":"down-1","Service":"down","Port":81},
		"Check":`+check("ext3", "down-1", "down", "critical", "critical")+`}`)
	dc1.register(t, `{"Node":"ext2","SkipNodeUpdate":true,"Service":{"ID":"native-1","Service":"native","Port":9092,"Connect":{"Native":true},
		"TaggedAddresses":{"consul-virtual":{"Address":"240.0.0.1","Port":9092}}},"Check":`+check("ext2", "native-1", "native", "passing", "passing")+`}`)
	for _, s := range []string{`"MixedCase","Tags":["UP"]`, `"cname"`, `"dotted"`, `"named"`, `"six","Tags":["v6"]`} {
		dc1.register(t, `{"Node":"ext4","Address":"10.1.0.14","Service":{"Service":`+s+`}}`)
	}
	for i := 1; i <= 30; i++ {
		node, id := fmt.Sprintf("big%02d", i), fmt.Sprintf("many-%02d", i)
		dc1.register(t, fmt.Sprintf(`{"Node":%q,"Address":"10.2.0.%d","Service":{"ID":%q,"Service":"many","Port":%d},"Check":%s}`,
			node, i, id, 7000+i, check(node, id, "many", "passing", "passing")))
	}
	dc2.register(t, `{"Node":"beta","Address":"127.31.2.1","Service":{"Service":"consul"}}`)
	dc2.register(t, `{"Node":"ext5","Address":"10.2.0.15","Service":{"Service":"geo"}}`)
	dc2.register(t, `{"Node":"ext5","Address":"10.2.0.15","Service":{"Service":"web","Tags":["v1"]}}`)

	dc1.place(t, "ext1", &coordinate.Point{
		Vec: []float64{0.001, -0.002, 0.003, 0, 0, 0, 0, 0.0005}, Error: 1.5, Adjustment: -0.0001, Height: 0.00001})

	dc1.put(t, "config/app/limit", "20")
	dc1.put(t, "config/app/name", "hello world")
	dc1.put(t, "config/db", "x=1\ny=2\n")
	dc1.put(t, "config/empty", "")
	dc1.put(t, "bin", "\x00\x01\xfe\xff")
	dc1.put(t, "a b/ü", "non-ascii")
	dc1.put(t, "zz", "last")
	dc2.put(t, "config/only-dc2", "far")
}
