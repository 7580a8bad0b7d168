package mesh

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/hanse-project/hanse/mesh/cert"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/rpc/rpctest"
)

// recorded are the request and the reply of a method, as servers of Consul exchanged them.
func recorded(t *testing.T, method string) (request, reply []byte) {
	t.Helper()
	for _, x := range rpctest.Recorded(t, "testdata/rpc.jsonl") {
		if x.Method == method {
			return x.Request, x.Response
		}
	}
	t.Fatalf("%s was not recorded", method)
	return nil, nil
}

// again decodes a message into v, encodes that, and returns the fields of both.
func again(t *testing.T, text []byte, v any) (got, want map[string]any) {
	t.Helper()
	if err := codec.NewDecoderBytes(text, rpc.Msgpack).Decode(v); err != nil {
		t.Fatal(err)
	}
	for _, side := range []struct {
		text []byte
		into *map[string]any
	}{{rpctest.Encode(t, v), &got}, {text, &want}} {
		if err := codec.NewDecoderBytes(side.text, rpc.Msgpack).Decode(side.into); err != nil {
			t.Fatal(err)
		}
	}
	return got, want
}

// sameFields compares what was recorded; fields that are only ours begin with Hanse.
func sameFields(t *testing.T, path string, got, want map[string]any) {
	t.Helper()
	for name, value := range want {
		if inner, ok := value.([]any); ok {
			for i := range inner {
				sameFields(t, path+"."+name, got[name].([]any)[i].(map[string]any), inner[i].(map[string]any))
			}
			continue
		}
		if fmt.Sprint(got[name]) != fmt.Sprint(value) {
			t.Errorf("%s.%s is %v, want %v", path, name, got[name], value)
		}
	}
	for name := range got {
		if _, there := want[name]; !there && !strings.HasPrefix(name, "Hanse") {
			t.Errorf("%s.%s was not recorded", path, name)
		}
	}
}

func TestRecordedMessagesAreOurs(t *testing.T) {
	_, text := recorded(t, ListRoots.Name)
	roots := new(Roots)
	got, want := again(t, text, roots)
	sameFields(t, "Roots", got, want)

	request, text := recorded(t, Sign.Name)
	asked := new(SignRequest)
	got, want = again(t, request, asked)
	sameFields(t, "SignRequest", got, want)
	issued := new(Issued)
	got, want = again(t, text, issued)
	sameFields(t, "Issued", got, want)

	// And what they hold is what it is taken for.
	csr, id, err := cert.ParseRequest(asked.CSR)
	if err != nil || id.Service != "web" || id.TrustDomain != roots.TrustDomain {
		t.Fatalf("the request is for %+v, %v", id, err)
	}
	leaf, err := cert.Parse(issued.CertPEM)
	if err != nil || !reflect.DeepEqual(leaf.PublicKey, csr.PublicKey) || leaf.URIs[0].String() != id.URI().String() {
		t.Errorf("the certificate is of %v, %v", leaf.URIs, err)
	}
	root, err := cert.Parse(roots.Roots[0].RootCert)
	if err != nil || cert.Fingerprint(root) != roots.ActiveRootID || leaf.CheckSignatureFrom(root) != nil || cert.Hex(root.SubjectKeyId) != roots.Roots[0].SigningKeyID {
		t.Errorf("the root is %s, %v", cert.Fingerprint(root), err)
	}
	if cert.Serial(leaf) != issued.SerialNumber {
		t.Errorf("the serial number is %s, want %s", cert.Serial(leaf), issued.SerialNumber)
	}
}
