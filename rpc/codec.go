package rpc

import (
	"reflect"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// Msgpack is the one encoding of everything that servers send each other and of the
// records of a snapshot. Its settings give the same bytes as the servers we federate
// with: byte strings in the string family, times by their MarshalBinary, only `codec`
// tags, map[string]any for opaque maps. It is shared and never changed.
var Msgpack = newMsgpack()

func newMsgpack() *codec.MsgpackHandle {
	h := &codec.MsgpackHandle{WriteExt: false}
	h.RawToString = true
	h.TimeNotBuiltin = true
	h.MapType = reflect.TypeFor[map[string]any]()
	h.TypeInfos = codec.NewTypeInfos([]string{"codec"})
	return h
}
