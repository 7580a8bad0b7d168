package checks

import "github.com/hanse-project/hanse/process"

// shorten is a text of at most limit bytes and a word on what is missing.
func shorten(s string, limit int) string {
	t := process.Tail{Limit: limit}
	_, _ = t.Write([]byte(s))
	return t.String()
}
