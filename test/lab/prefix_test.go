//go:build linux

package lab

import (
	"net/http"
	"strings"
	"testing"
)

func TestDifferencesOfTwoPlacesAreFound(t *testing.T) {
	want := map[string]Pair{"a": {"1", 0}, "b": {"2", 0}, "c": {"3", 1}}
	for name, c := range map[string]struct {
		got  map[string]Pair
		want string
	}{
		"none":         {map[string]Pair{"a": {"1", 0}, "b": {"2", 0}, "c": {"3", 1}}, ""},
		"a key lacks":  {map[string]Pair{"a": {"1", 0}, "c": {"3", 1}}, `1 of 3 keys differ: it lacks "b"`},
		"a key more":   {map[string]Pair{"a": {"1", 0}, "b": {"2", 0}, "c": {"3", 1}, "d": {}}, `1 of 3 keys differ: it has too much "d"`},
		"a value":      {map[string]Pair{"a": {"1", 0}, "b": {"3", 0}, "c": {"3", 1}}, `1 of 3 keys differ: it has another value at "b"`},
		"flags":        {map[string]Pair{"a": {"1", 0}, "b": {"2", 0}, "c": {"3", 0}}, `1 of 3 keys differ: it has other flags at "c"`},
		"all is other": {map[string]Pair{"x": {}}, `4 of 3 keys differ: it lacks "a", lacks "b", lacks "c", has too much "x"`},
	} {
		text := ""
		if err := differences(c.got, want); err != nil {
			text = err.Error()
		}
		if text != c.want {
			t.Errorf("%s: %q, want %q", name, text, c.want)
		}
	}
}

func TestPlacesWithTheSameKeysAreEqual(t *testing.T) {
	fed := Start(t, Apart(), Servers("shanghai", 1), Servers("beijing", 1))
	source, other := fed.DC("shanghai").Below("a/"), fed.DC("beijing").Below("b/")
	source.Fill(t, 100, 10)
	w := source.Write(t, 100, 200)
	w.WaitAcked(t, 100)
	if w.Stop(t); w.Failed() > 0 {
		t.Error("all is well, and writes failed")
	}
	keys, err := source.Read()
	if err != nil {
		t.Fatal(err)
	}
	for key, pair := range keys {
		if !strings.Contains(key, "/") {
			t.Errorf("a key is named %q", key)
		}
		set := other.put(key, pair)
		if err := done(other.DC.do(http.MethodPut, set, pair.Value)); err != nil {
			t.Fatal(err)
		}
	}
	if n := other.WaitEqual(t, source); n != len(keys) {
		t.Errorf("%d keys are equal, of %d", n, len(keys))
	}
}
