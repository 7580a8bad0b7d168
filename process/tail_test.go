package process_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hanse-project/hanse/process"
)

func TestTailIsTheEndOfAnything(t *testing.T) {
	var all strings.Builder
	out := &process.Tail{Limit: 10}
	for n := range 30 {
		piece := strings.Repeat(string(rune('a'+n%26)), n%13)
		all.WriteString(piece)
		if k, err := out.Write([]byte(piece)); k != len(piece) || err != nil {
			t.Fatalf("%d of %d bytes were taken: %v", k, len(piece), err)
		}
		want := all.String()
		if len(want) > 10 {
			want = fmt.Sprintf("Captured 10 of %d bytes\n...\n%s", len(want), want[len(want)-10:])
		}
		if got := out.String(); got != want {
			t.Fatalf("after %q the tail is %q, want %q", all.String(), got, want)
		}
	}
}
