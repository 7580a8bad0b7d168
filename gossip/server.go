package gossip

import (
	"cmp"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/hashicorp/serf/serf"
)

// Server is a member that speaks the server RPC, as read from its tags.
type Server struct {
	// Name is the node name, without the datacenter in either pool.
	Name string
	// Member is the name in the pool: Name in the LAN, Name.Datacenter in the WAN.
	Member string
	// ID is the node ID. Members that have none leave it empty.
	ID         string
	Datacenter string
	Segment    string
	// IP is the gossip address, which is also the address of the RPC port.
	IP netip.Addr
	// Port is the server RPC port.
	Port int
	// WANJoinPort is 0 in the WAN pool and on servers that are in no WAN pool.
	WANJoinPort int
	// Build is the tag as it is, Version the first N.N.N in it.
	Build, Version           string
	ProtocolMin, ProtocolMax int
	RaftVersion              int
	Bootstrap                bool
	Expect                   int
	ReadReplica              bool
	UseTLS                   bool
	ACLs                     bool
	// GRPCPort and GRPCTLSPort are 0 where nothing listens.
	GRPCPort, GRPCTLSPort int
	// Feature says which calls of our own the server answers. 0 is a Consul server.
	Feature int
	Status  serf.MemberStatus
}

// Addr returns the address of the server RPC port as ip:port.
func (s Server) Addr() string {
	return netip.AddrPortFrom(s.IP, uint16(s.Port)).String()
}

// Alive says whether gossip holds the server for reachable.
func (s Server) Alive() bool { return s.Status == serf.StatusAlive }

// String is for log lines.
func (s Server) String() string {
	return fmt.Sprintf("%s (Addr: tcp/%s) (DC: %s)", s.Member, s.Addr(), s.Datacenter)
}

// WANName is the name of a server of dc in the WAN pool.
func WANName(node, dc string) string { return node + "." + dc }

// ParseServer reads a member of the LAN pool. It answers false for client agents
// and for members whose tags do not make a server.
func ParseServer(m serf.Member) (Server, bool) {
	s, err := parse(m)
	return s, err == nil
}

// ParseWANServer is [ParseServer] for a member of the WAN pool. Node names and
// datacenter names may hold dots, so the tag alone says where one ends.
func ParseWANServer(m serf.Member) (Server, bool) {
	s, err := parse(m)
	s.Name = strings.TrimSuffix(s.Name, "."+s.Datacenter)
	return s, err == nil
}

var buildVersion = regexp.MustCompile(`\d+\.\d+\.\d+`)

func parse(m serf.Member) (Server, error) {
	if role := m.Tags["role"]; role != RoleServer {
		return Server{}, fmt.Errorf("role is %q, want %q", role, RoleServer)
	}
	p := tagParser{tags: m.Tags}
	ip, ok := netip.AddrFromSlice(m.Addr)
	if !ok {
		p.fail("address has %d bytes, want 4 or 16", len(m.Addr))
	}
	s := Server{
		Name:        m.Name,
		Member:      m.Name,
		ID:          m.Tags["id"],
		Datacenter:  m.Tags["dc"],
		Segment:     m.Tags["segment"],
		IP:          ip.Unmap(),
		Port:        p.port("port"),
		WANJoinPort: p.number("wan_join_port", 0, 65535),
		Build:       m.Tags["build"],
		Version:     buildVersion.FindString(m.Tags["build"]),
		ProtocolMin: p.number("vsn_min", 0, 255),
		ProtocolMax: p.number("vsn_max", 0, 255),
		RaftVersion: p.number("raft_vsn", 0, 255),
		Bootstrap:   p.present("bootstrap"),
		Expect:      p.number("expect", 0, maxExpect),
		ReadReplica: p.present("read_replica") || p.present("nonvoter"),
		UseTLS:      p.present("use_tls"),
		ACLs:        m.Tags["acls"] == "1",
		GRPCPort:    p.number("grpc_port", -1, 65535),
		GRPCTLSPort: p.number("grpc_tls_port", -1, 65535),
		Feature:     p.number("hanse", 0, 1<<20),
		Status:      m.Status,
	}
	p.number("vsn", 0, 255)
	p.features()
	switch {
	case m.Name == "":
		p.fail("member has no name")
	case s.Datacenter == "":
		p.fail("tag dc is empty")
	case !p.present("vsn"):
		p.fail("tag vsn is missing")
	case s.Version == "":
		p.fail("tag build is %q, want a version N.N.N in it", s.Build)
	case (p.present("grpc_port") || p.present("grpc_tls_port")) && s.GRPCPort < 1 && s.GRPCTLSPort < 1:
		p.fail("tags grpc_port and grpc_tls_port name no port")
	}
	return s, p.err
}

// maxExpect is far above any real cluster; it keeps sums of it from overflowing.
const maxExpect = 1 << 16

// tagParser reads numbers out of tags and keeps the first mistake.
type tagParser struct {
	tags map[string]string
	err  error
}

func (p *tagParser) fail(format string, args ...any) {
	p.err = cmp.Or(p.err, fmt.Errorf(format, args...))
}

func (p *tagParser) present(tag string) bool {
	_, ok := p.tags[tag]
	return ok
}

// number reads a tag that may be absent, which counts as 0.
func (p *tagParser) number(tag string, low, high int) int {
	text, ok := p.tags[tag]
	if !ok {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		p.fail("tag %s is %q, want a number from %d to %d", tag, text, low, high)
		return 0
	}
	return n
}

func (p *tagParser) port(tag string) int {
	n := p.number(tag, 1, 65535)
	if n == 0 {
		p.fail("tag %s is missing", tag)
	}
	return n
}

// features checks the tags ft_*, which peers require to be numbers.
func (p *tagParser) features() {
	for tag, text := range p.tags {
		if _, err := strconv.Atoi(text); err != nil && strings.HasPrefix(tag, "ft_") {
			p.fail("tag %s is %q, want a number", tag, text)
		}
	}
}
