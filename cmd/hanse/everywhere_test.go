package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// threeDatacenters serves what an agent answers for all of three, one of which is away.
func threeDatacenters(t *testing.T) {
	t.Helper()
	serveAgent(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("dc") != "*" {
			http.Error(w, "not for all", http.StatusBadRequest)
			return
		}
		w.Header().Set("X-Hanse-Missing-Datacenters", "beijing")
		w.Header().Set("X-Hanse-Missing-Reasons", "beijing=timeout")
		query := r.URL.Query()
		key := r.URL.Path
		if query.Has("keys") {
			key += "?keys " + query.Get("separator")
		}
		if query.Has("recurse") {
			key += "?recurse"
		}
		body, known := map[string]string{
			"/v1/kv/a/b%c":         `[{"Datacenter":"osaka","Key":"a/b%c","Value":"MQ=="},{"Datacenter":"shanghai","Key":"a/b%c","Value":"Mg=="}]`,
			"/v1/kv/a/?recurse":    `[{"Datacenter":"osaka","Key":"a/b","Value":"MQ=="}]`,
			"/v1/kv/a/?keys ,":     `[{"Datacenter":"osaka","Key":"a/b"},{"Datacenter":"shanghai","Key":"a/c"}]`,
			"/v1/catalog/nodes":    `[{"Datacenter":"osaka","Node":"n","ID":"1","Address":"10.0.0.1"},{"Datacenter":"shanghai","Node":"n","ID":"2","Address":"10.0.0.2"}]`,
			"/v1/catalog/services": `[{"Datacenter":"osaka","Name":"web","Tags":["b","a"]},{"Datacenter":"shanghai","Name":"web","Tags":[]}]`,
			"/v1/catalog/node/n":   `[{"Datacenter":"osaka","Node":{"Node":"n"},"Services":{"w1":{"Service":"web","Tags":["x"]}}}]`,
			"/v1/catalog/service/web": `[{"Datacenter":"osaka","Node":"n","ID":"1","Address":"10.0.0.1"},{"Datacenter":"osaka","Node":"n","ID":"1","Address":"10.0.0.1"},
				{"Datacenter":"shanghai","Node":"n","ID":"2","Address":"10.0.0.2"}]`,
		}[key]
		if !known {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Write([]byte(body))
	})
}

func TestCommandsForAllDatacenters(t *testing.T) {
	threeDatacenters(t)
	for line, want := range map[string]string{
		"kv get -datacenter=* a/b%c":                 "osaka:1\nshanghai:2\n",
		"kv get -datacenter=* -recurse a/":           "osaka:a/b:1\n",
		"kv get -datacenter=* -keys -separator=, a/": "osaka:a/b\nshanghai:a/c\n",
		"kv get -datacenter=* -recurse none":         "",
		"catalog services -datacenter=*":             "osaka         web\nshanghai      web\n",
		"catalog services -datacenter=* -tags":       "osaka         web      a,b\nshanghai      web      \n",
		"catalog services -datacenter=* -node=n":     "osaka      web\n",
		"catalog nodes -datacenter=*":                "Node  ID  Address   DC\nn     1   10.0.0.1  osaka\nn     2   10.0.0.2  shanghai\n",
		"catalog nodes -datacenter=* -service=web":   "Node  ID  Address   DC\nn     1   10.0.0.1  osaka\nn     2   10.0.0.2  shanghai\n",
	} {
		stdout, stderr, exit := hanse(t, "", strings.Fields(line)...)
		if exit != 0 || stdout != want || stderr != "Datacenter beijing did not answer: timeout\n" {
			t.Errorf("%s: exit %d, %q\n%s\nwant\n%s", line, exit, stderr, stdout, want)
		}
	}
	stdout, _, _ := hanse(t, "", "kv", "get", "-datacenter=*", "-detailed", "a/b%c")
	if !strings.HasPrefix(stdout, "Datacenter       osaka\nCreateIndex ") || strings.Count(stdout, "Datacenter") != 2 {
		t.Errorf("in detail:\n%s", stdout)
	}
	_, stderr, exit := hanse(t, "", "kv", "get", "-datacenter=*", "none")
	if exit != 1 || !strings.Contains(stderr, "No key exists at: none") || !strings.Contains(stderr, "beijing did not answer") {
		t.Errorf("a key that is nowhere: exit %d, %q", exit, stderr)
	}
	if _, stderr, exit := hanse(t, "", "kv", "get", "none"); exit != 1 || !strings.Contains(stderr, "not for all") {
		t.Errorf("without a datacenter: exit %d, %q", exit, stderr)
	}
}

func TestJSONForAllDatacentersSaysWhoIsMissing(t *testing.T) {
	threeDatacenters(t)
	for line, rows := range map[string]int{
		"catalog nodes": 2, "catalog nodes -service=web": 2, "catalog services": 2, "catalog services -node=n": 1, "catalog services -node=none": 0,
	} {
		stdout, stderr, exit := hanse(t, "", strings.Fields(line+" -datacenter=* -format=json")...)
		var all struct {
			Rows    []struct{ Datacenter string }
			Missing []struct{ Datacenter, Reason string }
		}
		if err := json.Unmarshal([]byte(stdout), &all); err != nil || exit != 0 || stderr != "" || all.Rows == nil {
			t.Errorf("%s: exit %d, %v, %q\n%s", line, exit, err, stderr, stdout)
			continue
		}
		if len(all.Rows) != rows || len(all.Missing) != 1 || all.Missing[0].Datacenter != "beijing" || all.Missing[0].Reason != "timeout" {
			t.Errorf("%s: %+v", line, all)
		}
	}
}
