package gossip

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestKeysSurviveTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "local.keyring")
	keys := [][]byte{[]byte(strings.Repeat("a", 32)), []byte(strings.Repeat("b", 16)), []byte(strings.Repeat("c", 24))}
	if err := saveKeys(file, keys); err != nil {
		t.Fatal(err)
	}
	got, err := loadKeys(file)
	if err != nil || !slices.EqualFunc(got, keys, slices.Equal) {
		t.Errorf("loaded %q, %v; want %q", got, err, keys)
	}
}

func FuzzKeyring(f *testing.F) {
	f.Add([]byte(`["YWFhYWFhYWFhYWFhYWFhYQ=="]`))
	f.Add([]byte(`[]`))
	f.Add([]byte(`null`))
	f.Add([]byte(`["x"]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := parseKeys(text)
		if err == nil && len(keys) == 0 {
			t.Error("no key and no error: gossip would be plain")
		}
		for _, k := range keys {
			if n := len(k); n != 16 && n != 24 && n != 32 {
				t.Errorf("a key of %d bytes", n)
			}
		}
	})
}
