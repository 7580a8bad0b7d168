package version

import (
	"cmp"
	"runtime/debug"
)

// Build is the value of the gossip tag "build". Peers take the first N.N.N in it.
func Build() string { return Consul + ":hanse-" + Hanse }

// Commit is what the Go toolchain noted in this binary of the commit it was made from: its
// hash, "" if none is known, and its time, which is early in 1970 then, because parsers
// want one.
func Commit() (revision, date string) {
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, s := range build.Settings {
			switch s.Key {
			case "vcs.revision":
				revision = s.Value
			case "vcs.time":
				date = s.Value
			}
		}
	}
	return revision, cmp.Or(date, "1970-01-01T00:00:01Z")
}
