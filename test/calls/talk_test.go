//go:build linux

package calls

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hanse-project/hanse/test/lab"
)

// call is one request of a client, and what the client needs of its answer.
type call struct {
	method, path, body string
	header             map[string]string
	// status is 200 if it is 0.
	status int
	// begins is how the body begins, and holds is what is in it; "" is anything.
	begins, holds string
	// is the whole body.
	is string
	// has are paths into the JSON of the body that must lead to something, such as
	// 0.Service.Port. A list is entered by a number.
	has []string
	// keep remembers what a path leads to as ${name}: "name=0.Service.ID". A name in
	// capitals is that of a header.
	keep []string
	// within is how soon the answer must come, and after how late at least; 0 is any time.
	within, after time.Duration
	// until repeats the call until the answer is as described.
	until bool
	check func(answer) error
}

type answer struct {
	*http.Response
	body string
	took time.Duration
}

// talk makes calls in order.
func talk(t *testing.T, n *lab.Node, calls ...call) {
	t.Helper()
	known := map[string]string{"node": n.Name, "ip": n.IP}
	for _, c := range calls {
		if c.method == "" {
			c.method = http.MethodGet
		}
		if c.status == 0 {
			c.status = http.StatusOK
		}
		name := c.method + " " + c.path
		attempt := func() error {
			a, err := c.make(t.Context(), n, known)
			if err != nil {
				return err
			}
			return c.compare(a, known)
		}
		if c.until {
			lab.Until(t, name, attempt)
		} else if err := attempt(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func fill(text string, known map[string]string) string {
	return regexp.MustCompile(`\$\{(\w+)\}`).ReplaceAllStringFunc(text, func(v string) string {
		return known[strings.Trim(v, "${}")]
	})
}

func (c *call) make(ctx context.Context, n *lab.Node, known map[string]string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, c.method, n.URL(fill(c.path, known)), strings.NewReader(fill(c.body, known)))
	if err != nil {
		return answer{}, err
	}
	for name, value := range c.header {
		req.Header.Set(name, value)
	}
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	begin := time.Now()
	rep, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer rep.Body.Close()
	body, err := io.ReadAll(rep.Body)
	return answer{rep, string(body), time.Since(begin)}, err
}

func (c *call) compare(a answer, known map[string]string) error {
	said := fmt.Errorf("%d %.300q %v", a.StatusCode, a.body, a.Header)
	switch {
	case a.StatusCode != c.status:
		return fmt.Errorf("want status %d, got %w", c.status, said)
	case !strings.HasPrefix(a.body, fill(c.begins, known)) || !strings.Contains(a.body, fill(c.holds, known)):
		return fmt.Errorf("want %q, then %q, got %w", c.begins, c.holds, said)
	case c.is != "" && a.body != fill(c.is, known):
		return fmt.Errorf("want %s, got %w", c.is, said)
	case a.took < c.after || c.within > 0 && a.took > c.within:
		return fmt.Errorf("took %v, want %v to %v: %w", a.took, c.after, c.within, said)
	}
	for _, path := range c.has {
		if _, err := lead(a.body, path); err != nil {
			return fmt.Errorf("%w in %w", err, said)
		}
	}
	for _, k := range c.keep {
		name, path, _ := strings.Cut(k, "=")
		if strings.HasPrefix(path, "X-") {
			known[name] = a.Header.Get(path)
			continue
		}
		value, err := lead(a.body, path)
		if err != nil {
			return fmt.Errorf("%w in %w", err, said)
		}
		known[name] = fmt.Sprint(value)
	}
	if c.check != nil {
		if err := c.check(a); err != nil {
			return fmt.Errorf("%w in %w", err, said)
		}
	}
	return nil
}

// lead follows a path into JSON. Large numbers stay as they are written.
func lead(body, path string) (any, error) {
	dec := json.NewDecoder(strings.NewReader(body))
	dec.UseNumber()
	var at any
	if err := dec.Decode(&at); err != nil {
		return nil, err
	}
	for name := range strings.SplitSeq(path, ".") {
		switch v := at.(type) {
		case map[string]any:
			next, there := v[name]
			if !there {
				return nil, fmt.Errorf("there is no %s of %s", name, path)
			}
			at = next
		case []any:
			i := 0
			if _, err := fmt.Sscan(name, &i); err != nil || i >= len(v) {
				return nil, fmt.Errorf("there is no %s of %s", name, path)
			}
			at = v[i]
		default:
			return nil, fmt.Errorf("%s leads through a %T", path, at)
		}
	}
	return at, nil
}

// list is a check that the answer is a list of n.
func list(n int) func(answer) error {
	return func(a answer) error {
		var rows []json.RawMessage
		if err := json.Unmarshal([]byte(a.body), &rows); err != nil {
			return err
		}
		if len(rows) != n {
			return fmt.Errorf("%d rows, want %d", len(rows), n)
		}
		return nil
	}
}
