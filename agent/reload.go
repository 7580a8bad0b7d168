package agent

import (
	"reflect"
	"slices"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/config"
)

func levelOf(name string) hclog.Level { return hclog.LevelFromString(name) }

// reloadable are the fields of the configuration that a reload takes over, wholly or
// as far as anything runs on them.
var reloadable = []string{"Log", "Definitions", "TLS"}

// needsRestart names the fields that differ and are not taken over by a reload.
func needsRestart(old, new *config.Config) []string {
	var names []string
	a, b := reflect.ValueOf(old).Elem(), reflect.ValueOf(new).Elem()
	for i := range a.NumField() {
		name := a.Type().Field(i).Name
		if !slices.Contains(reloadable, name) && !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			names = append(names, name)
		}
	}
	return names
}
