package cache

import (
	"sync"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/hanse-project/hanse/rpc"
)

// canonical gives the same bytes for the same content, whatever the order of its maps.
var canonical = func() *codec.MsgpackHandle {
	h := &codec.MsgpackHandle{WriteExt: true}
	h.Canonical = true
	h.TypeInfos = codec.NewTypeInfos([]string{"codec"})
	return h
}()

type encoder struct {
	buf []byte
	enc *codec.Encoder
}

var encoders = sync.Pool{New: func() any {
	e := &encoder{}
	e.enc = codec.NewEncoderBytes(&e.buf, canonical)
	return e
}}

// keyOf is what tells a question from others: the method and all of the request, the
// token too. How long the caller waits, and how old the answer may be, are no part of
// it, and are taken out of the request.
func keyOf(method string, req rpc.Request) (string, error) {
	q := req.Envelope().Query
	q.MinQueryIndex, q.MaxQueryTime = 0, 0
	q.UseCache, q.MaxAge, q.MustRevalidate, q.StaleIfError, q.MaxStaleDuration = false, 0, false, 0, 0
	content, done, err := encoded(req)
	defer done()
	if err != nil {
		return "", err
	}
	return method + "\x00" + string(content), nil
}

// sizeOf estimates the memory of a reply in bytes: what it takes when encoded, and as
// much again for pointers and headers.
func sizeOf(reply any) int64 {
	content, done, err := encoded(reply)
	defer done()
	if err != nil {
		return 0 // it came over the wire encoded, or never will
	}
	return 2 * int64(len(content))
}

// keepEncoder is the largest buffer, in bytes, that is kept for the next value.
const keepEncoder = 64 << 10

// encoded is the content of a value, valid until done is called.
func encoded(value any) (content []byte, done func(), err error) {
	e := encoders.Get().(*encoder)
	e.buf = e.buf[:0]
	e.enc.ResetBytes(&e.buf)
	err = e.enc.Encode(value)
	return e.buf, func() {
		if cap(e.buf) <= keepEncoder {
			encoders.Put(e)
		}
	}, err
}
