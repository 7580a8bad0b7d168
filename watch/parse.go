package watch

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	library "github.com/hashicorp/consul/api/watch"

	"github.com/hanse-project/hanse/config"
)

// Watch is one watch as it is configured. It is run once.
type Watch struct {
	plan    *library.Plan
	handler handler
	// identity is the same for two watches that say the same.
	identity string
}

// Kind is what is watched, such as "key".
func (w *Watch) Kind() string { return w.plan.Type }

// ParseAll reads the watches of configuration files. Its error names all that are wrong.
func ParseAll(definitions []config.Definition) ([]*Watch, error) {
	var all []*Watch
	var errs []error
	for _, d := range definitions {
		w, err := Parse(d.Body)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %s: %w", d.Source, d.Kind, err))
			continue
		}
		all = append(all, w)
	}
	return all, errors.Join(errs...)
}

// Parse reads a watch as it stands in a file.
func Parse(body map[string]any) (*Watch, error) {
	params := make(map[string]any, len(body))
	for key, value := range body {
		if value != nil { // null says nothing
			params[key] = plain(value)
		}
	}
	identity, err := json.Marshal(params)
	if err != nil {
		return nil, fmt.Errorf("it cannot be compared: %w", err)
	}
	kind, _ := params["type"].(string)
	if err := checkParameters(kind, params); err != nil {
		return nil, err
	}
	handler, err := parseHandler(params)
	if err != nil {
		return nil, err
	}
	plan, err := Plan(params)
	if err != nil {
		return nil, err
	}
	return &Watch{plan: plan, handler: handler, identity: string(identity)}, nil
}

// Plan is what the library makes of the parameters, without those of handlers. It also
// asks for the names that the library does without, and the agent would refuse for ever.
func Plan(params map[string]any) (*library.Plan, error) {
	for kind, name := range map[string]string{"connect_leaf": "service", "agent_service": "service_id"} {
		if params["type"] == kind && (params[name] == nil || params[name] == "") {
			return nil, fmt.Errorf("Must specify a single %s to watch", name)
		}
	}
	return library.Parse(params)
}

// plain undoes how HCL writes an object: as a list of one.
func plain(value any) any {
	switch v := value.(type) {
	case []map[string]any:
		if len(v) == 1 {
			return plain(v[0])
		}
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, inner := range v {
			out[key] = plain(inner)
		}
		return out
	}
	return value
}

// parameters are those of each type, besides those that all have.
var parameters = map[string][]string{
	"key": {"key", "stale"}, "keyprefix": {"prefix", "stale"},
	"services": {"stale", "filter"}, "nodes": {"stale", "filter"},
	"service": {"service", "tag", "passingonly", "stale", "filter"}, "checks": {"service", "state", "stale", "filter"},
	"event": {"name"}, "connect_roots": nil, "connect_leaf": {"service"}, "agent_service": {"service_id"},
}

// common are the parameters that every watch has.
var common = []string{"type", "datacenter", "token", "handler_type", "handler", "args", "http_handler_config"}

// checkParameters refuses a parameter that the type does not have.
func checkParameters(kind string, params map[string]any) error {
	own, known := parameters[kind]
	if !known {
		return nil // the library says so
	}
	var unknown []string
	for name := range params {
		if !slices.Contains(own, name) && !slices.Contains(common, name) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	return fmt.Errorf("Invalid parameters: %v: a watch of type %s has %s", unknown, kind,
		strings.Join(slices.Concat(own, common), ", "))
}

// parseHandler takes the keys of the handler out of params.
func parseHandler(params map[string]any) (handler, error) {
	kind, isText := params["handler_type"].(string)
	if _, given := params["handler_type"]; given && !isText {
		return nil, errors.New("handler_type is no text: use \"script\" or \"http\"")
	}
	line, hasLine := params["handler"]
	args, hasArgs := params["args"]
	settings, hasSettings := params["http_handler_config"]
	for _, key := range []string{"handler_type", "handler", "args", "http_handler_config"} {
		delete(params, key)
	}
	switch kind {
	case "", "script":
		switch {
		case hasSettings:
			return nil, errors.New("http_handler_config is for handlers of handler_type \"http\": set that, or leave it out")
		case hasLine && hasArgs:
			return nil, errors.New("it has both handler and args: keep one of them")
		case hasLine:
			return parseLine(line)
		case hasArgs:
			return parseArgs(args)
		}
		return nil, errors.New("it has no handler: set args to a program and its arguments, handler to a line for the shell, or handler_type to \"http\"")
	case "http":
		switch {
		case hasLine || hasArgs:
			return nil, errors.New("it has two handlers: leave out handler and args, or set handler_type to \"script\"")
		case !hasSettings:
			return nil, errors.New("Handler type 'http' requires 'http_handler_config' to be set")
		}
		return parseHTTP(settings)
	}
	return nil, fmt.Errorf("handler_type %q is unknown: use \"script\" or \"http\"", kind)
}

func parseLine(value any) (handler, error) {
	line, ok := value.(string)
	if !ok || strings.TrimSpace(line) == "" {
		return nil, errors.New("handler is no line for the shell: write it in quotes, or use args for a list")
	}
	return script{shell: true, args: []string{line}}, nil
}

func parseArgs(value any) (handler, error) {
	list, ok := value.([]any)
	if !ok || len(list) == 0 {
		return nil, errors.New("args is no list of texts: write [\"program\", \"argument\"]")
	}
	args := make([]string, len(list))
	for i, item := range list {
		if args[i], ok = item.(string); !ok {
			return nil, fmt.Errorf("args[%d] is no text: write it in quotes", i)
		}
	}
	if args[0] == "" {
		return nil, errors.New("args[0] is empty: it is the program to run")
	}
	return script{args: args}, nil
}

// settingsKeys are those of http_handler_config.
var settingsKeys = []string{"path", "method", "timeout", "header", "tls_skip_verify"}

func parseHTTP(value any) (handler, error) {
	settings, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("http_handler_config is no object: write { path = \"http://…\" }")
	}
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		if !slices.Contains(settingsKeys, key) {
			return nil, fmt.Errorf("http_handler_config.%s is unknown: use %s", key, strings.Join(settingsKeys, ", "))
		}
	}
	// The library reads these settings, along with a watch of any kind.
	plan, err := library.Parse(map[string]any{"type": "nodes", "handler_type": "http", "http_handler_config": settings})
	if err != nil {
		return nil, err
	}
	parsed := plan.Exempt["http_handler_config"].(*library.HttpHandlerConfig)
	target, err := url.Parse(parsed.Path)
	if err != nil || target.Host == "" || target.Scheme != "http" && target.Scheme != "https" {
		return nil, fmt.Errorf("http_handler_config.path %q is no URL: it begins with http:// or https:// and a host", parsed.Path)
	}
	if parsed.Timeout <= 0 {
		return nil, fmt.Errorf("http_handler_config.timeout is %v: use a positive duration", parsed.Timeout)
	}
	return newWebhook(parsed), nil
}
