package checks

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/http2"
	"google.golang.org/protobuf/encoding/protowire"
)

// maxHealthAnswer is more than any answer of the gRPC health service has.
const maxHealthAnswer = 1 << 10

// servingNames are the states of the gRPC health service, in order of their numbers. See
// https://github.com/grpc/grpc/blob/master/doc/health-checking.md.
var servingNames = []string{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"}

// serving is the number of SERVING.
const serving = 1

// h2ping sends a PING frame and waits for its answer.
func (p *probes) h2ping(d *Definition) probe {
	return func(ctx context.Context) (string, string) {
		conn, err := p.connect(ctx, d, "tcp", d.H2Ping, d.H2PingUseTLS, http2.NextProtoTLS)
		if err != nil {
			return Critical, fmt.Sprintf("Failed to dial to %s: %v", d.H2Ping, err)
		}
		defer conn.Close()
		if err := ping(conn); err != nil {
			return Critical, fmt.Sprintf("HTTP2 ping failed: %v", err)
		}
		return Passing, "HTTP2 ping was successful"
	}
}

// ping begins HTTP/2 on a connection, and returns when its ping is answered.
func ping(conn io.ReadWriter) error {
	payload := [8]byte{'h', 'e', 'a', 'l', 't', 'h'}
	var hello bytes.Buffer // one write, lest a server answers the first part and closes
	hello.WriteString(http2.ClientPreface)
	out := http2.NewFramer(&hello, nil)
	if err := errors.Join(out.WriteSettings(), out.WritePing(false, payload)); err != nil {
		return err
	}
	if _, err := hello.WriteTo(conn); err != nil {
		return err
	}
	in := http2.NewFramer(conn, conn)
	in.SetMaxReadFrameSize(1 << 14)
	for {
		frame, err := in.ReadFrame()
		if err != nil {
			return err
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				err = in.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if f.IsAck() && f.Data == payload {
				return nil
			}
		case *http2.GoAwayFrame:
			err = fmt.Errorf("the server closes the connection: %s", f.ErrCode)
		}
		if err != nil {
			return err
		}
	}
}

// grpc asks the standard health service. One unary call needs HTTP/2 and two fields of
// protobuf, and no library for gRPC.
func (p *probes) grpc(d *Definition) probe {
	address, service, _ := strings.Cut(d.GRPC, "/")
	return func(ctx context.Context) (string, string) {
		state, err := p.askHealth(ctx, d, address, service)
		if err != nil {
			return Critical, fmt.Sprintf("gRPC check %s: %v", d.GRPC, err)
		}
		if state != serving {
			name := fmt.Sprint("state ", state)
			if state < uint64(len(servingNames)) {
				name = servingNames[state]
			}
			return Critical, fmt.Sprintf("gRPC check %s: %s", d.GRPC, name)
		}
		return Passing, fmt.Sprintf("gRPC check %s: success", d.GRPC)
	}
}

// h2transport speaks HTTP/2 and nothing else, for one turn.
func (p *probes) h2transport(d *Definition) *http.Transport {
	t := p.transport()
	t.Proxy = nil
	t.TLSClientConfig = p.tlsFor(d, "")
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP2(true)
	t.Protocols.SetUnencryptedHTTP2(true)
	return t
}

// askHealth calls grpc.health.v1.Health/Check and returns the state of the service.
func (p *probes) askHealth(ctx context.Context, d *Definition, address, service string) (uint64, error) {
	scheme, authority := "http", address
	if d.GRPCUseTLS {
		scheme = "https"
		authority = cmp.Or(d.TLSServerName, address)
	}
	var message []byte
	if service != "" {
		message = protowire.AppendTag(message, 1, protowire.BytesType)
		message = protowire.AppendString(message, service)
	}
	// A message is preceded by a byte for its compression, and its length.
	frame := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
	target := &url.URL{Scheme: scheme, Host: address, Path: "/grpc.health.v1.Health/Check"}
	req := (&http.Request{
		Method: http.MethodPost, URL: target, Host: authority, ContentLength: int64(len(frame)),
		Body: io.NopCloser(bytes.NewReader(frame)),
		Header: http.Header{
			"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "User-Agent": {agentName},
		},
	}).WithContext(ctx)
	transport := p.h2transport(d)
	defer transport.CloseIdleConnections()
	res, err := transport.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("the server answers %s, and not in gRPC", res.Status)
	}
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxHealthAnswer))
	if err != nil {
		return 0, err
	}
	if err := grpcStatus(res); err != nil {
		return 0, err
	}
	return healthState(answer)
}

// grpcStatus is the error that an answer ends with. It stands in the trailer, or in the
// header of an answer without a body.
func grpcStatus(res *http.Response) error {
	from := res.Trailer
	if from.Get("Grpc-Status") == "" {
		from = res.Header
	}
	switch code := from.Get("Grpc-Status"); code {
	case "0":
		return nil
	case "":
		return errors.New("the server does not answer in gRPC")
	case "5":
		return errors.New("the health service does not know that service")
	case "12":
		return errors.New("the server has no health service")
	default:
		said, err := url.PathUnescape(from.Get("Grpc-Message"))
		if err != nil {
			said = from.Get("Grpc-Message")
		}
		return fmt.Errorf("rpc error: code = %s desc = %s", code, said)
	}
}

// healthState reads a framed HealthCheckResponse, whose field 1 is the state.
func healthState(frame []byte) (uint64, error) {
	bad := errors.New("the answer of the health service cannot be read")
	if len(frame) < 5 || frame[0] != 0 || uint64(binary.BigEndian.Uint32(frame[1:5])) != uint64(len(frame)-5) {
		return 0, bad
	}
	var state uint64
	for rest := frame[5:]; len(rest) > 0; {
		field, kind, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return 0, bad
		}
		rest = rest[n:]
		if field == 1 && kind == protowire.VarintType {
			state, n = protowire.ConsumeVarint(rest)
		} else {
			n = protowire.ConsumeFieldValue(field, kind, rest)
		}
		if n < 0 {
			return 0, bad
		}
		rest = rest[n:]
	}
	return state, nil
}
