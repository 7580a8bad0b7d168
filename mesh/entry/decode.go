package entry

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
	multierror "github.com/hashicorp/go-multierror"

	"github.com/hanse-project/hanse/config"
)

// Parse makes an entry of what JSON or HCL gave. Keys are understood in both spellings,
// MeshGateway and mesh_gateway; one that the kind does not have is a mistake.
func Parse(fields map[string]any) (*Entry, error) {
	kindName, body, err := decode(fields)
	if err != nil {
		return nil, err
	}
	return New(kindName, body)
}

// ParseJSON is [Parse] for a text.
func ParseJSON(text []byte) (*Entry, error) {
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, &SyntaxError{err}
	}
	return Parse(fields)
}

// SyntaxError says that something cannot be read as a config entry at all, unlike one
// whose name or content is refused.
type SyntaxError struct{ Cause error }

// Error implements error.
func (e *SyntaxError) Error() string { return e.Cause.Error() }

// Unwrap returns the cause.
func (e *SyntaxError) Unwrap() error { return e.Cause }

// decode finds the kind, and gives the rest the types of that kind.
func decode(fields map[string]any) (string, api.ConfigEntry, error) {
	fields = maps.Clone(fields)
	kindName, given := "", false
	for key, value := range fields {
		if fold(key) != "kind" {
			continue
		}
		text, ok := value.(string)
		if !ok {
			return "", nil, &SyntaxError{fmt.Errorf("Kind value in payload is not a string")}
		}
		kindName, given = text, true
		delete(fields, key)
	}
	if !given {
		return "", nil, &SyntaxError{fmt.Errorf("Payload does not contain a kind/Kind key at the top level")}
	}
	k, err := kindOf(kindName)
	if err != nil {
		return "", nil, &SyntaxError{err}
	}
	t := reflect.TypeOf(k.make()).Elem()
	if _, has := t.FieldByName("Name"); !has { // of the kind mesh
		if err := takeName(k, fields); err != nil {
			return "", nil, err
		}
	}
	var unknown *multierror.Error
	named, ok := rename(fields, t, "", &unknown).(map[string]any)
	if err := unknown.ErrorOrNil(); err != nil {
		return "", nil, &SyntaxError{err}
	}
	if !ok {
		return "", nil, &SyntaxError{fmt.Errorf("a config entry is an object")}
	}
	named["Kind"] = kindName
	body, err := api.DecodeConfigEntry(named)
	if err != nil {
		return "", nil, &SyntaxError{err}
	}
	return kindName, body, nil
}

// takeName checks the name of an entry whose kind has no room for one.
func takeName(k kind, fields map[string]any) error {
	for key, value := range fields {
		if fold(key) != "name" {
			continue
		}
		if _, err := k.named(fmt.Sprint(value)); err != nil {
			return err
		}
		delete(fields, key)
	}
	return nil
}

// fold is a key without case and underscores.
func fold(key string) string { return strings.ToLower(strings.ReplaceAll(key, "_", "")) }

var timeType = reflect.TypeFor[time.Time]()

// rename gives the keys of v the names that the fields of t have, and notes those that t
// does not have. HCL gives a block as a list of one object, and a repeated block as a
// list of several.
func rename(v any, t reflect.Type, path string, unknown **multierror.Error) any {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if blocks, ok := v.([]map[string]any); ok && len(blocks) == 1 && t.Kind() != reflect.Slice {
		v = blocks[0]
	}
	switch {
	case t.Kind() == reflect.Slice:
		return renameList(v, t.Elem(), path, unknown)
	case t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Interface:
		return config.Opaque(v)
	case t.Kind() == reflect.Map:
		fields, ok := v.(map[string]any)
		if !ok {
			return v
		}
		out := make(map[string]any, len(fields))
		for key, value := range fields {
			out[key] = rename(value, t.Elem(), path+key+".", unknown)
		}
		return out
	case t.Kind() == reflect.Struct && t != timeType:
		return renameStruct(v, t, path, unknown)
	}
	return v
}

func renameStruct(v any, t reflect.Type, path string, unknown **multierror.Error) any {
	fields, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := make(map[string]any, len(fields))
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		name := fold(key)
		f, known := t.FieldByNameFunc(func(n string) bool { return strings.EqualFold(n, name) })
		switch {
		case known && f.IsExported():
			if _, twice := out[f.Name]; twice {
				*unknown = multierror.Append(*unknown, fmt.Errorf("config key %q is given twice", path+key))
			}
			out[f.Name] = rename(fields[key], f.Type, path+key+".", unknown)
		case path == "" && name == "hash": // read from an answer, and meaningless
		default:
			*unknown = multierror.Append(*unknown, fmt.Errorf("invalid config key %q", path+key))
		}
	}
	return out
}

func renameList(v any, t reflect.Type, path string, unknown **multierror.Error) any {
	var items []any
	switch v := v.(type) {
	case []any:
		items = v
	case []map[string]any:
		for _, item := range v {
			items = append(items, item)
		}
	case map[string]any:
		items = []any{v}
	default:
		return v
	}
	out := make([]any, len(items))
	for i, item := range items {
		out[i] = rename(item, t, fmt.Sprintf("%s%d.", path, i), unknown)
	}
	return out
}
