package process

import (
	"fmt"
	"strings"
)

// Tail keeps the last Limit bytes that are written to it. It never fails.
type Tail struct {
	Limit int
	total int64
	buf   []byte // a ring once it has Limit bytes
	next  int    // where the ring goes on
}

// Write implements io.Writer.
func (t *Tail) Write(p []byte) (int, error) {
	n := len(p)
	t.total += int64(n)
	if len(p) > t.Limit {
		p = p[len(p)-t.Limit:]
	}
	if room := t.Limit - len(t.buf); room > 0 {
		k := min(room, len(p))
		t.buf = append(t.buf, p[:k]...)
		p = p[k:]
	}
	for len(p) > 0 {
		k := copy(t.buf[t.next:], p)
		t.next = (t.next + k) % t.Limit
		p = p[k:]
	}
	return n, nil
}

// Empty tells whether nothing was written.
func (t *Tail) Empty() bool { return t.total == 0 }

// String is what was kept, and how much that is of all if something is missing.
func (t *Tail) String() string {
	kept := Readable(string(t.buf[t.next:]) + string(t.buf[:t.next]))
	if t.total > int64(len(t.buf)) {
		return fmt.Sprintf("Captured %d of %d bytes\n...\n%s", len(t.buf), t.total, kept)
	}
	return kept
}

// Readable is a text that any client can read, whatever a command printed.
func Readable(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
