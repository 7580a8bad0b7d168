package httpapi

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/hanse-project/hanse/kv"
)

// Others read these answers with programs of their own: each byte is a promise.
func TestPagesAndSumsByteForByte(t *testing.T) {
	face, srv := newFace(t, nil)
	for _, key := range []string{"a/1", "a/<2>", "a/\xff"} {
		srv.put(t, key, "v")
	}
	e, found := kv.Lookup(srv.store.Read(nil), "a/1")
	if !found {
		t.Fatal("a/1 was not written")
	}
	index := e.ModifyIndex // the keys have this one and the next two
	for query, want := range map[string]string{
		"entries&limit=2": fmt.Sprintf(`[{"LockIndex":0,"Key":"a/1","Flags":0,"Value":"dg==","CreateIndex":%d,"ModifyIndex":%[1]d},`+
			`{"LockIndex":0,"Key":"a/\u003c2\u003e","Flags":0,"Value":"dg==","CreateIndex":%[2]d,"ModifyIndex":%[2]d}]`, index, index+1),
		"entries&after=a/b": fmt.Sprintf(`[{"LockIndex":0,"Key":"a/\ufffd","Flags":0,"Value":"dg==","CreateIndex":%d,"ModifyIndex":%[1]d,"KeyBytes":"YS//"}]`, index+2),
		"entries&after=b":   `[]`,
		"digests":           fmt.Sprintf(`{"Index":%d,"Levels":2,"Ranges":[[{"Start":"","Count":3,"Sum":"56e36c4c638df4a4f8d4089a494e6c3c"}]]}`, index+2),
		"digests&level=0&from=1&to=2&from=x&to=": fmt.Sprintf(`{"Index":%d,"Levels":2,"Ranges":[[{"Start":"MQ==","Count":1,"Sum":"14fad66dc209e6c205ddc2dcd010cf42"}],`+
			`[{"Start":"/w==","Count":1,"Sum":"0054ff1d73d619a370b960c5de36e148"}]]}`, index+2),
		"digests&from=2&to=3": fmt.Sprintf(`{"Index":%d,"Levels":2,"Ranges":[[]]}`, index+2),
	} {
		w := httptest.NewRecorder()
		face.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/kv/a/?"+query, nil))
		if got := w.Body.String(); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", query, got, want)
		}
	}
}
