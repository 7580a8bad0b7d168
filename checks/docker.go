package checks

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/hanse-project/hanse/process"
)

// dockerSocket is where the engine usually listens.
const dockerSocket = "unix:///var/run/docker.sock"

// docker runs commands in containers, through the API of the engine:
// https://docs.docker.com/reference/api/engine/.
type docker struct {
	client *http.Client
	err    error // why there is no client
}

// newDocker makes a client for the engine at host. A host that is wrong is told to those
// who need it.
func newDocker(host string) *docker {
	host = cmp.Or(host, os.Getenv("DOCKER_HOST"), dockerSocket)
	var dial net.Dialer
	kind, address, _ := strings.Cut(host, "://")
	if kind != "unix" && kind != "tcp" || address == "" {
		return &docker{err: fmt.Errorf("DOCKER_HOST is %q: use unix:///path or tcp://host:port", host)}
	}
	return &docker{client: &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dial.DialContext(ctx, kind, address)
		},
	}}}
}

// probe runs a command in a container, and judges it like a script. The engine cannot
// end a command: one that takes too long is left to its container.
func (k *docker) probe(d *Definition) (probe, error) {
	if k.err != nil {
		return nil, k.err
	}
	args := d.Args
	if d.Shell != "" {
		args = []string{d.Shell, "-c", quoted(d.Args)}
	}
	return func(ctx context.Context) (string, string) {
		out := &process.Tail{Limit: d.OutputMaxSize}
		code, err := k.exec(ctx, d.DockerContainerID, args, out)
		switch {
		case ctx.Err() != nil:
			return Critical, timedOut(d.timeout(), out)
		case err != nil:
			return Critical, err.Error()
		}
		return verdict(code), out.String()
	}, nil
}

// exec runs args in a container, and returns the exit code.
func (k *docker) exec(ctx context.Context, container string, args []string, out io.Writer) (int, error) {
	var made struct{ ID string }
	err := k.call(ctx, http.MethodPost, "/containers/"+url.PathEscape(container)+"/exec",
		map[string]any{"AttachStdout": true, "AttachStderr": true, "Cmd": args}, decodeInto(&made))
	if err != nil {
		return 0, fmt.Errorf("make an exec in container %s: %w", container, err)
	}
	path := "/exec/" + url.PathEscape(made.ID)
	err = k.call(ctx, http.MethodPost, path+"/start", map[string]any{"Detach": false, "Tty": false},
		func(body io.Reader) error { return demultiplex(body, out) })
	if err != nil {
		return 0, fmt.Errorf("start an exec in container %s: %w", container, err)
	}
	var state struct {
		Running  bool
		ExitCode int
	}
	if err := k.call(ctx, http.MethodGet, path+"/json", nil, decodeInto(&state)); err != nil {
		return 0, fmt.Errorf("inspect an exec in container %s: %w", container, err)
	}
	if state.Running {
		return 0, fmt.Errorf("an exec in container %s closed its output and still runs", container)
	}
	return state.ExitCode, nil
}

// call makes one request to the engine, and hands over the body of the answer.
func (k *docker) call(ctx context.Context, method, path string, request any, answer func(io.Reader) error) error {
	var body io.Reader
	if request != nil {
		raw, err := json.Marshal(request)
		if err != nil {
			return err
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://docker"+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := k.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		said, _ := io.ReadAll(io.LimitReader(res.Body, 1024))
		return fmt.Errorf("the Docker engine answers %s: %s", res.Status, bytes.TrimSpace(said))
	}
	return answer(res.Body)
}

// decodeInto reads a short JSON answer.
func decodeInto(v any) func(io.Reader) error {
	return func(r io.Reader) error { return json.NewDecoder(io.LimitReader(r, 1<<20)).Decode(v) }
}

// demultiplex copies what a command wrote out of the engine's frames: a byte for the
// stream, three of nothing, the length in four bytes, big endian, and the bytes.
func demultiplex(r io.Reader, out io.Writer) error {
	var header [8]byte
	for {
		if _, err := io.ReadFull(r, header[:]); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if _, err := io.CopyN(out, r, int64(binary.BigEndian.Uint32(header[4:]))); err != nil {
			if errors.Is(err, io.EOF) {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
}

// quoted is a line that a shell takes apart into args again.
func quoted(args []string) string {
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
	}
	return strings.Join(words, " ")
}
