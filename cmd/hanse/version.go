package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/hanse-project/hanse/version"
)

// Versions of the server protocol that agents announce.
const (
	protocolDefault = 2
	protocolMin     = 2
	protocolMax     = 3
)

var versionCommand = command{
	name:     "version",
	short:    "Print the version",
	long:     "Prints the version of Hanse, and that of the Consul whose interfaces it has.\nAs JSON, Version is the latter: programs parse it to learn what they may use.",
	examples: []string{"version", "version -format=json"},
	prepare: func(fs *flag.FlagSet) work {
		format := formatFlag(fs)
		return func(_ context.Context, std stdio, _ []string) error {
			v := thisBuild()
			if *format == formatJSON {
				return printJSON(std.out, v)
			}
			v.print(std.out)
			return nil
		}
	},
}

// buildVersion is what version -format=json prints. Hanse is the one field that
// Consul does not have.
type buildVersion struct {
	Version    string
	Hanse      string
	Revision   string
	Prerelease string
	BuildDate  string
	RPC        rpcVersions
}

type rpcVersions struct{ Default, Min, Max int }

// thisBuild returns the versions of this binary.
func thisBuild() buildVersion {
	revision, date := version.Commit()
	return buildVersion{
		Version: version.Consul, Hanse: version.Hanse, Revision: revision, BuildDate: date,
		RPC: rpcVersions{protocolDefault, protocolMin, protocolMax},
	}
}

func (v buildVersion) print(w io.Writer) {
	fmt.Fprintf(w, "Hanse v%s\nConsul v%s interfaces\n", v.Hanse, v.Version)
	if v.Revision != "" {
		fmt.Fprintf(w, "Revision %s\n", v.Revision)
	}
	fmt.Fprintf(w, "Build Date %s\n", v.BuildDate)
	fmt.Fprintf(w, "Protocol %d spoken by default, understands %d to %d (agent will automatically use protocol >%d when speaking to compatible agents)\n\n",
		v.RPC.Default, v.RPC.Min, v.RPC.Max, v.RPC.Default)
}
