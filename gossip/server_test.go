package gossip

import (
	"encoding/hex"
	"encoding/json"
	"maps"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/hashicorp/serf/serf"

	"github.com/hanse-project/hanse/version"
)

// recorded is a part of testdata/gossip.json: members of real agents.
type recorded struct {
	LAN   []recordedMember `json:"lan_dc1"`
	WAN   []recordedMember `json:"wan"`
	Other []struct {
		LANTags map[string]string `json:"lan_tags"`
		WANTags map[string]string `json:"wan_tags"`
		What    string            `json:"what"`
	} `json:"other_kinds_of_agent"`
}

type recordedMember struct {
	Address string            `json:"address"`
	MetaHex string            `json:"memberlist_meta_hex"`
	Name    string            `json:"name"`
	Port    uint16            `json:"port"`
	Tags    map[string]string `json:"tags"`
}

func (m recordedMember) meta(t testing.TB) []byte {
	meta, err := hex.DecodeString(m.MetaHex)
	if err != nil {
		t.Fatal(err)
	}
	return meta
}

func (m recordedMember) member() serf.Member {
	return serf.Member{Name: m.Name, Addr: net.ParseIP(m.Address), Port: m.Port, Tags: m.Tags, Status: serf.StatusAlive}
}

func loadRecorded(t testing.TB) recorded {
	t.Helper()
	text, err := os.ReadFile("testdata/gossip.json")
	if err != nil {
		t.Fatal(err)
	}
	var r recorded
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.LAN) == 0 || len(r.WAN) == 0 || len(r.Other) == 0 {
		t.Fatal("testdata/gossip.json lacks members")
	}
	return r
}

func TestRecordedTagsDecode(t *testing.T) {
	r := loadRecorded(t)
	for _, m := range append(r.LAN, r.WAN...) {
		got, err := decodeTags(m.meta(t))
		if err != nil || !maps.Equal(got, m.Tags) {
			t.Errorf("%s: %v, %v; want %v", m.Name, got, err, m.Tags)
		}
	}
}

func TestRecordedServersParse(t *testing.T) {
	r := loadRecorded(t)
	for _, m := range r.LAN {
		s, ok := ParseServer(m.member())
		if want := m.Tags["role"] == RoleServer; ok != want {
			t.Errorf("%s is a server: %v, want %v", m.Name, ok, want)
		} else if ok && (s.Name != "alpha" || s.Addr() != "127.31.1.2:27300" || s.WANJoinPort != 27302 || !s.Bootstrap ||
			!s.ACLs || s.GRPCPort != 27370 || s.Version != "1.21.4" || s.RaftVersion != 3 || s.ProtocolMax != 3 || s.Feature != 0) {
			t.Errorf("%s parses as %+v", m.Name, s)
		}
	}
	for _, m := range r.WAN {
		s, ok := ParseWANServer(m.member())
		if !ok || s.Member != m.Name || s.Name+"."+s.Datacenter != m.Name || !s.Alive() {
			t.Errorf("%s parses as %+v, %v", m.Name, s, ok)
		}
	}
	for _, o := range r.Other {
		for pool, tags := range map[string]map[string]string{"LAN": o.LANTags, "WAN": o.WANTags} {
			if tags == nil {
				continue
			}
			m := serf.Member{Name: "x", Addr: net.IPv4(127, 0, 0, 1), Tags: tags}
			s, ok := ParseServer(m)
			if ok != (tags["role"] == RoleServer) || s.UseTLS != strings.Contains(o.What, "TLS") {
				t.Errorf("%s (%s) parses as %+v, %v", o.What, pool, s, ok)
			}
		}
	}
}

func TestOurTagsAreThoseOfARecordedServer(t *testing.T) {
	r := loadRecorded(t)
	// What we do not have: gRPC listeners, federation states, intentions.
	absent := []string{"grpc_port", "grpc_tls_port", "ft_fs", "ft_si"}
	check := func(ours, theirs, own map[string]string) {
		t.Helper()
		want := maps.Clone(theirs)
		maps.Copy(want, own)
		for _, tag := range absent {
			delete(want, tag)
		}
		want["build"] = version.Build()
		if !maps.Equal(ours, want) {
			t.Errorf("tags are\n%v, want\n%v", ours, want)
		}
	}
	s := ServerTags{Port: 27300, WANJoinPort: 27302, Bootstrap: true, Expect: 1, ACLs: true}
	for _, m := range r.LAN {
		if m.Tags["role"] == RoleServer {
			check(LANServer(m.Tags["id"], "dc1", s), m.Tags, map[string]string{"hanse": "1"})
		} else {
			check(Client(m.Tags["id"], "dc1"), m.Tags, nil)
		}
	}
	for _, m := range r.WAN {
		check(WANServer(m.Tags["id"], m.Tags["dc"], s), m.Tags, map[string]string{"hanse": "1", "hanse_pool": "wan"})
	}
}

