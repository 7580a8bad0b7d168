package gossip

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"

	"github.com/hanse-project/hanse/version"
)

// Roles of a member, the values of the tag "role".
const (
	RoleServer = "consul"
	RoleClient = "node"
)

// Protocol versions of the tags "vsn", "vsn_min" and "vsn_max", and the Raft
// protocol of "raft_vsn".
const (
	protocol     = 2
	protocolMin  = 2
	protocolMax  = 3
	raftProtocol = 3
)

// ServerTags is what a server tells its peers besides who it is.
type ServerTags struct {
	// Port is the server RPC port.
	Port int
	// WANJoinPort is where LAN peers find this server in the WAN pool. It is told
	// in the LAN pool only; 0 means that this server is in no WAN pool.
	WANJoinPort int
	// Bootstrap says that this server may elect itself alone.
	Bootstrap bool
	// Expect is bootstrap_expect, told when above 1.
	Expect int
	// ReadReplica servers have no vote.
	ReadReplica bool
	// UseTLS says that the RPC port takes TLS.
	UseTLS bool
	// ACLs says whether the ACL system is on.
	ACLs bool
}

// poolTag marks our servers in the WAN pool. A member of the same server looks the
// same in both pools otherwise, and joining the port of the wrong pool would make one
// of the two.
const (
	poolTag = "hanse_pool"
	poolWAN = "wan"
)

// LANServer returns the tags of a server in the LAN pool.
func LANServer(nodeID, dc string, s ServerTags) map[string]string {
	tags := server(nodeID, dc, s)
	if s.WANJoinPort > 0 {
		tags["wan_join_port"] = strconv.Itoa(s.WANJoinPort)
	}
	return tags
}

// WANServer returns the tags of a server in the WAN pool.
func WANServer(nodeID, dc string, s ServerTags) map[string]string {
	tags := server(nodeID, dc, s)
	tags[poolTag] = poolWAN
	return tags
}

// IsWANMember says that m is one of our servers in the WAN pool. Consul's servers
// have no such mark.
func IsWANMember(m serf.Member) bool { return m.Tags[poolTag] == poolWAN }

func server(nodeID, dc string, s ServerTags) map[string]string {
	tags := common(nodeID, dc, RoleServer)
	tags["port"] = strconv.Itoa(s.Port)
	tags["raft_vsn"] = strconv.Itoa(raftProtocol)
	tags["hanse"] = strconv.Itoa(version.Feature)
	tags["acls"] = "0"
	if s.ACLs {
		tags["acls"] = "1"
	}
	if s.Bootstrap {
		tags["bootstrap"] = "1"
	}
	if s.Expect > 1 {
		tags["expect"] = strconv.Itoa(s.Expect)
	}
	if s.ReadReplica {
		tags["read_replica"] = "1"
	}
	if s.UseTLS {
		tags["use_tls"] = "1"
	}
	return tags
}

// Client returns the tags of a client agent, which is in the LAN pool only.
func Client(nodeID, dc string) map[string]string {
	return common(nodeID, dc, RoleClient)
}

func common(nodeID, dc, role string) map[string]string {
	return map[string]string{
		"role":    role,
		"dc":      dc,
		"id":      nodeID,
		"segment": "", // peers expect it, and ignore servers of other segments
		"vsn":     strconv.Itoa(protocol),
		"vsn_min": strconv.Itoa(protocolMin),
		"vsn_max": strconv.Itoa(protocolMax),
		"build":   version.Build(),
	}
}

// tagMagic begins metadata that holds tags. Anything else is the bare role of
// members older than tags.
const tagMagic = 255

// decodeTags reads the metadata of a member as it travels in gossip.
//
//	+-----+----------------------------------+
//	| 255 | msgpack map of string to string  |
//	+-----+----------------------------------+
func decodeTags(meta []byte) (map[string]string, error) {
	if len(meta) > memberlist.MetaMaxSize {
		return nil, fmt.Errorf("tags are %d bytes long, more than %d", len(meta), memberlist.MetaMaxSize)
	}
	if len(meta) == 0 || meta[0] != tagMagic {
		return nil, errors.New("member has no tags")
	}
	var tags map[string]string
	if err := codec.NewDecoderBytes(meta[1:], &codec.MsgpackHandle{}).Decode(&tags); err != nil {
		return nil, fmt.Errorf("decode tags: %w", err)
	}
	return tags, nil
}
