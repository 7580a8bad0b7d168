package lan

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/serf/serf"
)

const (
	userEventPrefix = "consul:event:"
	// newLeaderEvent is sent by a server that was elected, with its node name.
	newLeaderEvent  = "consul:new-leader"
	userEventFormat = 1
)

// UserEvent is an event that a user fires at agents of this datacenter. The filters
// are regular expressions; empty ones match everything.
type UserEvent struct {
	ID            string `codec:"ID"`
	Name          string `codec:"n"`
	Payload       []byte `codec:"p,omitempty"`
	NodeFilter    string `codec:"nf,omitempty"`
	ServiceFilter string `codec:"sf,omitempty"`
	TagFilter     string `codec:"tf,omitempty"`
	// Version is the format of this payload, 1.
	Version int `codec:"v"`
	// LTime orders events. It is serf's, not part of the payload.
	LTime uint64 `codec:"-"`
}

// userEventHandle is told apart from the handle of the server RPC: here byte strings
// are of msgpack's bin family.
func userEventHandle() *codec.MsgpackHandle {
	h := &codec.MsgpackHandle{WriteExt: true}
	h.RawToString = true
	return h
}

// Fire sends e to all agents of the datacenter. Name and payload as encoded may have
// 512 bytes together.
func (p *Pool) Fire(e UserEvent) error {
	payload, err := encodeUserEvent(e)
	if err != nil {
		return err
	}
	if err := p.UserEvent(userEventPrefix+e.Name, payload, false); err != nil {
		return fmt.Errorf("error broadcasting event: %w", err)
	}
	return nil
}

// AnnounceLeader tells the datacenter that this server was elected.
func (p *Pool) AnnounceLeader() error {
	if err := p.UserEvent(newLeaderEvent, []byte(p.Local().Name), false); err != nil {
		return fmt.Errorf("announce the new leader: %w", err)
	}
	return nil
}

// NewLeader answers the node name of a newly elected server, if e tells of one.
func NewLeader(e serf.UserEvent) (node string, ok bool) {
	return string(e.Payload), e.Name == newLeaderEvent
}

// ParseUserEvent answers the user's event in e. It answers false and no error if e is
// one of those that servers send to each other.
func ParseUserEvent(e serf.UserEvent) (UserEvent, bool, error) {
	name, ok := strings.CutPrefix(e.Name, userEventPrefix)
	if !ok {
		return UserEvent{}, false, nil
	}
	u, err := decodeUserEvent(e.Payload)
	if err != nil {
		return UserEvent{}, false, fmt.Errorf("user event %q: %w", name, err)
	}
	u.LTime = uint64(e.LTime)
	return u, true, nil
}

func encodeUserEvent(e UserEvent) ([]byte, error) {
	e.Version = userEventFormat
	var out []byte
	if err := codec.NewEncoderBytes(&out, userEventHandle()).Encode(e); err != nil {
		return nil, fmt.Errorf("encode user event %q: %w", e.Name, err)
	}
	return out, nil
}

func decodeUserEvent(payload []byte) (UserEvent, error) {
	var e UserEvent
	if err := codec.NewDecoderBytes(payload, userEventHandle()).Decode(&e); err != nil {
		return UserEvent{}, fmt.Errorf("decode: %w", err)
	}
	switch {
	case e.Version != userEventFormat:
		return UserEvent{}, fmt.Errorf("format %d is unknown, want %d", e.Version, userEventFormat)
	case e.Name == "":
		return UserEvent{}, errors.New("it has no name")
	}
	return e, nil
}