func TestOptionalServerTags(t *testing.T) {
	tags := LANServer("id", "dc1", ServerTags{Port: 8300, Expect: 3, ReadReplica: true, UseTLS: true})
	s, ok := ParseServer(serf.Member{Name: "a", Addr: net.IPv4(10, 0, 0, 1), Tags: tags})
	if !ok || s.Expect != 3 || !s.ReadReplica || !s.UseTLS || s.Bootstrap || s.ACLs || s.WANJoinPort != 0 ||
		s.Feature != version.Feature {
		t.Errorf("server is %+v, %v", s, ok)
	}
}

func TestWhoIsNoServer(t *testing.T) {
	remove := "\x00"
	cases := map[string]struct {
		tag, value string
		server     bool
	}{
		"as it should be":             {"id", "x", true},
		"a client":                    {"role", "node", false},
		"no role":                     {"role", remove, false},
		"no datacenter":               {"dc", "", false},
		"no port":                     {"port", remove, false},
		"port 0":                      {"port", "0", false},
		"port too high":               {"port", "65536", false},
		"port is a word":              {"port", "http", false},
		"no protocol":                 {"vsn", remove, false},
		"protocol is a word":          {"vsn", "two", false},
		"no build":                    {"build", remove, false},
		"build without a version":     {"build", "hanse", false},
		"build with a prefix":         {"build", "hanse-1.16.0-dev", true},
		"no id":                       {"id", remove, true},
		"no raft version":             {"raft_vsn", remove, true},
		"raft version is a word":      {"raft_vsn", "three", false},
		"expect is a word":            {"expect", "three", false},
		"expect is huge":              {"expect", "99999999999999999999", false},
		"a feature that is no number": {"ft_x", "yes", false},
		"a feature":                   {"ft_x", "1", true},
		"no gRPC port that works":     {"grpc_port", "-1", false},
		"a gRPC port":                 {"grpc_tls_port", "8503", true},
		"our feature is a word":       {"hanse", "yes", false},
		"a Consul server":             {"hanse", remove, true},
		"wan_join_port is a word":     {"wan_join_port", "x", false},
		"another segment":             {"segment", "alpha", true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			tags := LANServer("id", "dc1", ServerTags{Port: 8300})
			tags[c.tag] = c.value
			if c.value == remove {
				delete(tags, c.tag)
			}
			if s, ok := ParseServer(serf.Member{Name: "a", Addr: net.IPv4(10, 0, 0, 1), Tags: tags}); ok != c.server {
				t.Errorf("server: %v, want %v (%+v)", ok, c.server, s)
			}
		})
	}
}

func TestWANNamesWithDots(t *testing.T) {
	for _, c := range []struct{ node, dc string }{
		{"192.168.33.11", "shanghai"},
		{"node", "eu.west.1"},
		{"a.shanghai", "shanghai"},
		{"shanghai", "shanghai"},
	} {
		m := serf.Member{Name: WANName(c.node, c.dc), Addr: net.IPv4(10, 0, 0, 1), Tags: WANServer("id", c.dc, ServerTags{Port: 1})}
		if s, ok := ParseWANServer(m); !ok || s.Name != c.node || s.Datacenter != c.dc {
			t.Errorf("%s parses as %q in %q, %v; want %q in %q", m.Name, s.Name, s.Datacenter, ok, c.node, c.dc)
		}
		m.Name = c.node // in the LAN a name is a name
		if s, ok := ParseServer(m); !ok || s.Name != c.node {
			t.Errorf("%s parses as %q, %v in the LAN", m.Name, s.Name, ok)
		}
	}
}

func FuzzMember(f *testing.F) {
	r := loadRecorded(f)
	for _, m := range append(r.LAN, r.WAN...) {
		f.Add(m.Name, m.meta(f), []byte(net.ParseIP(m.Address)))
	}
	f.Add("x", []byte{tagMagic, 0xdf, 0xff, 0xff, 0xff, 0xff}, []byte{1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, name string, meta, ip []byte) {
		tags, err := decodeTags(meta)
		if err != nil {
			return
		}
		s, ok := ParseWANServer(serf.Member{Name: name, Addr: ip, Tags: tags})
		if ok && (s.Port < 1 || s.Port > 65535 || s.Datacenter == "" || s.Version == "" || !s.IP.IsValid() ||
			!strings.HasPrefix(name, s.Name)) {
			t.Errorf("let in as a server: %+v", s)
		}
	})
}
