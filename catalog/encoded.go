package catalog

import (
	"encoding/json"
	"slices"
	"sync"
)

// encoded is the JSON of a row that many answers show, made when the first of them is.
// A row is the same for everyone who may see it, so callers with different rights share
// it: what they may not see is left out row by row, before this.
type encoded struct {
	once sync.Once
	json []byte
	err  error
}

// append appends row as encoding/json shows it. A nil e remembers nothing.
func (e *encoded) append(buf []byte, row any) ([]byte, error) {
	if e == nil {
		plain, err := json.Marshal(row)
		return append(buf, plain...), err
	}
	e.once.Do(func() { e.json, e.err = json.Marshal(row) })
	return append(buf, e.json...), e.err
}

// AppendJSON appends the row as encoding/json shows it, from memory if it was shown before.
func (c *CheckServiceNode) AppendJSON(buf []byte) ([]byte, error) { return c.encoded.append(buf, c) }

// AppendJSON appends the row as encoding/json shows it, from memory if it was shown before.
func (n *ServiceNode) AppendJSON(buf []byte) ([]byte, error) { return n.encoded.append(buf, n) }

// remember gives each row its own memory, or that of the same row in an older answer: of
// a thousand instances mostly one has changed.
func remember(rows, older []CheckServiceNode) {
	before := make(map[*NodeService]*CheckServiceNode, len(older))
	for i := range older {
		before[older[i].Service] = &older[i]
	}
	for i := range rows {
		row := &rows[i]
		if old := before[row.Service]; old != nil && old.Node == row.Node && slices.Equal(old.Checks, row.Checks) {
			row.encoded = old.encoded
		} else {
			row.encoded = new(encoded)
		}
	}
}
