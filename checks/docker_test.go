package checks

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// frame is output as the engine sends it.
func frame(stream byte, text string) string {
	header := [8]byte{stream}
	binary.BigEndian.PutUint32(header[4:], uint32(len(text)))
	return string(header[:]) + text
}

// engine speaks the three calls of the Docker engine's API that run a command. What the
// commands do is in their words: exit code, then what is said.
func engine(t *testing.T) (address string) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "docker.sock")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	commands := make(chan []string, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /containers/{id}/exec", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("id") != "web" {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"message":"No such container: `+r.PathValue("id")+`"}`)
			return
		}
		var req struct {
			AttachStdout, AttachStderr bool
			Cmd                        []string
		}
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil || !req.AttachStdout || !req.AttachStderr {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		commands <- req.Cmd
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"Id":"e1"}`)
	})
	code := make(chan string, 1)
	mux.HandleFunc("POST /exec/e1/start", func(w http.ResponseWriter, r *http.Request) {
		words := <-commands
		w.Header().Set("Content-Type", "application/vnd.docker.multiplexed-stream")
		switch words[0] {
		case "hang":
			_, _ = io.WriteString(w, frame(1, "begun"))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return
		case "break":
			_, _ = io.WriteString(w, frame(1, "begun")[:10])
			return
		}
		code <- words[0]
		_, _ = io.WriteString(w, frame(1, strings.Join(words[1:], "|"))+frame(2, " err"))
	})
	mux.HandleFunc("GET /exec/e1/json", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"Running":false,"ExitCode":%s}`, <-code)
	})
	s := &http.Server{Handler: mux, ErrorLog: quiet()}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(ln) }()
	t.Cleanup(func() { s.Close(); <-done })
	return "unix://" + socket
}

func TestDocker(t *testing.T) {
	reach := Reach{DockerHost: engine(t)}
	for code, want := range map[string]string{"0": Passing, "1": Warning, "2": Critical} {
		result, output := try(t, reach, Definition{DockerContainerID: "web", Args: []string{code, "a", "b c"}})
		expect(t, result, output, want, "a|b c err")
	}
	result, output := try(t, reach, Definition{DockerContainerID: "nix", Args: []string{"0"}})
	expect(t, result, output, Critical, `make an exec in container nix: the Docker engine answers 404 Not Found: {"message":"No such container: nix"}`)

	until(t, 100*time.Millisecond, func(timeout time.Duration) error {
		// What was broken off has confused the engine: each turn has its own.
		result, output := try(t, Reach{DockerHost: engine(t)}, Definition{DockerContainerID: "web", Args: []string{"hang"}, Timeout: timeout})
		if want := fmt.Sprintf("Timed out (%v) running check: begun", timeout); result != Critical || !strings.HasPrefix(output, want) {
			return fmt.Errorf("in %v the check is %s: %q", timeout, result, output)
		}
		return nil
	})

	result, output = try(t, reach, Definition{DockerContainerID: "web", Args: []string{"break"}})
	expect(t, result, output, Critical, "start an exec in container web: unexpected EOF")

	result, output = try(t, reach, Definition{DockerContainerID: "web", Args: []string{"0", strings.Repeat("x", 100)}, OutputMaxSize: 10})
	expect(t, result, output, Passing, "Captured 10 of 104 bytes\n...\nxxxxxx err")

	t.Setenv("DOCKER_HOST", reach.DockerHost)
	result, output = try(t, Reach{}, Definition{DockerContainerID: "web", Args: []string{"0", "by the environment"}})
	expect(t, result, output, Passing, "by the environment err")

	nowhere := "unix://" + filepath.Join(t.TempDir(), "nix")
	result, output = try(t, Reach{DockerHost: nowhere}, Definition{DockerContainerID: "web", Args: []string{"0"}})
	expect(t, result, output, Critical, "make an exec in container web: ")
}

func TestDockerWithAShell(t *testing.T) {
	if got, want := quoted([]string{"a b", "it's", "$HOME"}), `'a b' 'it'\''s' '$HOME'`; got != want {
		t.Errorf("quoted as %s, want %s", got, want)
	}
	// A real shell takes it apart again.
	args := []string{"printf", "%s|", "a b", "it's", "$HOME", "`x`", "\\", "\n", ""}
	result, output := try(t, Reach{}, sh(quoted(args)))
	expect(t, result, output, Passing, strings.Join(args[2:], "|")+"|")

	d := Definition{DockerContainerID: "web", Args: args, Shell: "0", OutputMaxSize: 100}
	result, output = try(t, Reach{DockerHost: engine(t)}, d)
	expect(t, result, output, Passing, "-c|"+quoted(args))
}

func TestDockerHostThatIsWrong(t *testing.T) {
	for _, host := range []string{"/var/run/docker.sock", "ssh://host", "unix://"} {
		_, err := newProbes(Reach{DockerHost: host}).of(&Definition{DockerContainerID: "web", Args: []string{"true"}})
		if err == nil || !strings.Contains(err.Error(), "use unix:///path or tcp://host:port") {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func FuzzDemultiplex(f *testing.F) {
	f.Add([]byte(frame(1, "out") + frame(2, "err")))
	f.Add([]byte("\x01\x00\x00\x00\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var out bytes.Buffer
		if err := demultiplex(bytes.NewReader(raw), &out); err == nil && len(raw) > 0 && out.Len() > len(raw)-8 {
			t.Errorf("%q gives more than it holds: %q", raw, out.Bytes())
		}
		again := slices.Concat([]byte(frame(1, out.String())), []byte(frame(2, "end")))
		var twice bytes.Buffer
		if err := demultiplex(bytes.NewReader(again), &twice); err != nil || twice.String() != out.String()+"end" {
			t.Errorf("two frames give %q, %v", twice.Bytes(), err)
		}
	})
}
