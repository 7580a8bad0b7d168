//go:build linux

package clients

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/test/lab"
	"github.com/hanse-project/hanse/test/programs"
)

const upstreams = `upstream app {
	{{- range service "app" }}
	server {{ .Address }}:{{ .Port }};
	{{- else }}
	server 127.0.0.1:65535; # nobody
	{{- end }}
}
# limit {{ keyOrDefault "config/limit" "none" }}
{{- range service "app@beijing" }}
# beijing has {{ .ID }}
{{- end }}
`

// consul-template writes the upstreams of nginx and has it reload, so that nginx follows
// the instances of a service.
func TestNginxFollowsInstancesThroughConsulTemplate(t *testing.T) {
	nginx := programs.Installed(t, "nginx", "nginx-light")
	template := programs.Built(t, programs.ConsulTemplate)
	fed := lab.Start(t, lab.Processes(), lab.Servers("shanghai", 3), lab.Clients("shanghai", 1), lab.Servers("beijing", 1))
	agent, dir := fed.Node("shanghai-c1"), t.TempDir()
	front := agent.IP + ":18080"
	conf := filepath.Join(dir, "nginx.conf")
	write(t, filepath.Join(dir, "upstreams.ctmpl"), upstreams)
	write(t, filepath.Join(dir, "upstreams.conf"), "upstream app { server 127.0.0.1:65535; }\n")
	write(t, conf, strings.NewReplacer("DIR", dir, "FRONT", front, "USER", owner()).Replace(`
		USER daemon off; pid DIR/nginx.pid; error_log stderr; worker_processes 1;
		events {}
		http {
			access_log off;
			client_body_temp_path DIR/body; proxy_temp_path DIR/proxy; fastcgi_temp_path DIR/fastcgi; uwsgi_temp_path DIR/uwsgi; scgi_temp_path DIR/scgi;
			include DIR/upstreams.conf;
			server { listen FRONT; location / { proxy_pass http://app; proxy_connect_timeout 2s; } }
		}`))
	programs.Start(t, nginx, nil, "-p", dir, "-e", "stderr", "-c", conf)
	serves(t, front) // by nobody; before that it can be told nothing, and consul-template gives up if it cannot
	programs.Start(t, template, beside(agent), "-template="+dir+"/upstreams.ctmpl:"+dir+"/upstreams.conf:"+
		nginx+" -p "+dir+" -e stderr -c "+conf+" -s reload", "-log-level=warn", "-consul-retry-max-backoff=1s")

	register := func(n *lab.Node, id, status string) {
		t.Helper()
		if err := n.API(t).Agent().ServiceRegister(&api.AgentServiceRegistration{
			ID: id, Name: "app", Address: n.IP, Port: instance(t, n.IP, id),
			Check: &api.AgentServiceCheck{CheckID: id, TTL: "10m", Status: status},
		}); err != nil {
			t.Fatal(err)
		}
	}
	register(agent, "app-1", api.HealthPassing)
	serves(t, front, "app-1")
	register(agent, "app-2", api.HealthPassing)
	register(agent, "app-3", api.HealthCritical)
	serves(t, front, "app-1", "app-2")
	fed.DC("shanghai").KillLeader(t)
	if err := agent.API(t).Agent().UpdateTTL("app-1", "ill", api.HealthCritical); err != nil {
		t.Fatal(err)
	}
	if err := agent.API(t).Agent().UpdateTTL("app-3", "well", api.HealthPassing); err != nil {
		t.Fatal(err)
	}
	serves(t, front, "app-2", "app-3")
	if err := agent.API(t).Agent().ServiceDeregister("app-2"); err != nil {
		t.Fatal(err)
	}
	serves(t, front, "app-3")

	agent.Put(t, "", "config/limit", "20")
	register(fed.Node("beijing-s1"), "app-4", api.HealthPassing)
	rendered(t, filepath.Join(dir, "upstreams.conf"), "# limit 20\n# beijing has app-4\n")
	serves(t, front, "app-3")
}

// owner is what nginx needs in its configuration to write into a folder of root's.
func owner() string {
	if os.Geteuid() == 0 {
		return "user root;"
	}
	return ""
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// instance serves its name, and returns its port.
func instance(t *testing.T, ip, name string) int {
	t.Helper()
	l, err := net.Listen("tcp", ip+":0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, name) })}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// serves waits until ten requests in a row are answered by these instances, each of them
// among the answers, or by none at all.
func serves(t *testing.T, front string, want ...string) {
	t.Helper()
	lab.Until(t, fmt.Sprintf("nginx asks %q", want), func() error {
		var got []string
		for range 10 {
			name, err := ask(front)
			if err != nil {
				return err
			}
			if name != "" && !slices.Contains(got, name) {
				got = append(got, name)
			}
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			return fmt.Errorf("it asks %q", got)
		}
		return nil
	})
}

// ask returns what an instance says, "" if nginx has none.
func ask(front string) (string, error) {
	resp, err := http.Get("http://" + front)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	switch {
	case err != nil || resp.StatusCode == http.StatusBadGateway:
		return "", err
	case resp.StatusCode != http.StatusOK:
		return "", fmt.Errorf("%s: %s", resp.Status, said)
	}
	return string(said), nil
}

func rendered(t *testing.T, path, want string) {
	t.Helper()
	lab.Until(t, "it is rendered", func() error {
		text, err := os.ReadFile(path)
		if err == nil && !strings.HasSuffix(string(text), want) {
			err = fmt.Errorf("it is\n%s", text)
		}
		return err
	})
}
