package event

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/hanse-project/hanse/rpc"
)

const (
	// gossipPrefix begins the names of user events in gossip. Others are between servers.
	gossipPrefix = "consul:event:"
	// format is the version of the encoding.
	format = 1
)

// handle is told apart from the handle of the server RPC: here byte strings are of
// msgpack's bin family.
var handle = func() *codec.MsgpackHandle {
	h := &codec.MsgpackHandle{WriteExt: true}
	h.RawToString = true
	return h
}()

// Encode is the event as it travels.
func (e *Event) Encode() ([]byte, error) {
	sent := *e
	sent.Version = format
	var out []byte
	if err := codec.NewEncoderBytes(&out, handle).Encode(sent); err != nil {
		return nil, fmt.Errorf("encode event %q: %w", e.Name, err)
	}
	return out, nil
}

var validID = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// Decode reads an event as it travels. Whoever is in the gossip pool may have sent it.
func Decode(payload []byte) (*Event, error) {
	var e Event
	if err := codec.NewDecoderBytes(payload, handle).Decode(&e); err != nil {
		return nil, fmt.Errorf("decode event: %w", err)
	}
	switch {
	case e.Version != format:
		return nil, fmt.Errorf("decode event: format %d is unknown, want %d", e.Version, format)
	case e.Name == "":
		return nil, errors.New("decode event: it has no name")
	case !validID.MatchString(e.ID):
		// Clients work with the ID, and some fail on another.
		return nil, fmt.Errorf("decode event %q: its ID is not a UUID", e.Name)
	}
	return &e, nil
}

// filters are the compiled filters of an event. One that is empty is nil.
type filters struct{ node, service, tag *regexp.Regexp }

func (e *Event) filters() (f filters, err error) {
	for _, one := range []struct {
		what, text string
		into       **regexp.Regexp
	}{{"node", e.NodeFilter, &f.node}, {"service", e.ServiceFilter, &f.service}, {"tag", e.TagFilter, &f.tag}} {
		if one.text == "" {
			continue
		}
		if *one.into, err = regexp.Compile(one.text); err != nil {
			return f, rpc.Failed(fmt.Sprintf("Invalid %s filter: %v", one.what, err))
		}
	}
	if f.tag != nil && f.service == nil {
		return f, rpc.Failed("Cannot provide tag filter without service filter")
	}
	return f, nil
}

// Validate says what is wrong with an event that somebody wants to fire.
func (e *Event) Validate() error {
	if e.Name == "" {
		return rpc.Failed("User event missing name")
	}
	_, err := e.filters()
	return err
}
