package catalog

import (
	"reflect"
	"strconv"
	"strings"

	bexpr "github.com/hashicorp/go-bexpr"
	"github.com/hashicorp/go-bexpr/grammar"

	"github.com/hanse-project/hanse/rpc"
)

// Filter keeps the rows that an expression of a request's filter is true for. See
// https://developer.hashicorp.com/consul/api-docs/features/filtering. It serves one
// request: it is not for several goroutines. The nil Filter keeps everything.
type Filter[T any] struct{ evaluator *bexpr.Evaluator }

// filterFailed begins the text of an expression that cannot be evaluated. Clients match it.
const filterFailed = "Failed to create boolean expression evaluator: "

// maxExpressions bounds the work of parsing: no filter a person writes comes near.
const maxExpressions = 500_000

// NewFilter compiles an expression over rows of type T. One that does not parse, or
// that selects what T does not have, is an invalid request.
func NewFilter[T any](expression string) (*Filter[T], error) {
	if expression == "" {
		return nil, nil
	}
	parsed, err := grammar.Parse("", []byte(plainSlashes(expression)), grammar.MaxExpressions(maxExpressions))
	if err != nil {
		return nil, rpc.Invalid(filterFailed + err.Error())
	}
	w := rewriter{row: reflect.TypeFor[T]()}
	w.write(parsed.(grammar.Expression), nil)
	if w.unknown != "" {
		return nil, rpc.Invalid(filterFailed + `Selector "` + w.unknown + `" is not valid`)
	}
	evaluator, err := bexpr.CreateEvaluator(w.out.String())
	if err != nil {
		return nil, rpc.Invalid(filterFailed + err.Error())
	}
	return &Filter[T]{evaluator}, nil
}

// Keep tells whether the expression is true for row. An expression that does not fit
// the row's types, such as one that compares a port with a word, is an invalid request.
func (f *Filter[T]) Keep(row T) (bool, error) {
	if f == nil {
		return true, nil
	}
	keep, err := f.evaluator.Evaluate(row)
	if err != nil {
		return false, rpc.Invalid("Failed to filter: " + err.Error())
	}
	return keep, nil
}

// rewriter writes an expression anew, so that a selector which leads through a list is
// true if it is for any of the list's elements: Checks.Status == "critical" becomes
// any Checks as v0 { v0["Status"] == "critical" }.
type rewriter struct {
	row     reflect.Type
	out     strings.Builder
	lists   int    // how many variables there are
	unknown string // the first selector that the row does not have
}

// bound is what the variables of any and all stand for, by name.
type bound map[string]reflect.Type

func (w *rewriter) write(e grammar.Expression, vars bound) {
	switch e := e.(type) {
	case *grammar.UnaryExpression:
		w.out.WriteString("not (")
		w.write(e.Operand, vars)
		w.out.WriteString(")")
	case *grammar.BinaryExpression:
		op := ") and ("
		if e.Operator == grammar.BinaryOpOr {
			op = ") or ("
		}
		w.out.WriteString("(")
		w.write(e.Left, vars)
		w.out.WriteString(op)
		w.write(e.Right, vars)
		w.out.WriteString(")")
	case *grammar.MatchExpression:
		w.match(e, e.Selector.Path, vars)
	case *grammar.CollectionExpression:
		w.collection(e, vars)
	}
}

// match writes a comparison, inside one "any" for each list its selector leads through.
func (w *rewriter) match(e *grammar.MatchExpression, path []string, vars bound) {
	n, element, found := w.upToList(path, vars)
	if !found {
		w.fail(e.Selector)
		return
	}
	if n < len(path) {
		name := "v" + strconv.Itoa(w.lists)
		w.lists++
		w.out.WriteString("any " + selector(path[:n]) + " as " + name + " { ")
		w.match(e, append([]string{name}, path[n:]...), vars.with(name, element))
		w.out.WriteString(" }")
		return
	}
	at, value := selector(path), ""
	if e.Value != nil {
		value = quote(e.Value.Raw)
	}
	switch e.Operator {
	case grammar.MatchEqual:
		w.out.WriteString(at + " == " + value)
	case grammar.MatchNotEqual:
		w.out.WriteString(at + " != " + value)
	case grammar.MatchIn:
		w.out.WriteString(value + " in " + at)
	case grammar.MatchNotIn:
		w.out.WriteString(value + " not in " + at)
	case grammar.MatchContains:
		w.out.WriteString(at + " contains " + value)
	case grammar.MatchNotContains:
		w.out.WriteString(at + " not contains " + value)
	case grammar.MatchIsEmpty:
		w.out.WriteString(at + " is empty")
	case grammar.MatchIsNotEmpty:
		w.out.WriteString(at + " is not empty")
	case grammar.MatchMatches:
		w.out.WriteString(at + " matches " + value)
	case grammar.MatchNotMatches:
		w.out.WriteString(at + " not matches " + value)
	case grammar.MatchIsNil:
		w.out.WriteString(at + " is nil")
	case grammar.MatchIsNotNil:
		w.out.WriteString(at + " is not nil")
	}
}

