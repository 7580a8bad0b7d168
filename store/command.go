package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// headerLen is the length of what precedes a command's body in a log entry:
//
//	+----+-------------------------+------------------------------+
//	| op | commit time, unix nanos | body, a msgpack array        |
//	| 1  | 8, big endian           | fields in declaration order  |
//	+----+-------------------------+------------------------------+
const headerLen = 9

// commandHandle writes a command's fields as an array, without their names. Fields are
// only ever added at the end of a command: what an old entry lacks decodes to zero.
var commandHandle = func() *codec.MsgpackHandle {
	h := &codec.MsgpackHandle{WriteExt: true}
	h.StructToArray = true
	h.MapType = reflect.TypeFor[map[string]any]()
	h.TypeInfos = codec.NewTypeInfos([]string{"codec"})
	return h
}()

// Encode makes the log entry of a command. The time is the commit time that entries
// and tombstones keep.
func Encode(op Op, at time.Time, cmd any) ([]byte, error) {
	buf := make([]byte, headerLen, 128)
	buf[0] = byte(op)
	binary.BigEndian.PutUint64(buf[1:], uint64(at.UnixNano()))
	var body []byte
	if err := codec.NewEncoderBytes(&body, commandHandle).Encode(cmd); err != nil {
		return nil, fmt.Errorf("encode command %d: %w", op, err)
	}
	return append(buf, body...), nil
}

// decoders are kept: making one costs more than decoding a small command.
var decoders = sync.Pool{New: func() any { return codec.NewDecoderBytes(nil, commandHandle) }}

func decodeCommand(body []byte, into any) error {
	dec := decoders.Get().(*codec.Decoder)
	dec.ResetBytes(body)
	err := dec.Decode(into)
	dec.ResetBytes(nil) // the entry is not to be kept alive
	decoders.Put(dec)
	return err
}

// Log orders commands. [consensus.Node] is the real one.
type Log interface {
	// Propose returns what the command returned, once it is committed and applied here.
	Propose(ctx context.Context, entry []byte) (response any, index uint64, err error)
}

// Propose logs a command and returns what it returned, with the log index it has.
func Propose[R any](ctx context.Context, log Log, op Op, cmd any) (R, uint64, error) {
	var none R
	entry, err := Encode(op, time.Now(), cmd)
	if err != nil {
		return none, 0, err
	}
	response, index, err := log.Propose(ctx, entry)
	if err != nil {
		return none, index, err
	}
	if err, failed := response.(error); failed {
		return none, index, err
	}
	result, ok := response.(R)
	if !ok {
		return none, index, fmt.Errorf("command %d returned a %T, not a %T", op, response, none)
	}
	return result, index, nil
}

var errShortEntry = errors.New("log entry is shorter than its header")

// parseEntry splits a log entry.
func parseEntry(data []byte) (op Op, at int64, body []byte, err error) {
	if len(data) < headerLen {
		return 0, 0, nil, errShortEntry
	}
	return Op(data[0]), int64(binary.BigEndian.Uint64(data[1:headerLen])), data[headerLen:], nil
}
