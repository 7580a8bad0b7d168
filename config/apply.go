package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// sections are the names that hold further keys, such as "ports".
var sections = func() map[string]bool {
	out := map[string]bool{}
	add := func(name string) {
		for i, r := range name {
			if r == '.' {
				out[name[:i]] = true
			}
		}
	}
	for name := range keys {
		add(name)
	}
	for name := range later {
		if _, whole := later[strings.SplitN(name, ".", 2)[0]]; !whole {
			add(name)
		}
	}
	return out
}()

// read applies one source to the draft, and returns all that was wrong with it.
func (d *draft) read(src source) []error {
	values, err := src.decode()
	if err != nil {
		return []error{err}
	}
	var errs mistakes
	d.apply(&errs, src.name, "", values)
	return errs
}

func (d *draft) apply(errs *mistakes, from, prefix string, values map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value := values[name]
		path := prefix + name
		if value == nil {
			continue // null says nothing
		}
		if today, ok := aliases[path]; ok {
			d.warn("%s: %s is an old name: write %s", from, path, today)
			path = today
		}
		note, isLater := later[path]
		switch {
		case d.set(errs, from, path, value):
		case isLater:
			if !isEmpty(value) {
				d.warn("%s: %s was ignored: %s", from, path, note)
			}
		case sections[path]:
			objects, err := toObjects(value)
			if err != nil {
				*errs = append(*errs, &Mistake{path, err.Error(), from})
			}
			for _, o := range objects {
				d.apply(errs, from, path+".", o)
			}
		default:
			says := "unknown key"
			if near := nearestKey(path); near != "" {
				says += fmt.Sprintf(": did you mean %q?", near)
			}
			*errs = append(*errs, &Mistake{path, says, from})
		}
	}
}

// set gives one key its value, and tells whether there is such a key.
func (d *draft) set(errs *mistakes, from, path string, value any) bool {
	k, ok := keys[path]
	if !ok {
		return false
	}
	d.origin[path] = from
	if err := k.set(d, value); err != nil {
		*errs = append(*errs, &Mistake{path, err.Error(), from})
	}
	return true
}
