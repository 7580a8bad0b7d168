//go:build linux

package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"
)

// Prefix is the keys of a datacenter below a prefix.
type Prefix struct {
	DC   *DC
	Path string
}

// Below are the keys of the datacenter below a prefix.
func (d *DC) Below(prefix string) Prefix { return Prefix{DC: d, Path: prefix} }

// Pair is what a client reads at a key, without what differs from one datacenter to the
// next.
type Pair struct {
	Value string
	Flags uint64
}

// Read returns all keys by the rest of their names, as the leader has them.
func (p Prefix) Read() (map[string]Pair, error) {
	a, err := p.DC.do(http.MethodGet, p.path("")+"?recurse&consistent", "")
	if err != nil {
		return nil, err
	}
	all := map[string]Pair{}
	if a.Status == http.StatusNotFound {
		return all, nil
	}
	var pairs api.KVPairs
	if err := json.Unmarshal(a.Body, &pairs); err != nil {
		return nil, fmt.Errorf("the keys below %q in %s: %w", p.Path, p.DC.Name, err)
	}
	for _, pair := range pairs {
		all[strings.TrimPrefix(pair.Key, p.Path)] = Pair{Value: string(pair.Value), Flags: pair.Flags}
	}
	return all, nil
}

// WaitEqual returns once the keys are those of another place, by name, value and flags,
// and there are some. It returns how many.
func (p Prefix) WaitEqual(t testing.TB, source Prefix) (keys int) {
	t.Helper()
	Until(t, fmt.Sprintf("%q in %s is %q in %s", p.Path, p.DC.Name, source.Path, source.DC.Name), func() error {
		want, err := source.Read()
		if err != nil {
			return err
		}
		got, err := p.Read()
		if err != nil {
			return err
		}
		if keys = len(want); keys == 0 {
			return errors.New("there are no keys")
		}
		return differences(got, want)
	})
	return keys
}

// differences tells some of them, by the names of keys.
func differences(got, want map[string]Pair) error {
	var list []string
	note := func(what, key string) { list = append(list, fmt.Sprintf("%s %q", what, key)) }
	for _, key := range slices.Sorted(maps.Keys(want)) {
		switch pair, there := got[key]; {
		case !there:
			note("lacks", key)
		case pair.Value != want[key].Value:
			note("has another value at", key)
		case pair.Flags != want[key].Flags:
			note("has other flags at", key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if _, there := want[key]; !there {
			note("has too much", key)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d keys differ: it %s", len(list), len(want), strings.Join(list[:min(len(list), 5)], ", "))
}

// path is that of a key below the prefix in the API.
func (p Prefix) path(key string) string {
	return (&url.URL{Path: "/v1/kv/" + p.Path + key}).EscapedPath()
}

// put is the path at which a PUT gives a key a value, and the flags of the pair.
func (p Prefix) put(key string, pair Pair) string {
	return p.path(key) + "?flags=" + strconv.FormatUint(pair.Flags, 10)
}
