package replicate

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Checkpoint is what a link remembers at the destination. Its first three fields
// are named as consul-replicate names them.
type Checkpoint struct {
	// LastReplicated is the source's index up to which everything is here.
	LastReplicated uint64
	Source         string
	Destination    string

	SourceDatacenter string

	// FeedIndex and FeedAfter are the cursor in the source's change feed up to which
	// everything is here, 0 when it was not followed by its feed. With a FeedAfter it
	// is within an index. Scope stands for what the link leaves out: with another
	// scope the cursor says nothing.
	FeedIndex uint64 `json:",omitempty"`
	FeedAfter string `json:",omitempty"`
	Scope     string `json:",omitempty"`

	// DatacenterID and Incarnation say which history LastReplicated belongs to.
	DatacenterID string `json:",omitempty"`
	Incarnation  string `json:",omitempty"`

	// Pass is the comparison of everything that goes on, if one does. Until it is complete
	// what is above stands.
	Pass Pass `json:",omitzero"`

	// Keys is how many keys of the link there are at the destination.
	Keys int

	// ResyncDone and DecisionDone are the last orders that were carried out.
	ResyncDone   uint64 `json:",omitempty"`
	DecisionDone uint64 `json:",omitempty"`

	// Batch counts the writes of this record, so that each one differs from the last.
	Batch uint64

	// Applied, Deleted and Bytes count keys set, keys deleted and bytes of values
	// copied since the record was made.
	Applied uint64
	Deleted uint64
	Bytes   uint64

	// Held says why deletes are held; empty when they are not. Suspect says why
	// the source is believed to have lost its history, and outlives a restart:
	// deletes stay held for it until an operator allows them or none are pending.
	Held    string `json:",omitempty"`
	Suspect string `json:",omitempty"`

	// Writer is the daemon that wrote the record, Updated its clock.
	Writer  string
	Updated time.Time
}

// Pass is how far a comparison by pages has come. Everything up to its key After is as the
// source had it at an index between Index and Seen, so once the feed was followed from the
// cursor of Index and FeedAfter to Seen or beyond, everything is here.
type Pass struct {
	// Index and FeedAfter are a cursor in the feed, in the history of DatacenterID and
	// Incarnation, with the link's Scope as in the checkpoint.
	Index        uint64
	FeedAfter    string `json:",omitempty"`
	DatacenterID string
	Incarnation  string
	Scope        string

	// After is the last relative key that was compared, and Ended says that there is
	// none behind it. Seen is the newest index of what was read of the source.
	After octets `json:",omitempty"`
	Ended bool   `json:",omitempty"`
	Seen  uint64 `json:",omitempty"`

	// Done of Total keys of the source were compared. Present counts those that the link
	// copies, and Owned keys of the link at the destination. Deletes of Keys at the
	// destination would go.
	Done, Total    int
	Present, Owned int
	Keys, Deletes  int

	// Budget is how many deletes may be carried out at once, since they were counted before
	// and allowed; with Release they are given up instead.
	Budget  int  `json:",omitempty"`
	Release bool `json:",omitempty"`
}

func (p Pass) active() bool { return p.Index != 0 }

func (p Pass) cursor() Cursor { return Cursor{Index: p.Index, After: p.FeedAfter} }

func (p Pass) history(index uint64) Position {
	return Position{Index: index, Datacenter: p.DatacenterID, Incarnation: p.Incarnation}
}

// octets are bytes that need not be UTF-8, which JSON does not carry as they are.
type octets string

// MarshalText implements encoding.TextMarshaler.
func (o octets) MarshalText() ([]byte, error) {
	return base64.StdEncoding.AppendEncode(nil, []byte(o)), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (o *octets) UnmarshalText(text []byte) error {
	plain, err := base64.StdEncoding.DecodeString(string(text))
	*o = octets(plain)
	return err
}

func (c Checkpoint) position() Position {
	return Position{Index: c.LastReplicated, Datacenter: c.DatacenterID, Incarnation: c.Incarnation}
}

// moveTo moves the checkpoint to a listing's position, from where cursor goes on.
func (c *Checkpoint) moveTo(p Position, cursor Cursor, scope string) {
	c.LastReplicated, c.DatacenterID, c.Incarnation = p.Index, p.Datacenter, p.Incarnation
	c.FeedIndex, c.FeedAfter, c.Scope, c.Pass = 0, "", "", Pass{}
	if cursor.Index != 0 {
		c.FeedIndex, c.FeedAfter, c.Scope = cursor.Index, cursor.After, scope
	}
}

// advance moves the checkpoint along the feed, never back. A cursor that JSON cannot
// carry leaves it where it is.
func (c *Checkpoint) advance(to Cursor) {
	index, after := &c.FeedIndex, &c.FeedAfter
	if c.Pass.active() {
		index, after = &c.Pass.Index, &c.Pass.FeedAfter
	}
	if to.Index != 0 && to.Index >= *index && utf8.ValidString(to.After) {
		*index, *after = to.Index, to.After
	}
}

// cursor is where the source's feed can be followed from, zero if it cannot.
func (c Checkpoint) cursor(scope string) Cursor {
	if c.Scope != scope || c.Suspect != "" || c.DatacenterID == "" || c.LastReplicated == 0 {
		return Cursor{}
	}
	return Cursor{Index: c.FeedIndex, After: c.FeedAfter}
}

// applied is the source's index up to which everything is here, by the feed's count if
// there is one.
func (c Checkpoint) applied() uint64 {
	if c.FeedAfter == "" && c.FeedIndex > c.LastReplicated {
		return c.FeedIndex
	}
	return c.LastReplicated
}

// CheckpointKey is where the link's checkpoint lives below the status path. It
// depends on both prefixes and the source's datacenter, not on the excludes.
func CheckpointKey(statusPath string, l Link) string {
	sum := sha256.Sum256([]byte(l.SourceDC + "\x00" + l.Source + "\x00" + l.Destination))
	return statusPath + "/" + hex.EncodeToString(sum[:16])
}

// CleanStatusPath strips slashes at the ends, and refuses a path that is empty then.
func CleanStatusPath(path string) (string, error) {
	path = strings.Trim(path, "/")
	if path == "" {
		return "", fmt.Errorf("the status path is empty: name a folder such as %s", DefaultStatusPath)
	}
	return path, nil
}

func (c Checkpoint) encode() ([]byte, error) { return json.Marshal(c) }

// DecodeCheckpoint reads a record and makes sure that it is the link's.
func DecodeCheckpoint(value []byte, l Link) (Checkpoint, error) {
	var c Checkpoint
	if err := json.Unmarshal(value, &c); err != nil {
		return Checkpoint{}, fmt.Errorf("not a checkpoint: %w", err)
	}
	if c.SourceDatacenter != l.SourceDC || c.Source != l.Source || c.Destination != l.Destination {
		return Checkpoint{}, fmt.Errorf("it belongs to %s, not to %s",
			Link{SourceDC: c.SourceDatacenter, Source: c.Source, Destination: c.Destination}, l)
	}
	return c, nil
}
