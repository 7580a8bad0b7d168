//go:build linux

package observe

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/test/lab"
	"github.com/hanse-project/hanse/test/programs"
)

// What dashboards and alerts of others chart comes from this exporter.
func TestTheExporterOfOthersShowsTheDatacenter(t *testing.T) {
	exporter := programs.Built(t, programs.ConsulExporter)
	fed := lab.Start(t, lab.Processes(), keepServers, lab.Servers("shanghai", 3), lab.Clients("shanghai", 1))
	agent := fed.Node("shanghai-c1")
	fed.DC("shanghai").Put(t, "limits/web", "20")
	register := func(status string) {
		t.Helper()
		if err := agent.API(t).Agent().ServiceRegister(&api.AgentServiceRegistration{
			ID: "web-1", Name: "web", Port: 80, Tags: []string{"v1"},
			Check: &api.AgentServiceCheck{CheckID: "alive", Name: "alive", TTL: "10m", Status: status},
		}); err != nil {
			t.Fatal(err)
		}
	}
	register(api.HealthPassing)
	addr := beside(fed, 202, 19107)
	programs.Start(t, exporter, nil, "--web.listen-address="+addr, "--consul.server="+agent.Addr(lab.HTTPPort), "--kv.prefix=limits/", "--log.level=warn")
	shows := func(lines ...string) {
		t.Helper()
		lab.Until(t, fmt.Sprintf("the exporter shows %q", lines), func() error {
			resp, err := http.Get("http://" + addr + "/metrics")
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			if err != nil {
				return err
			}
			for _, line := range lines {
				if !strings.Contains("\n"+string(text), "\n"+line+"\n") {
					return fmt.Errorf("%q is missing in\n%s", line, text)
				}
			}
			return nil
		})
	}
	shows("consul_up 1", "consul_raft_peers 3", "consul_raft_leader 1", "consul_serf_lan_members 4",
		`consul_serf_lan_member_status{member="shanghai-s1"} 1`, "consul_catalog_services 2",
		`consul_catalog_service_node_healthy{node="shanghai-c1",service_id="web-1",service_name="web"} 1`,
		`consul_health_service_status{check="alive",node="shanghai-c1",service_id="web-1",service_name="web",status="passing"} 1`,
		`consul_health_node_status{check="serfHealth",node="shanghai-s1",status="passing"} 1`,
		`consul_service_tag{node="shanghai-c1",service_id="web-1",tag="v1"} 1`, `consul_catalog_kv{key="limits/web"} 20`)

	if err := agent.API(t).Agent().UpdateTTL("alive", "gone", api.HealthCritical); err != nil {
		t.Fatal(err)
	}
	lost := fed.DC("shanghai").KillLeader(t)
	shows("consul_up 1", "consul_raft_leader 1", fmt.Sprintf(`consul_serf_lan_member_status{member=%q} 4`, lost.Name),
		`consul_catalog_service_node_healthy{node="shanghai-c1",service_id="web-1",service_name="web"} 0`,
		fmt.Sprintf(`consul_health_node_status{check="serfHealth",node=%q,status="critical"} 1`, lost.Name))
}
