package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// entryServer keeps the entry of exported services, as an agent does.
type entryServer struct {
	t       *testing.T
	entry   map[string]any // nil is none
	index   int
	writes  int
	meddles int // how many writes somebody else comes before
}

func (s *entryServer) serve(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "GET /v1/config/exported-services/default":
		if s.entry == nil {
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, `Config entry not found for "exported-services" / "default"`)
			return
		}
		s.entry["ModifyIndex"] = s.index
		if err := json.NewEncoder(w).Encode(s.entry); err != nil {
			s.t.Error(err)
		}
	case "PUT /v1/config":
		s.writes++
		if s.meddles > 0 {
			s.meddles--
			s.index++
		}
		if r.URL.Query().Get("cas") != fmt.Sprint(s.index) {
			io.WriteString(w, "false")
			return
		}
		s.entry = map[string]any{}
		if err := json.NewDecoder(r.Body).Decode(&s.entry); err != nil {
			s.t.Error(err)
		}
		s.index++
		io.WriteString(w, "true")
	default:
		s.t.Errorf("asked for %s %s", r.Method, r.URL)
	}
}

func TestServicesAreExported(t *testing.T) {
	s := &entryServer{t: t}
	serveAgent(t, s.serve)
	for _, c := range []struct{ args, out, services string }{
		{"-name=web -consumer-peers=east", `Successfully exported service "web" to cluster peers "east"`, `[{"Consumers":[{"Peer":"east"}],"Name":"web"}]`},
		{"-name=web -consumer-peers=east", `Successfully exported service "web" to cluster peers "east"`, `[{"Consumers":[{"Peer":"east"}],"Name":"web"}]`},
		{"-name=web -consumer-peers=east,west", `Successfully exported service "web" to cluster peers "east,west"`, `[{"Consumers":[{"Peer":"east"},{"Peer":"west"}],"Name":"web"}]`},
		{"-name=db -consumer-peers=east -consumer-partitions=p", `Successfully exported service "db" to cluster peers "east" and admin partitions "p"`,
			`[{"Consumers":[{"Peer":"east"},{"Peer":"west"}],"Name":"web"},{"Consumers":[{"Peer":"east"},{"Partition":"p"}],"Name":"db"}]`},
	} {
		stdout, stderr, exit := hanse(t, "", append([]string{"services", "export"}, strings.Fields(c.args)...)...)
		if exit != 0 || stderr != "" || stdout != c.out+"\n" {
			t.Errorf("%s: exit %d, %q, %q", c.args, exit, stdout, stderr)
		}
		if got, err := json.Marshal(s.entry["Services"]); err != nil || string(got) != c.services {
			t.Errorf("%s: %s, want %s", c.args, got, c.services)
		}
	}
	if s.writes != 3 {
		t.Errorf("%d writes for three changes", s.writes)
	}
	s.meddles = 2 // whoever comes in between loses nothing
	if _, stderr, exit := hanse(t, "", "services", "export", "-name=late", "-consumer-peers=x"); exit != 0 {
		t.Errorf("exit %d: %s", exit, stderr)
	}
	s.meddles = 100
	if _, stderr, exit := hanse(t, "", "services", "export", "-name=never", "-consumer-peers=x"); exit != 1 || !strings.Contains(stderr, "try again") {
		t.Errorf("exit %d: %s", exit, stderr)
	}
}

func TestExportSaysWhatIsMissing(t *testing.T) {
	serveAgent(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		io.WriteString(w, "No cluster leader")
	})
	for args, want := range map[string]string{
		"-consumer-peers=x":             "Missing the required -name flag",
		"-name=web":                     "Missing the required -consumer-peers or -consumer-partitions flag",
		"-name=web -consumer-peers=,":   "Missing the required -consumer-peers or -consumer-partitions flag",
		"-name=web -consumer-peers=x y": "Too many arguments",
		"-name=web -consumer-peers=x":   `Error exporting service "web": Unexpected response code: 500 (No cluster leader)`,
	} {
		stdout, stderr, exit := hanse(t, "", append([]string{"services", "export"}, strings.Fields(args)...)...)
		if exit != 1 || stdout != "" || !strings.HasPrefix(stderr, want) {
			t.Errorf("%s: exit %d, %q, %q", args, exit, stdout, stderr)
		}
	}
}
