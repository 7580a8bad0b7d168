package forwarder

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/hanse-project/hanse/rpc"
)

const (
	// maxHeader bounds a header, whose longest part is the text of an error.
	maxHeader = 64 << 10
	// maxKept is the largest buffer that is kept for the next message.
	maxKept = 64 << 10
	// writeStep is how much of a message is written at a time. Streams that share a
	// connection take turns at that size, so that no small answer waits for a list.
	writeStep = 64 << 10
)

// header is what stands before the argument or the result of a call.
type header struct {
	seq    uint64
	method string
	// forwarded marks a call that the caller holds this server to be responsible for,
	// so that it must not be passed on. Only Hanse sends it.
	forwarded bool
	// err is the text of the error, "" in a request or a good reply, and reason its
	// [rpc.Reason], "" from a server that is not Hanse.
	err    string
	reason rpc.Reason
}

// The names of the header's fields.
const (
	fieldError     = "Error"
	fieldForwarded = "HanseForwarded"
	fieldReason    = "Reason"
	fieldSeq       = "Seq"
	fieldMethod    = "ServiceMethod"
)

func (h *header) appendRequest(b []byte) []byte {
	if h.forwarded {
		b = append(b, 0x83)
		b = append(appendString(b, fieldForwarded), 0xc3)
	} else {
		b = append(b, 0x82)
	}
	b = appendUint(appendString(b, fieldSeq), h.seq)
	return appendString(appendString(b, fieldMethod), h.method)
}

func (h *header) appendReply(b []byte) []byte {
	if h.reason != "" {
		b = append(b, 0x84)
	} else {
		b = append(b, 0x83)
	}
	b = appendString(appendString(b, fieldError), h.err)
	if h.reason != "" {
		b = appendString(appendString(b, fieldReason), string(h.reason))
	}
	b = appendUint(appendString(b, fieldSeq), h.seq)
	return appendString(appendString(b, fieldMethod), h.method)
}

// parseHeader reads a header that readValue accepted. Unknown fields are skipped, and
// a field of the wrong type is an error.
func parseHeader(b []byte) (h header, err error) {
	if !isMap(b[0]) {
		return h, errors.New("the header is not a map")
	}
	n, b := cutCount(b)
	for ; n > 0; n -= 2 {
		var name, value []byte
		name, b = cutValue(b)
		value, b = cutValue(b)
		if !isString(name[0]) {
			continue
		}
		ok := true
		switch string(stringOf(name)) {
		case fieldSeq:
			h.seq, ok = uintOf(value)
		case fieldMethod:
			h.method, ok = textOf(value)
		case fieldError:
			h.err, ok = textOf(value)
		case fieldReason:
			var reason string
			reason, ok = textOf(value)
			h.reason = rpc.Reason(reason)
		case fieldForwarded:
			h.forwarded = value[0] == 0xc3
		}
		if !ok {
			return h, fmt.Errorf("the header's %s is of the wrong type", stringOf(name))
		}
	}
	return h, nil
}

func textOf(value []byte) (string, bool) {
	if !isString(value[0]) {
		return "", false
	}
	return string(stringOf(value)), true
}

// message is the room in which one message is put together or taken apart.
type message struct {
	// head and body are the encoded values.
	head, body []byte
	enc        *codec.Encoder
	dec        *codec.Decoder
}

var messages = sync.Pool{New: func() any {
	return &message{enc: codec.NewEncoderBytes(nil, rpc.Msgpack), dec: codec.NewDecoderBytes(nil, rpc.Msgpack)}
}}

func newMessage() *message { return messages.Get().(*message) }

// free gives the room back. Nothing decoded from it refers to it.
func (m *message) free() {
	if cap(m.body) > maxKept {
		m.body = nil
	}
	if cap(m.head) > maxKept {
		m.head = nil
	}
	messages.Put(m)
}

// emptyMap is the body where there is nothing to say.
var emptyMap = []byte{0x80}

// encodeBody puts v into body.
func (m *message) encodeBody(v any) error {
	if v == nil {
		m.body = append(m.body[:0], emptyMap...)
		return nil
	}
	if m.body == nil {
		m.body = make([]byte, 0, 512)
	}
	m.enc.ResetBytes(&m.body)
	if err := m.enc.Encode(v); err != nil {
		return fmt.Errorf("encode %T: %w", v, err)
	}
	if len(m.body) == 1 && m.body[0] == 0xc0 {
		m.body = append(m.body[:0], emptyOf(v)...)
	}
	return nil
}

// emptyOf is how peers write v, which is nil: a list or a map is empty.
func emptyOf(v any) []byte {
	t := reflect.TypeOf(v)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Slice:
		return []byte{0x90}
	case reflect.Map, reflect.Struct:
		return emptyMap
	}
	return []byte{0xc0}
}

// decodeBody fills v, which is fresh, from body.
func (m *message) decodeBody(v any) error {
	m.dec.ResetBytes(m.body)
	return m.dec.Decode(v)
}

// read fills head and body with the next message.
func (m *message) read(r *bufio.Reader, limit int) error {
	if err := m.readHead(r); err != nil {
		return err
	}
	return m.readBody(r, limit)
}

func (m *message) readHead(r *bufio.Reader) (err error) {
	m.head, err = readValue(r, m.head[:0], maxHeader)
	return err
}

func (m *message) readBody(r *bufio.Reader, limit int) (err error) {
	m.body, err = readValue(r, m.body[:0], limit)
	return unexpectedEOF(err, true)
}

// deadliner is a connection or stream that bounds how long it is written to.
type deadliner interface {
	io.Writer
	SetWriteDeadline(time.Time) error
}

// write sends head and body. Each step must be taken within patience, 0 for ever.
func (m *message) write(w deadliner, patience time.Duration) error {
	if n := len(m.head); n+len(m.body) <= writeStep {
		m.head = append(m.head, m.body...)
		err := writePart(w, m.head, patience)
		m.head = m.head[:n]
		return err
	}
	if err := writePart(w, m.head, patience); err != nil {
		return err
	}
	for step := range slices.Chunk(m.body, writeStep) {
		if err := writePart(w, step, patience); err != nil {
			return err
		}
	}
	return nil
}

func writePart(w deadliner, b []byte, patience time.Duration) error {
	if patience > 0 {
		if err := w.SetWriteDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
	}
	_, err := w.Write(b)
	return err
}
