package config

import "encoding/json"

// Opaque is a value that only its user understands. Numbers become what JSON makes of
// them, and a block of HCL an object, so that it is the same however it was written.
func Opaque(v any) any {
	switch v := v.(type) {
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return v.String()
		}
		return f
	case int:
		return float64(v)
	case int64:
		return float64(v)
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, item := range v {
			out[key] = Opaque(item)
		}
		return out
	case []map[string]any:
		if len(v) == 1 {
			return Opaque(v[0])
		}
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = Opaque(item)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = Opaque(item)
		}
		return out
	}
	return v
}
