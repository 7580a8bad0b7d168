package entry

import (
	"fmt"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/hanse-project/hanse/rpc"
)

// What travels is one string with MessagePack values in it, one behind the other:
//
//	ApplyRequest   kind, {Datacenter, Entry, Op, Token}
//	Reply          kind ("" for none), [entry,] meta
//	Listing        count, kind, {Entries, Kind, meta…}
//	Everything     count, (kind, entry)…, meta
//
// An entry of the kind proxy-defaults is itself a string with such a value in it.

// pack writes values one behind the other.
func pack(values ...any) ([]byte, error) {
	var out []byte
	for _, v := range values {
		var one []byte
		if err := codec.NewEncoderBytes(&one, rpc.Msgpack).Encode(v); err != nil {
			return nil, err
		}
		out = append(out, one...)
	}
	return out, nil
}

// boxed is e as it stands within a message.
func (e *Entry) boxed() (any, error) {
	if !kinds[e.Kind].boxed {
		return e.Body, nil
	}
	text, err := pack(e.Body)
	return text, err
}

// unbox makes an entry of a value that stood within a message. One of a kind that is not
// kept here has no Body.
func unbox(kindName string, value codec.Raw) (*Entry, error) {
	k, known := kinds[kindName]
	if !known {
		return &Entry{Kind: kindName}, nil
	}
	text := []byte(value)
	if k.boxed {
		var inner []byte
		if err := codec.NewDecoderBytes(text, rpc.Msgpack).Decode(&inner); err != nil {
			return nil, fmt.Errorf("config entry of the kind %s: %w", kindName, err)
		}
		text = inner
	}
	return unpackBody(kindName, k, text)
}

func unpackBody(kindName string, k kind, text []byte) (*Entry, error) {
	body := k.make()
	if err := codec.NewDecoderBytes(text, rpc.Msgpack).Decode(body); err != nil {
		return nil, fmt.Errorf("config entry of the kind %s: %w", kindName, err)
	}
	created, modified := body.GetCreateIndex(), body.GetModifyIndex()
	e, err := New(kindName, body)
	if err != nil {
		return nil, err
	}
	e.setIndexes(created, modified)
	return e, nil
}

// applyBody is the second value of an ApplyRequest.
type applyBody[E any] struct {
	Datacenter string
	Entry      E
	Op         Op
	Token      string
}

