package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl"
)

// source is one text with settings.
type source struct {
	name   string // the file, or what stands for it in a message
	format string // "json" or "hcl"
	text   []byte
}

// maxFile bounds what is read from one file, in bytes.
const maxFile = 32 << 20

// readPath reads a file, or the .json and .hcl files of a folder by name.
// format, when not "", is that of every file whatever its name.
func readPath(path, format string) ([]source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	if !info.IsDir() {
		f := formatOf(path, format)
		if f == "" {
			return nil, fmt.Errorf("configuration %s: its name must end in .json or .hcl, or -config-format must say what it is", path)
		}
		src, err := readFile(path, f)
		return []source{src}, err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("configuration folder %s: %w", path, err)
	}
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	var out []source
	for _, e := range entries {
		file := filepath.Join(path, e.Name())
		f := formatOf(file, format)
		if f == "" {
			continue
		}
		// Stat and not e.Type(): a mounted ConfigMap is made of links.
		if info, err := os.Stat(file); err != nil {
			return nil, fmt.Errorf("configuration %s: %w", file, err)
		} else if info.IsDir() {
			continue
		}
		src, err := readFile(file, f)
		if err != nil {
			return nil, err
		}
		out = append(out, src)
	}
	return out, nil
}

func formatOf(path, format string) string {
	if format != "" {
		return format
	}
	switch filepath.Ext(path) {
	case ".json":
		return "json"
	case ".hcl":
		return "hcl"
	}
	return ""
}

func readFile(path, format string) (source, error) {
	f, err := os.Open(path)
	if err != nil {
		return source{}, fmt.Errorf("configuration: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return source{}, fmt.Errorf("configuration %s: %w", path, err)
	}
	if len(text) > maxFile {
		return source{}, fmt.Errorf("configuration %s: larger than %d MiB: is it the right file?", path, maxFile>>20)
	}
	return source{path, format, text}, nil
}

// decode turns the text into nested maps, lists and scalars.
func (s source) decode() (map[string]any, error) {
	if deep(s.text) {
		return nil, fmt.Errorf("%s: nested deeper than %d brackets: is it the right file?", s.name, maxDepth)
	}
	out := map[string]any{}
	if s.format == "hcl" {
		if err := hcl.Unmarshal(s.text, &out); err != nil {
			return nil, fmt.Errorf("%s: not valid HCL: %w", s.name, err)
		}
		if bytes.HasSuffix(bytes.TrimSpace(s.text), []byte("=")) { // the parser lets it pass
			return nil, fmt.Errorf("%s: not valid HCL: no value stands behind the last =", s.name)
		}
		return out, nil
	}
	dec := json.NewDecoder(bytes.NewReader(s.text))
	dec.UseNumber()
	err := dec.Decode(&out)
	if err == nil {
		if _, more := dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("there is more text after the closing brace")
		}
	}
	if err != nil {
		line := 1 + bytes.Count(s.text[:min(int(dec.InputOffset()), len(s.text))], []byte("\n"))
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			line = 1 + bytes.Count(s.text[:min(int(syntax.Offset), len(s.text))], []byte("\n"))
		}
		return nil, fmt.Errorf("%s: not valid JSON near line %d: %w", s.name, line, err)
	}
	return out, nil
}

// maxDepth bounds the nesting of a file: the HCL parser calls itself for each
// bracket, and a program that runs out of stack cannot say why.
const maxDepth = 500

func deep(text []byte) bool {
	depth := 0
	for _, c := range text {
		switch c {
		case '[', '{':
			if depth++; depth > maxDepth {
				return true
			}
		case ']', '}':
			depth--
		}
	}
	return false
}
