package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
)

const limit = 1 << 20

func TestRecordedArchiveIsRead(t *testing.T) {
	f, err := os.Open("testdata/consul-1.21.4.snap")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a, err := Read(f, t.TempDir(), limit)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if a.Meta.Index != 118 || a.Meta.Term != 2 || a.Meta.Size != 37209 || len(a.Meta.Configuration.Servers) != 1 {
		t.Errorf("meta is %+v", a.Meta)
	}
	for range 2 {
		state, err := io.ReadAll(a.State())
		if err != nil {
			t.Fatal(err)
		}
		const want = "38e491f5fcf3475b6b0a7554805cc33c857d061cb59d60e98e72ab107e75d40b"
		if got := fmt.Sprintf("%x", sha256.Sum256(state)); got != want {
			t.Errorf("state has sum %s, want %s", got, want)
		}
	}
}

func TestWhatIsWrittenIsReadAgain(t *testing.T) {
	state := strings.Repeat("state ", 10_000)
	meta := &raft.SnapshotMeta{
		Version: 1, ID: "2-7-1", Index: 7, Term: 2, ConfigurationIndex: 1, Size: int64(len(state)),
		Configuration: raft.Configuration{Servers: []raft.Server{{ID: "a", Address: "127.0.0.1:8300"}}},
	}
	var buf bytes.Buffer
	if err := Write(&buf, meta, strings.NewReader(state)); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	a, err := Read(&buf, dir, limit)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	got, err := io.ReadAll(a.State())
	if err != nil || string(got) != state || a.Meta.Index != 7 || a.Meta.Configuration.Servers[0].ID != "a" {
		t.Errorf("read %d bytes, %+v, %v", len(got), a.Meta, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left in the directory: %v, %v", left, err)
	}
}

func TestStateOfTheWrongSizeIsNotWritten(t *testing.T) {
	for _, state := range []string{"sho", "long!"} {
		err := Write(io.Discard, &raft.SnapshotMeta{Size: 4}, strings.NewReader(state))
		if err == nil {
			t.Errorf("%q was written as 4 bytes", state)
		}
	}
}

// file is a member of a hand-made archive.
type file struct {
	name, body string
	kind       byte
}

func pack(t testing.TB, files ...file) []byte {
	t.Helper()
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	w := tar.NewWriter(zip)
	for _, f := range files {
		head := &tar.Header{Name: f.name, Size: int64(len(f.body)), Mode: 0o600, Typeflag: f.kind}
		if err := errors.Join(w.WriteHeader(head), second(io.WriteString(w, f.body))); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func second(_ int, err error) error { return err }

func sums(files ...file) file {
	var b strings.Builder
	for _, f := range files {
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256([]byte(f.body)), f.name)
	}
	return file{name: sumsName, body: b.String()}
}

func TestBadArchivesAreRefused(t *testing.T) {
	meta, state := file{name: metaName, body: `{"Version":1,"Size":5}`}, file{name: stateName, body: "state"}
	wrong := file{name: metaName, body: `{"Version":1,"Size":6}`}
	other := file{name: "other", body: "x"}
	big := file{name: stateName, body: strings.Repeat("x", limit+1)}
	hugeMeta := file{name: metaName, body: strings.Repeat(" ", maxMeta+1)}
	good := pack(t, meta, state, sums(state, meta))
	if a, err := Read(bytes.NewReader(good), t.TempDir(), limit); err != nil {
		t.Fatalf("the good archive: %v", err)
	} else {
		a.Close()
	}
	for name, tc := range map[string]struct {
		in   []byte
		want string
	}{
		"empty":              {nil, "gzip"},
		"not gzip":           {[]byte("hello, world, this is text"), "gzip"},
		"truncated":          {good[:len(good)/2], "unexpected EOF"},
		"last byte missing":  {good[:len(good)-1], "unexpected EOF"},
		"no state":           {pack(t, meta, sums(meta)), "state.bin is missing"},
		"no sums":            {pack(t, meta, state), "SHA256SUMS is missing"},
		"unknown member":     {pack(t, meta, state, other, sums(meta, state)), `unknown file "other"`},
		"unknown sum":        {pack(t, meta, state, sums(meta, state, other)), "unexpected line"},
		"member twice":       {pack(t, meta, state, state, sums(meta, state)), "twice"},
		"sum twice":          {pack(t, meta, state, sums(meta, meta)), "unexpected line"},
		"sum missing":        {pack(t, meta, state, sums(state)), "lists 1 of 2"},
		"sum wrong":          {pack(t, meta, file{name: stateName, body: "stale"}, sums(meta, state)), "state.bin does not match"},
		"size wrong":         {pack(t, wrong, state, sums(wrong, state)), "says 6"},
		"state too large":    {pack(t, meta, big, sums(meta, big)), "at most 1048576 are allowed"},
		"meta too large":     {pack(t, hugeMeta, state, sums(hugeMeta, state)), "at most 1048576 are expected"},
		"a link":             {pack(t, file{name: metaName, kind: tar.TypeSymlink}), "not a plain file"},
		"meta is not JSON":   {pack(t, file{name: metaName, body: "{"}, state, sums(file{name: metaName, body: "{"}, state)), "unexpected end of JSON"},
		"much after the end": {append(bytes.Clone(good), pack(t, big)...), "follow the last member"},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := Read(bytes.NewReader(tc.in), t.TempDir(), limit)
			if err == nil {
				a.Close()
				t.Fatal("it was read")
			}
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error is %q, want %v with %q", err, ErrInvalid, tc.want)
			}
		})
	}
}

func FuzzRead(f *testing.F) {
	recorded, err := os.ReadFile("testdata/consul-1.21.4.snap")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(recorded)
	meta, state := file{name: metaName, body: `{"Version":1,"Size":5}`}, file{name: stateName, body: "state"}
	f.Add(pack(f, meta, state, sums(state, meta)))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, in []byte) {
		a, err := Read(bytes.NewReader(in), dir, 64<<10)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%v does not blame the archive", err)
			}
			return
		}
		defer a.Close()
		if n, err := io.Copy(io.Discard, a.State()); err != nil || n != a.Meta.Size {
			t.Errorf("state of %d bytes: read %d, %v", a.Meta.Size, n, err)
		}
	})
}
