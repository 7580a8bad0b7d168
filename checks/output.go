package checks

import (
	"fmt"
	"strings"
)

// tail keeps the last bytes that are written to it. It never fails.
type tail struct {
	limit int
	total int64
	buf   []byte // a ring once it has limit bytes
	next  int    // where the ring goes on
}

func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	t.total += int64(n)
	if len(p) > t.limit {
		p = p[len(p)-t.limit:]
	}
	if room := t.limit - len(t.buf); room > 0 {
		k := min(room, len(p))
		t.buf = append(t.buf, p[:k]...)
		p = p[k:]
	}
	for len(p) > 0 {
		k := copy(t.buf[t.next:], p)
		t.next = (t.next + k) % t.limit
		p = p[k:]
	}
	return n, nil
}

// String is what was kept, and how much that is of all if something is missing.
func (t *tail) String() string {
	kept := readable(string(t.buf[t.next:]) + string(t.buf[:t.next]))
	if t.total > int64(len(t.buf)) {
		return fmt.Sprintf("Captured %d of %d bytes\n...\n%s", len(t.buf), t.total, kept)
	}
	return kept
}

// readable is a text that any client can read, whatever a check printed.
func readable(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// shorten is a text of at most limit bytes and a word on what is missing.
func shorten(s string, limit int) string {
	t := tail{limit: limit}
	_, _ = t.Write([]byte(s))
	return t.String()
}
