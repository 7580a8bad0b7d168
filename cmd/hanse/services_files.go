package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl"

	"github.com/hanse-project/hanse/local"
)

// servicesIn reads the services that files define, as an agent would.
func servicesIn(files []string) ([]*local.Service, error) {
	var all []*local.Service
	for _, file := range files {
		fields, err := fieldsOf(file)
		if err != nil {
			return nil, err
		}
		found := 0
		for key, value := range fields {
			switch strings.ToLower(key) {
			case "service", "services":
			default:
				continue // an agent's file may hold more
			}
			defs, err := local.ServicesOf(value)
			if err != nil {
				return nil, failf("Error: failed to parse %s: %s: %s", file, key, err)
			}
			all = append(all, defs...)
			found += len(defs)
		}
		if found == 0 {
			return nil, failf("Error: %s defines no service: put one below \"service\", or several below \"services\"", file)
		}
	}
	return all, nil
}

func fieldsOf(file string) (map[string]any, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, failf("Error: config: Open failed on %s. %s", file, err)
	}
	fields := map[string]any{}
	if filepath.Ext(file) == ".hcl" {
		err = hcl.Unmarshal(text, &fields)
	} else {
		err = json.Unmarshal(text, &fields)
	}
	if err != nil {
		return nil, failf("Error: failed to parse %s: %s", file, err)
	}
	return fields, nil
}

// repeated is the value of a flag that may be given several times.
type repeated []string

func (r *repeated) String() string { return strings.Join(*r, ",") }

// Set adds one value.
func (r *repeated) Set(s string) error {
	if s == "" {
		return fmt.Errorf("use a text")
	}
	*r = append(*r, s)
	return nil
}
