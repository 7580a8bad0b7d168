package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheConfigurationOfTheCAIsShownAndChanged(t *testing.T) {
	var sent string
	serveAgent(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/connect/ca/configuration" {
			t.Errorf("asked for %s", r.URL)
		}
		if r.Method == http.MethodPut {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			sent = string(body)
			return
		}
		io.WriteString(w, `{"Provider":"consul","Config":{"LeafCertTTL":"72h"},"State":null,"ForceWithoutCrossSigning":false,"CreateIndex":5,"ModifyIndex":9}`)
	})
	out, stderr, exit := hanse(t, "", "connect", "ca", "get-config")
	if exit != 0 || !strings.HasPrefix(out, "{\n\t\"Provider\": \"consul\",\n\t\"Config\": {\n\t\t\"LeafCertTTL\": \"72h\"\n\t},\n") {
		t.Errorf("exit %d, %s%s", exit, out, stderr)
	}
	file := filepath.Join(t.TempDir(), "ca.json")
	if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	out, stderr, exit = hanse(t, "", "connect", "ca", "set-config", "-config-file="+file, "-force-without-cross-signing")
	if exit != 0 || out != "Configuration updated!\n" || !strings.Contains(sent, `"LeafCertTTL":"72h"`) || !strings.Contains(sent, `"ForceWithoutCrossSigning":true`) {
		t.Errorf("exit %d, %s%s, sent %s", exit, out, stderr, sent)
	}
	for _, c := range []struct{ stdin, args, want string }{
		{"", "", "The -config-file flag is required"},
		{"", "-config-file=/does/not/exist", "Failed to read file"},
		{"{", "-config-file=-", "Error parsing config file"},
	} {
		if _, stderr, exit := hanse(t, c.stdin, append([]string{"connect", "ca", "set-config"}, strings.Fields(c.args)...)...); exit != 1 || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit %d, %s", c.args, exit, stderr)
		}
	}
}

func TestConfigEntriesAreWrittenFromFiles(t *testing.T) {
	var sent, asked string
	serveAgent(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		sent, asked = string(body), r.Method+" "+r.URL.RequestURI()
		io.WriteString(w, map[bool]string{true: "false", false: "true"}[r.URL.Query().Has("cas")])
	})
	const web = "kind = \"service-defaults\"\nName = \"web\"\nprotocol = \"http\"\n"
	file := filepath.Join(t.TempDir(), "web.hcl")
	if err := os.WriteFile(file, []byte(web), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		stdin, args string
		exit        int
		want, asked string
	}{
		{"", "write " + file, 0, "Config entry written: service-defaults/web\n", "PUT /v1/config"},
		{web, "write -", 0, "Config entry written: service-defaults/web\n", "PUT /v1/config"},
		{`{"Kind":"service-defaults","Name":"web","Protocol":"http"}`, "write -", 0, "Config entry written: service-defaults/web\n", "PUT /v1/config"},
		{web, "write -cas -modify-index=7 -", 1, "Config entry not updated: service-defaults/web\n", "PUT /v1/config?cas=7"},
		{"", "delete -filename=" + file, 0, "Config entry deleted: service-defaults/web\n", "DELETE /v1/config/service-defaults/web"},
		{"", "delete -kind=service-defaults -name=web -cas -modify-index=7", 1, "Config entry not deleted: service-defaults/web\n", "DELETE /v1/config/service-defaults/web?cas=7"},
		{"", "delete -kind=service-defaults", 1, "Must specify the -name parameter\n", ""},
		{"", "delete -kind=x -filename=y", 1, "filename can't be used with kind or name\n", ""},
		{"", "read -name=web", 1, "Must specify the -kind parameter\n", ""},
		{"", "list", 1, "Must specify the -kind parameter\n", ""},
		{"", "write", 1, "Not enough arguments (expected 1, got 0)\n", ""},
		{"", "write /does/not/exist", 1, "Failed to load data: Failed to read file: open /does/not/exist: no such file or directory\n", ""},
		{"Kind = \"nope\"", "write -", 1, "Failed to decode config entry input: invalid config entry kind: nope\n", ""},
		{"Kind = \"mesh\"\nNope = 1", "write -", 1, "Failed to decode config entry input: 1 error occurred:\n\t* invalid config key \"Nope\"\n\n\n", ""},
		{"Kind = ", "write -", 1, "", ""},
	} {
		sent, asked = "", ""
		out, stderr, exit := hanse(t, c.stdin, append([]string{"config"}, strings.Fields(c.args)...)...)
		if exit != c.exit || c.want != "" && out+stderr != c.want || asked != c.asked {
			t.Errorf("%s: exit %d, asked %q, said %q", c.args, exit, asked, out+stderr)
		}
		if strings.HasPrefix(c.asked, "PUT") && !strings.Contains(sent, `"Name":"web"`) {
			t.Errorf("%s: sent %s", c.args, sent)
		}
	}
}
