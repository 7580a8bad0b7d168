package forwarder

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// maxDepth is how deeply containers may nest in a message.
const maxDepth = 128

var (
	errTooDeep  = errors.New("the message nests too deeply")
	errTooLarge = errors.New("the message is too large")
)

// shape is what the first byte of a MessagePack value says of the rest of it.
type shape struct {
	valid bool
	// width is how many bytes of length follow; the length counts bytes, or elements
	// if perCount is not 0: one value each in an array, two in a map.
	width, perCount uint8
	// elements and body are the values and bytes that follow in any case.
	elements, body uint8
}

// shapes is indexed by first byte.
var shapes = func() (t [256]shape) {
	set := func(from, to int, of func(i int) shape) {
		for c := from; c <= to; c++ {
			t[c] = of(c - from)
			t[c].valid = true
		}
	}
	fixed := func(body uint8) func(int) shape {
		return func(int) shape { return shape{body: body} }
	}
	counted := func(perCount, body uint8, widths ...uint8) func(int) shape {
		return func(i int) shape { return shape{width: widths[i], perCount: perCount, body: body} }
	}
	set(0x00, 0x7f, fixed(0)) // small integers
	set(0x80, 0x8f, func(i int) shape { return shape{elements: uint8(2 * i)} })
	set(0x90, 0x9f, func(i int) shape { return shape{elements: uint8(i)} })
	set(0xa0, 0xbf, func(i int) shape { return shape{body: uint8(i)} })
	set(0xc0, 0xc0, fixed(0))                                           // nil
	set(0xc2, 0xc3, fixed(0))                                           // booleans
	set(0xc4, 0xc6, counted(0, 0, 1, 2, 4))                             // byte strings
	set(0xc7, 0xc9, counted(0, 1, 1, 2, 4))                             // extensions, with a byte of type
	set(0xca, 0xcb, func(i int) shape { return shape{body: 4 << i} })   // floats
	set(0xcc, 0xcf, func(i int) shape { return shape{body: 1 << i} })   // unsigned integers
	set(0xd0, 0xd3, func(i int) shape { return shape{body: 1 << i} })   // signed integers
	set(0xd4, 0xd8, func(i int) shape { return shape{body: 1 + 1<<i} }) // extensions of fixed size
	set(0xd9, 0xdb, counted(0, 0, 1, 2, 4))                             // strings
	set(0xdc, 0xdd, counted(1, 0, 2, 4))                                // arrays
	set(0xde, 0xdf, counted(2, 0, 2, 4))                                // maps
	set(0xe0, 0xff, fixed(0))                                           // small negative integers
	return t
}()

// extent is how many values and bytes follow the length n.
func (s shape) extent(n uint64) (elements, body uint64) {
	if s.perCount == 0 {
		return uint64(s.elements), n + uint64(s.body)
	}
	return n * uint64(s.perCount), 0
}

// readValue appends the bytes of exactly one MessagePack value to buf. It allocates
// for bytes that arrived, never for a length that was merely announced, so a decoder
// that is given the result finds every element that a container promises.
func readValue(r *bufio.Reader, buf []byte, limit int) ([]byte, error) {
	start := len(buf)
	// lacking holds, for every container that is being read, how many values it still
	// lacks. The value itself is the one element of the outermost.
	var lacking [maxDepth + 1]uint64
	lacking[0] = 1
	for depth := 0; depth >= 0; {
		if lacking[depth] == 0 {
			depth--
			continue
		}
		lacking[depth]--
		c, err := r.ReadByte()
		if err != nil {
			return buf, unexpectedEOF(err, len(buf) > start)
		}
		buf = append(buf, c)
		s := shapes[c]
		if !s.valid {
			return buf, fmt.Errorf("byte %#x begins no value", c)
		}
		at := len(buf)
		if buf, err = readN(r, buf, int(s.width)); err != nil {
			return buf, unexpectedEOF(err, true)
		}
		elements, body := s.extent(bigEndian(buf[at:]))
		room := limit - (len(buf) - start)
		if room < 0 || body > uint64(room) || elements > uint64(room) {
			return buf, errTooLarge
		}
		if buf, err = readN(r, buf, int(body)); err != nil {
			return buf, unexpectedEOF(err, true)
		}
		if elements > 0 {
			if depth == maxDepth {
				return buf, errTooDeep
			}
			depth++
			lacking[depth] = elements
		}
	}
	return buf, nil
}

// readStep is how much of a long string is read at a time.
const readStep = 64 << 10

// readN appends n bytes.
func readN(r *bufio.Reader, buf []byte, n int) ([]byte, error) {
	for n > 0 {
		step := min(n, readStep)
		at := len(buf)
		buf = slices.Grow(buf, step)[:at+step]
		if got, err := io.ReadFull(r, buf[at:]); err != nil {
			return buf[:at+got], err
		}
		n -= step
	}
	return buf, nil
}

func unexpectedEOF(err error, begun bool) error {
	if begun && err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func bigEndian(b []byte) (n uint64) {
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return n
}

// cutValue divides b, which begins with a value that readValue accepted, behind it.
func cutValue(b []byte) (value, rest []byte) {
	at := 0
	for lacking := uint64(1); lacking > 0; lacking-- {
		s := shapes[b[at]]
		at++
		elements, body := s.extent(bigEndian(b[at : at+int(s.width)]))
		at += int(s.width) + int(body)
		lacking += elements
	}
	return b[:at], b[at:]
}

// cutCount takes the number of elements off the front of a container.
func cutCount(b []byte) (n uint64, rest []byte) {
	s := shapes[b[0]]
	n, _ = s.extent(bigEndian(b[1 : 1+s.width]))
	return n, b[1+s.width:]
}

// isMap and isString tell the kind of the value that begins with c.
func isMap(c byte) bool    { return c&0xf0 == 0x80 || c == 0xde || c == 0xdf }
func isString(c byte) bool { return c&0xe0 == 0xa0 || c >= 0xd9 && c <= 0xdb || c >= 0xc4 && c <= 0xc6 }

// stringOf is the content of a string value.
func stringOf(value []byte) []byte { return value[1+shapes[value[0]].width:] }

// uintOf is the number that an unsigned value holds, and whether it is one.
func uintOf(value []byte) (uint64, bool) {
	switch c := value[0]; {
	case c < 0x80:
		return uint64(c), true
	case c >= 0xcc && c <= 0xcf:
		return bigEndian(value[1:]), true
	}
	return 0, false
}

// appendString appends s as peers write strings: never with an 8-bit length.
func appendString(b []byte, s string) []byte {
	switch n := len(s); {
	case n < 32:
		b = append(b, 0xa0|byte(n))
	case n <= math.MaxUint16:
		b = binary.BigEndian.AppendUint16(append(b, 0xda), uint16(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 0xdb), uint32(n))
	}
	return append(b, s...)
}

// appendUint appends n in the smallest of the unsigned forms.
func appendUint(b []byte, n uint64) []byte {
	switch {
	case n < 0x80:
		return append(b, byte(n))
	case n <= math.MaxUint8:
		return append(b, 0xcc, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, 0xcd), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, 0xce), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xcf), n)
}
