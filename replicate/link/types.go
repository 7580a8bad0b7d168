package link

import (
	"time"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/replicate"
	"github.com/hanse-project/hanse/rpc"
)

// Link is one link as it is configured. The API shows its fields under these names.
type Link struct {
	// Name identifies the link in its datacenter: letters, digits, - and _. Without one it is
	// made from the source's datacenter and the prefix.
	Name string
	// SourceDatacenter is where the keys come from, Prefix what they begin with there, and
	// DestinationPrefix what they begin with here.
	SourceDatacenter  string
	Prefix            string
	DestinationPrefix string
	// Exclude are prefixes of source keys that are left alone.
	Exclude []string
	// Token is sent to the source. It is never shown.
	Token string `json:"-"`
	// Delete says whether keys that the source deletes are deleted here.
	Delete bool
	// MaxDeleteFraction is the share of the link's keys that may go at once, from 0 to 1.
	MaxDeleteFraction float64
	// RateLimit is how many keys a second are written at most, 0 for no limit.
	RateLimit int
	// VerifyInterval is how often source and destination are compared in the background, 0 for
	// never. Repair says whether what differs is put right, or only reported.
	VerifyInterval catalog.Duration
	Repair         bool
	Conflict       replicate.Conflict
	// Prune deletes keys below the destination prefix that the link never wrote, too, when the
	// source does not have them.
	Prune bool
	// Enabled says whether the link runs. It is part of the configuration; pausing is not.
	Enabled bool
	// FromConfig says that the link stands in the configuration files of the servers, and can
	// be changed only there.
	FromConfig bool

	CreateIndex uint64
	ModifyIndex uint64
}

// Row is a link with what people have asked of it.
type Row struct {
	Link
	// Paused links stand still until they are resumed.
	Paused bool
	// Resync, Decision and their like are the log index of the order, 0 if there was none: the
	// checkpoint says which was the last to be carried out.
	Resync     uint64
	Decision   uint64
	Approved   bool // what was decided: held deletes are carried out, or given up
	HasToken   bool // instead of the token, where rows are shown
	Checkpoint *Position
}

// Position is how far a link has come.
type Position struct {
	// DatacenterID and Incarnation are the source's, and Index is that up to which everything
	// is here.
	DatacenterID string
	Incarnation  string
	Index        uint64
}

// Status is what a link is doing. Only the leader of its datacenter knows.
type Status struct {
	// State is syncing, following, paused, retrying or held; refused if the link must not run,
	// and disabled.
	State string
	// SourceIndex is the newest index known of the source, and AppliedIndex that up to which
	// everything is here.
	SourceIndex  uint64
	AppliedIndex uint64
	// LagSeconds is how long ago everything that the source had was here, and LagEntries how
	// many differences are known and not yet written.
	LagSeconds float64
	LagEntries int
	// Keys is how many keys of the link there are here.
	Keys int
	// Done of Total keys were compared by a first pass or resync that is going on: Total is 0 if
	// none is. EtaSeconds is how long the rest may take, 0 if that is not known.
	Done, Total int
	EtaSeconds  float64
	// KeysPerSecond and BytesPerSecond are of the last ten seconds.
	KeysPerSecond  float64
	BytesPerSecond float64
	// Applied, Deleted, Bytes, Conflicts and Errors count since this leader runs the link.
	Applied, Deleted, Bytes uint64
	Conflicts               uint64
	Errors                  uint64
	// ConflictKeys are some of the keys that somebody else wrote here, by their names here.
	ConflictKeys []string
	// HeldDeletes of HeldKeys wait for a decision, and HeldReason says why. HeldExamples are
	// some of them.
	HeldDeletes  int
	HeldReason   string
	HeldExamples []string
	// DivergentKeys is how many keys differed at the last verification that ended, at
	// LastVerify, and DivergentExamples are some of them. Verifying says that one is going on.
	DivergentKeys     int
	DivergentExamples []string
	Repaired          int
	LastVerify        time.Time `json:",omitzero"`
	Verifying         bool
	// LastError is the latest failure, of LastErrorAt; it stays after a success. NextRetry is
	// when the next attempt begins, zero if none is due. LastSuccess is when everything was
	// last here.
	LastError   string
	LastErrorAt time.Time `json:",omitzero"`
	NextRetry   time.Time `json:",omitzero"`
	LastSuccess time.Time `json:",omitzero"`
}

// Report is a link and what it is doing.
type Report struct {
	Row
	Status Status
}

// ListRequest asks for the links of a datacenter, or for one by its name.
type ListRequest struct {
	rpc.Read
	Name string
	// Status asks for what they are doing, too, which only the leader knows.
	Status bool
}

// ListReply has the links by their names.
type ListReply struct {
	Links []Report
	rpc.Meta
}

// Verb is what is asked of a link.
type Verb string

// The verbs.
const (
	Set     Verb = "set" // make the link, or change its settings
	Remove  Verb = "remove"
	Pause   Verb = "pause"
	Resume  Verb = "resume"
	Resync  Verb = "resync"  // compare everything again
	Approve Verb = "approve" // carry out the deletes that are held
	Reject  Verb = "reject"  // keep the keys; they are the destination's own from then on
	Verify  Verb = "verify"  // compare in the background now
)

// OrderRequest asks something of a link.
type OrderRequest struct {
	rpc.Write
	Verb Verb
	Name string
	// Link is what is set: of it those fields that Fields has, by their names in configuration
	// files. The others stay as they are, and have their default in a new link. See
	// [OrderRequest.Settings], which the leader asks.
	Link   Link
	Fields []string
	// Repair has a verification put right what differs, whatever the link's settings say.
	Repair bool
}

// OrderReply is the link after the order.
type OrderReply struct{ Link Row }

// ExplainRequest asks what each link does with a key, by its name here or at a source.
type ExplainRequest struct {
	rpc.Read
	Key string
}

// ExplainReply says it, link by link.
type ExplainReply struct {
	// Key is what was asked about, and Exists whether it exists here.
	Key    string
	Exists bool
	Links  []Explanation
	rpc.Meta
}

// Explanation says what one link does with one key.
type Explanation struct {
	Link string
	// Role is "source" if the key is one that the link reads, "destination" if it is one that the
	// link writes, and "none".
	Role string
	// Action is copied, excluded, left-alone, conflict, held, none, or unknown when a side cannot be asked; Reason says why in a sentence.
	Action string
	Reason string
	// SourceKey and DestinationKey are the key's names at both ends.
	SourceKey      string
	DestinationKey string
	// Origin is the link that wrote the key here, "" if none did.
	Origin string
	// SourceIndex is the key's ModifyIndex at the source, 0 if it is not there, and
	// AppliedIndex the index up to which the link's source is here.
	SourceIndex  uint64
	AppliedIndex uint64
}

// The methods of this domain. All take the datacenter whose links they are about.
var (
	List = rpc.Method[ListRequest, ListReply]{Info: rpc.Info{
		Name: "Hanse.Links", Leader: true, Resource: rpc.ResourceOperator}}
	Order = rpc.Method[OrderRequest, OrderReply]{Info: rpc.Info{
		Name: "Hanse.OrderLink", Write: true, Resource: rpc.ResourceOperator}}
	Explain = rpc.Method[ExplainRequest, ExplainReply]{Info: rpc.Info{
		Name: "Hanse.ExplainKey", Leader: true, Resource: rpc.ResourceOperator}}
)
