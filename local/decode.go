package local

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/config"
)

// decodeFailed begins the text about a body that cannot be read. Clients match it.
const decodeFailed = "Request decode failed: "

// ParseService reads the JSON body of a registration.
func ParseService(body []byte) (*Service, error) { return parse[Service](body) }

// ParseCheck reads the JSON body of a check's registration.
func ParseCheck(body []byte) (*Check, error) { return parse[Check](body) }

func parse[T any](body []byte) (*T, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	fields := map[string]any{}
	if err := dec.Decode(&fields); err != nil {
		return nil, invalid(decodeFailed + err.Error())
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, invalid(decodeFailed + "there is more behind the JSON value")
	}
	def := new(T)
	if err := (decoder{}).decode("", fields, reflect.ValueOf(def).Elem()); err != nil {
		return nil, invalid(decodeFailed + err.Error())
	}
	return def, nil
}

// decodeFile reads a definition as it stood in a file. Files are read with more patience
// than requests: a number may stand for a text, and a text for a number.
func decodeFile[T any](fields map[string]any) (*T, error) {
	def := new(T)
	return def, (decoder{lenient: true}).decode("", fields, reflect.ValueOf(def).Elem())
}

// decoder puts what JSON or HCL gave into a definition. A field is found by its name
// without regard to case and underscores. What does not fit is named with its path.
type decoder struct{ lenient bool }

var durationType = reflect.TypeFor[catalog.Duration]()

func (d decoder) decode(path string, v any, into reflect.Value) error {
	if v == nil {
		return nil
	}
	kind := into.Kind()
	if blocks, ok := v.([]map[string]any); ok && kind != reflect.Slice && kind != reflect.Interface && kind != reflect.Pointer {
		if len(blocks) != 1 { // as HCL gives a block
			return fmt.Errorf("%s: given %d times, once is enough", path, len(blocks))
		}
		v = blocks[0]
	}
	if into.Type() == durationType {
		return d.duration(path, v, into)
	}
	switch kind {
	case reflect.Pointer:
		into.Set(reflect.New(into.Type().Elem()))
		return d.decode(path, v, into.Elem())
	case reflect.Struct:
		return d.structure(path, v, into)
	case reflect.Map:
		return d.mapping(path, v, into)
	case reflect.Slice:
		return d.list(path, v, into)
	case reflect.Interface:
		into.Set(reflect.ValueOf(config.Opaque(v)))
		return nil
	}
	return d.scalar(path, v, into)
}

// fold is a key without case and underscores.
func fold(key string) string { return strings.ToLower(strings.ReplaceAll(key, "_", "")) }

func (d decoder) structure(path string, v any, into reflect.Value) error {
	fields, ok := v.(map[string]any)
	if !ok {
		return unfit(path, "an object", v)
	}
	seen := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		name := fold(key)
		at := join(path, key)
		if other, twice := seen[name]; twice {
			return fmt.Errorf("%s: given twice, also as %q", at, other)
		}
		seen[name] = key
		field := into.FieldByNameFunc(func(f string) bool { return strings.EqualFold(f, name) })
		if !field.CanSet() {
			return fmt.Errorf("json: unknown field %q", at)
		}
		if err := d.decode(at, fields[key], field); err != nil {
			return err
		}
	}
	return nil
}

func (d decoder) mapping(path string, v any, into reflect.Value) error {
	fields, ok := v.(map[string]any)
	if !ok {
		return unfit(path, "an object", v)
	}
	kind := into.Type()
	out := reflect.MakeMapWithSize(kind, len(fields))
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		value := reflect.New(kind.Elem()).Elem()
		if err := d.decode(join(path, key), fields[key], value); err != nil {
			return err
		}
		out.SetMapIndex(reflect.ValueOf(key), value)
	}
	into.Set(out)
	return nil
}

func (d decoder) list(path string, v any, into reflect.Value) error {
	var items []any
	switch v := v.(type) {
	case []any:
		items = v
	case []map[string]any:
		for _, item := range v {
			items = append(items, item)
		}
	case map[string]any:
		items = []any{v} // one check instead of a list of one
	default:
		if !d.lenient {
			want := "a list"
			if into.Type().Elem().Kind() == reflect.Pointer {
				want = "an object, or a list of them"
			}
			return unfit(path, want, v)
		}
		items = []any{v}
	}
	out := reflect.MakeSlice(into.Type(), 0, len(items))
	for i, item := range items {
		value := reflect.New(into.Type().Elem()).Elem()
		at := path
		if len(items) > 1 {
			at = fmt.Sprintf("%s[%d]", path, i)
		}
		if err := d.decode(at, item, value); err != nil {
			return err
		}
		out = reflect.Append(out, value)
	}
	into.Set(out)
	return nil
}

func (d decoder) duration(path string, v any, into reflect.Value) error {
	if text, ok := v.(string); ok {
		if text == "" {
			return nil
		}
		parsed, err := time.ParseDuration(text)
		if err != nil {
			return at(path, err)
		}
		into.SetInt(int64(parsed))
		return nil
	}
	n, ok := whole(v)
	if !ok {
		return unfit(path, `a duration such as "10s"`, v)
	}
	into.SetInt(n)
	return nil
}

func (d decoder) scalar(path string, v any, into reflect.Value) error {
	switch into.Kind() {
	case reflect.String:
		text, ok := v.(string)
		if !ok && d.lenient {
			switch v.(type) {
			case json.Number, int, int64, float64, bool:
				text, ok = fmt.Sprint(v), true
			}
		}
		if !ok {
			return unfit(path, "a text", v)
		}
		into.SetString(text)
	case reflect.Bool:
		b, ok := v.(bool)
		if text, isText := v.(string); isText && d.lenient {
			parsed, err := strconv.ParseBool(text)
			b, ok = parsed, err == nil
		}
		if !ok {
			return unfit(path, "true or false", v)
		}
		into.SetBool(b)
	case reflect.Int:
		n, ok := whole(v)
		if text, isText := v.(string); isText && d.lenient {
			parsed, err := strconv.ParseInt(text, 10, 64)
			n, ok = parsed, err == nil
		}
		if !ok || int64(int(n)) != n {
			return unfit(path, "a whole number", v)
		}
		into.SetInt(n)
	default:
		return fmt.Errorf("%s: cannot be set", path)
	}
	return nil
}

// whole is a number without a fraction.
func whole(v any) (int64, bool) {
	switch v := v.(type) {
	case int:
		return int64(v), true
	case int64:
		return v, true
	case float64:
		return int64(v), v == math.Trunc(v) && math.Abs(v) < 1<<53
	case json.Number:
		n, err := v.Int64()
		return n, err == nil
	}
	return 0, false
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func at(path string, err error) error {
	if path == "" {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}

func unfit(path, want string, got any) error {
	kind := "an object"
	switch got := got.(type) {
	case string:
		kind = "a text"
	case bool:
		kind = strconv.FormatBool(got)
	case json.Number, int, int64, float64:
		kind = fmt.Sprint("the number ", got)
	case []any, []map[string]any:
		kind = "a list"
	}
	return at(path, fmt.Errorf("use %s, not %s", want, kind))
}

// ServicesOf reads what stands below "service" or "services" in a file: one definition
// or a list of them.
func ServicesOf(value any) ([]*Service, error) {
	var all []*Service
	err := (decoder{lenient: true}).decode("", value, reflect.ValueOf(&all).Elem())
	return all, err
}