func (w *rewriter) collection(e *grammar.CollectionExpression, vars bound) {
	path := e.Selector.Path
	n, element, found := w.upToList(path, vars)
	if !found || n < len(path) {
		w.fail(e.Selector)
		return
	}
	text := reflect.TypeFor[string]()
	number := reflect.TypeFor[int]()
	isMap := element.Kind() == reflect.Map
	each, index := element, number
	if isMap {
		each, index = text, text
	}
	if k := element.Kind(); isMap || k == reflect.Slice {
		element = element.Elem()
	}
	if !isMap {
		each = element
	}
	inner := vars
	b := e.NameBinding
	for name, t := range map[string]reflect.Type{b.Default: each, b.Index: index, b.Value: element} {
		if name != "" && name != "_" {
			inner = inner.with(name, t)
		}
	}
	w.out.WriteString(strings.ToLower(string(e.Op)) + " " + selector(path) + " as " + binding(b) + " { ")
	w.write(e.Inner, inner)
	w.out.WriteString(" }")
}

func binding(b grammar.CollectionNameBinding) string {
	if b.Default != "" {
		return b.Default
	}
	return or(b.Index, "_") + ", " + or(b.Value, "_")
}

func or(name, other string) string {
	if name == "" {
		return other
	}
	return name
}

func (w *rewriter) fail(s grammar.Selector) {
	if w.unknown == "" {
		w.unknown = s.String()
	}
}

// upToList follows path as far as it goes without passing through a list. It returns
// how many of its parts that were, and the type of what is there: of the whole if the
// path ends, of an element if a list is in the way.
func (w *rewriter) upToList(path []string, vars bound) (n int, t reflect.Type, found bool) {
	t = w.row
	if bound, isVar := vars[path[0]]; isVar {
		t, n = bound, 1
	}
	for ; n < len(path); n++ {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		switch t.Kind() {
		case reflect.Struct:
			field, known := fieldOf(t, path[n])
			if !known {
				return n, nil, false
			}
			t = field
		case reflect.Map:
			t = t.Elem()
		case reflect.Slice:
			return n, t.Elem(), n > 0
		default:
			return n, nil, false
		}
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return n, t, true
}

func fieldOf(t reflect.Type, name string) (reflect.Type, bool) {
	f, found := t.FieldByName(name)
	if !found || f.Anonymous || len(f.Index) > 1 || f.Tag.Get("bexpr") == "-" {
		return nil, false
	}
	return f.Type, true
}

func (b bound) with(name string, t reflect.Type) bound {
	with := bound{name: t}
	for n, bound := range b {
		if n != name {
			with[n] = bound
		}
	}
	return with
}

func selector(path []string) string {
	var out strings.Builder
	out.WriteString(path[0])
	for _, part := range path[1:] {
		out.WriteString("[" + quote(part) + "]")
	}
	return out.String()
}

// The grammar takes a quoted text that begins with a slash for a pointer, and drops the
// slash. Written as an escape it stays one.
const escapedSlash = `\x2f`

// quote writes a text so that the grammar reads it back.
func quote(text string) string {
	quoted := strconv.Quote(text)
	quoted = strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `\x22`)
	if rest, slash := strings.CutPrefix(quoted, "/"); slash {
		quoted = escapedSlash + rest
	}
	return `"` + quoted + `"`
}

// plainSlashes keeps the slash at the beginning of every quoted text.
func plainSlashes(expression string) string {
	var out strings.Builder
	for rest := expression; rest != ""; {
		at := strings.IndexAny(rest, "`\"")
		if at < 0 {
			out.WriteString(rest)
			break
		}
		mark := rest[at : at+1]
		out.WriteString(rest[:at+1])
		text, after, closed := strings.Cut(rest[at+1:], mark)
		if mark == `"` && strings.HasPrefix(text, "/") {
			text = escapedSlash + text[1:]
		}
		out.WriteString(text)
		if closed {
			out.WriteString(mark)
		}
		rest = after
	}
	return out.String()
}
