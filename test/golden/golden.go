// Package golden holds exchanges recorded from agents of Consul 1.21.4, for tests that
// compare what we answer with what clients are used to.
package golden

import (
	"bytes"
	_ "embed" // for the recordings
	"encoding/hex"
	"encoding/json"
	"fmt"
)

//go:embed http.jsonl
var http []byte

//go:embed dns.jsonl
var dns []byte

// HTTP is one request to the HTTP port of an agent, and its answer.
type HTTP struct {
	// Note says what the exchange shows. It is unique.
	Note string
	// Agent is the kind of agent that was asked.
	Agent          string
	Method         string
	Path           string
	Body           string
	RequestHeaders map[string]string `json:"request_headers"`
	Status         int
	// Headers are all but Date.
	Headers map[string]string
	// Response is the body, or ResponseB64 if it is no text.
	Response    string
	ResponseB64 []byte `json:"response_b64"`
}

// HTTPExchanges are those of the HTTP port, in the order they were recorded: later ones
// see what earlier ones changed.
func HTTPExchanges() ([]HTTP, error) {
	return lines[HTTP](http)
}

// DNS is one question to the DNS port of an agent, and its answer.
type DNS struct {
	// Note says what the exchange shows.
	Note string
	// Agent is the kind of agent that was asked, with its settings.
	Agent string
	// Proto is "udp" or "tcp".
	Proto string
	// Query and Reply are the packets.
	Query hexBytes `json:"query_hex"`
	Reply hexBytes `json:"reply_hex"`
}

// hexBytes are bytes that stand as hexadecimal digits in a recording.
type hexBytes []byte

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// DNSExchanges are those of the DNS port.
func DNSExchanges() ([]DNS, error) { return lines[DNS](dns) }

func lines[T any](recording []byte) ([]T, error) {
	var all []T
	for line := range bytes.Lines(recording) {
		var one T
		if err := json.Unmarshal(line, &one); err != nil {
			return nil, fmt.Errorf("exchange %d: %w", len(all)+1, err)
		}
		all = append(all, one)
	}
	return all, nil
}
