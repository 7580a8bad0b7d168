package config

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// key is one setting: its name in a file, and how a value gets to its place.
// A value is what a JSON or HCL decoder made, or the string of a flag.
type key struct {
	name string
	kind kind
	set  func(d *draft, v any) error
}

type kind int

const (
	scalar kind = iota
	boolean
	list
	table
	object // objects as written: definitions and links
)

func str(name string, at func(*draft) *string) key {
	return key{name, scalar, func(d *draft, v any) error { return assign(at(d), v, toString) }}
}

func optStr(name string, at func(*draft) **string) key {
	return key{name, scalar, func(d *draft, v any) error {
		s, err := toString(v)
		if err == nil {
			*at(d) = &s
		}
		return err
	}}
}

func optOnOff(name string, at func(*draft) **bool) key {
	return key{name, boolean, func(d *draft, v any) error {
		b, err := toBool(v)
		if err == nil {
			*at(d) = &b
		}
		return err
	}}
}

func num(name string, at func(*draft) *int) key {
	return key{name, scalar, func(d *draft, v any) error { return assign(at(d), v, toInt) }}
}

func fraction(name string, at func(*draft) *float64) key {
	return key{name, scalar, func(d *draft, v any) error { return assign(at(d), v, toFloat) }}
}

func onOff(name string, at func(*draft) *bool) key {
	return key{name, boolean, func(d *draft, v any) error { return assign(at(d), v, toBool) }}
}

func dur(name string, at func(*draft) *time.Duration) key {
	return key{name, scalar, func(d *draft, v any) error { return assign(at(d), v, toDuration) }}
}

func strs(name string, at func(*draft) *[]string) key {
	return key{name, list, func(d *draft, v any) error {
		add, err := toStrings(v)
		if err == nil {
			*at(d) = append(*at(d), add...)
		}
		return err
	}}
}

func strMap(name string, at func(*draft) *map[string]string) key {
	return key{name, table, func(d *draft, v any) error {
		objects, err := toObjects(v)
		if err != nil {
			return err
		}
		for _, o := range objects {
			for k, v := range o {
				s, err := toString(v)
				if err != nil {
					return fmt.Errorf("%q: %w", k, err)
				}
				(*at(d))[k] = s
			}
		}
		return nil
	}}
}

// durMap is a table of durations.
func durMap(name string, at func(*draft) *map[string]time.Duration) key {
	return key{name, table, func(d *draft, v any) error {
		objects, err := toObjects(v)
		if err != nil {
			return err
		}
		for _, o := range objects {
			for k, v := range o {
				wait, err := toDuration(v)
				if err != nil {
					return fmt.Errorf("%q: %w", k, err)
				}
				(*at(d))[k] = wait
			}
		}
		return nil
	}}
}

func assign[T any](at *T, v any, to func(any) (T, error)) error {
	x, err := to(v)
	if err == nil {
		*at = x
	}
	return err
}

func toString(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case int:
		return strconv.Itoa(v), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case bool:
		return strconv.FormatBool(v), nil
	}
	return "", fmt.Errorf("is %s: use a string in quotes", describe(v))
}

func toInt(v any) (int, error) {
	switch v := v.(type) {
	case int:
		return v, nil
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int(v), nil
		}
	case json.Number:
		return toInt(v.String())
	case string:
		if n, err := strconv.Atoi(v); err == nil {
			return n, nil
		}
	}
	return 0, fmt.Errorf("is %s: use a whole number", describe(v))
}

func toFloat(v any) (float64, error) {
	text := ""
	switch v := v.(type) {
	case int:
		return float64(v), nil
	case float64:
		return v, nil
	case json.Number:
		text = v.String()
	case string:
		text = v
	}
	if n, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(n) {
		return n, nil
	}
	return 0, fmt.Errorf("is %s: use a number", describe(v))
}

func toBool(v any) (bool, error) {
	switch v := v.(type) {
	case bool:
		return v, nil
	case string:
		if b, err := strconv.ParseBool(v); err == nil {
			return b, nil
		}
	}
	return false, fmt.Errorf("is %s: use true or false", describe(v))
}

func toDuration(v any) (time.Duration, error) {
	s, err := toString(v)
	if err == nil {
		if d, err := time.ParseDuration(s); err == nil {
			return d, nil
		}
	}
	return 0, fmt.Errorf("is %s: use a number with a unit, such as \"30s\", \"500ms\" or \"72h\"", describe(v))
}

func toStrings(v any) ([]string, error) {
	items, ok := v.([]any)
	if !ok {
		if _, isString := v.(string); !isString {
			return nil, fmt.Errorf("is %s: use a list of strings, such as [\"a\", \"b\"]", describe(v))
		}
		items = []any{v}
	}
	out := make([]string, 0, len(items))
	for _, item := range items {
		s, ok := item.(string)
		if !ok {
			return nil, fmt.Errorf("holds %s: use a list of strings, such as [\"a\", \"b\"]", describe(item))
		}
		out = append(out, s)
	}
	return out, nil
}

// toObjects takes one object or several: HCL writes a block as a list of one,
// and a repeated block as a list of many.
func toObjects(v any) ([]map[string]any, error) {
	switch v := v.(type) {
	case map[string]any:
		return []map[string]any{v}, nil
	case []map[string]any:
		return v, nil
	case []any:
		var out []map[string]any
		for _, item := range v {
			more, err := toObjects(item)
			if err != nil {
				return nil, err
			}
			out = append(out, more...)
		}
		return out, nil
	}
	return nil, fmt.Errorf("is %s: use an object, { ... }", describe(v))
}

// describe shows a wrong value, shortened, for the sentence that refuses it.
func describe(v any) string {
	switch v := v.(type) {
	case nil:
		return "empty"
	case string:
		if len(v) > 60 {
			v = strings.ToValidUTF8(v[:60], "") + "…"
		}
		return strconv.Quote(v)
	case bool, int, float64, json.Number:
		return fmt.Sprint(v)
	case []any:
		return "a list"
	}
	return "an object"
}

// isEmpty tells a value that asks for nothing: null, false, "", 0 and whatever
// holds only these. Tools write such keys out of habit.
func isEmpty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case bool:
		return !v
	case int:
		return v == 0
	case float64:
		return v == 0
	case json.Number:
		f, err := v.Float64()
		return err == nil && f == 0
	case []any:
		return len(v) == 0
	case []map[string]any:
		for _, m := range v {
			if !isEmpty(m) {
				return false
			}
		}
		return true
	case map[string]any:
		for _, x := range v {
			if !isEmpty(x) {
				return false
			}
		}
		return true
	}
	return false
}