// MarshalBinary implements encoding.BinaryMarshaler.
func (r *ApplyRequest) MarshalBinary() ([]byte, error) {
	if r.Entry == nil || r.Entry.Body == nil {
		return nil, fmt.Errorf("there is no config entry to send")
	}
	sent := r.Entry
	if r.Op == UpsertCAS || r.Op == DeleteCAS {
		var err error
		if sent, err = sent.at(r.ModifyIndex); err != nil {
			return nil, err
		}
	}
	e, err := sent.boxed()
	if err != nil {
		return nil, err
	}
	return pack(sent.Kind, &applyBody[any]{r.Datacenter, e, r.Op, r.Token})
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (r *ApplyRequest) UnmarshalBinary(text []byte) error {
	dec := codec.NewDecoderBytes(text, rpc.Msgpack)
	var kindName string
	var body applyBody[codec.Raw]
	if err := decodeAll(dec, &kindName, &body); err != nil {
		return err
	}
	e, err := unbox(kindName, body.Entry)
	var refused error
	if rpc.ReasonOf(err) == rpc.ReasonInvalid { // it can be read: the sender is told what is wrong with it
		e, refused, err = &Entry{Kind: kindName}, err, nil
	}
	if err != nil {
		return err
	}
	*r = ApplyRequest{
		Write: rpc.Write{Datacenter: body.Datacenter, Token: body.Token}, Op: body.Op, Entry: e, ModifyIndex: e.ModifyIndex, refused: refused,
	}
	return nil
}

// MarshalBinary implements encoding.BinaryMarshaler.
func (r *Reply) MarshalBinary() ([]byte, error) {
	if r.Entry == nil {
		return pack("", &r.Meta)
	}
	e, err := r.Entry.boxed()
	if err != nil {
		return nil, err
	}
	return pack(r.Entry.Kind, e, &r.Meta)
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (r *Reply) UnmarshalBinary(text []byte) error {
	dec := codec.NewDecoderBytes(text, rpc.Msgpack)
	var kindName string
	if err := dec.Decode(&kindName); err != nil {
		return err
	}
	*r = Reply{}
	if kindName != "" {
		e, err := nextEntry(dec, kindName)
		if err != nil {
			return err
		}
		if e.Body != nil {
			r.Entry = e
		}
	}
	return dec.Decode(&r.Meta)
}

// listingBody is the last value of a Listing.
type listingBody[E any] struct {
	Entries []E
	Kind    string
	rpc.Meta
}

// MarshalBinary implements encoding.BinaryMarshaler.
func (l *Listing) MarshalBinary() ([]byte, error) {
	body := &listingBody[any]{Entries: make([]any, len(l.Entries)), Kind: l.Kind, Meta: l.Meta}
	for i, e := range l.Entries {
		var err error
		if body.Entries[i], err = e.boxed(); err != nil {
			return nil, err
		}
	}
	return pack(len(l.Entries), l.Kind, body)
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (l *Listing) UnmarshalBinary(text []byte) error {
	dec := codec.NewDecoderBytes(text, rpc.Msgpack)
	var count int
	var kindName string
	var body listingBody[codec.Raw]
	if err := decodeAll(dec, &count, &kindName, &body); err != nil {
		return err
	}
	*l = Listing{Kind: kindName, Meta: body.Meta}
	for _, raw := range body.Entries {
		e, err := unbox(kindName, raw)
		if err != nil {
			return err
		}
		if e.Body != nil {
			l.Entries = append(l.Entries, e)
		}
	}
	return nil
}

// MarshalBinary implements encoding.BinaryMarshaler.
func (r *Everything) MarshalBinary() ([]byte, error) {
	values := []any{len(r.Entries)}
	for _, e := range r.Entries {
		boxed, err := e.boxed()
		if err != nil {
			return nil, err
		}
		values = append(values, e.Kind, boxed)
	}
	return pack(append(values, &r.Meta)...)
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (r *Everything) UnmarshalBinary(text []byte) error {
	dec := codec.NewDecoderBytes(text, rpc.Msgpack)
	var count int
	if err := dec.Decode(&count); err != nil {
		return err
	}
	*r = Everything{}
	for range count {
		var kindName string
		if err := dec.Decode(&kindName); err != nil {
			return err
		}
		e, err := nextEntry(dec, kindName)
		if err != nil {
			return err
		}
		if e.Body != nil {
			r.Entries = append(r.Entries, e)
		}
	}
	return dec.Decode(&r.Meta)
}

func nextEntry(dec *codec.Decoder, kindName string) (*Entry, error) {
	var raw codec.Raw
	if err := dec.Decode(&raw); err != nil {
		return nil, err
	}
	return unbox(kindName, raw)
}

func decodeAll(dec *codec.Decoder, into ...any) error {
	for _, v := range into {
		if err := dec.Decode(v); err != nil {
			return err
		}
	}
	return nil
}

// body is the content as the log keeps it.
func (e *Entry) body() ([]byte, error) { return pack(e.Body) }

// at is a copy of e with another index.
func (e *Entry) at(index uint64) (*Entry, error) {
	text, err := e.body()
	if err != nil {
		return nil, err
	}
	other, err := fromBody(e.Kind, text)
	if err != nil {
		return nil, err
	}
	other.setIndexes(e.CreateIndex, index)
	return other, nil
}

// fromBody makes an entry of what the log kept.
func fromBody(kindName string, text []byte) (*Entry, error) {
	k, err := kindOf(kindName)
	if err != nil {
		return nil, err
	}
	return unpackBody(kindName, k, text)
}
