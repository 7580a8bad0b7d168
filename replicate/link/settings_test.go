package link

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hanse-project/hanse/catalog"
)

func TestSettingsAreReadInBothSpellings(t *testing.T) {
	for _, body := range []string{
		`{"source_datacenter":"shanghai","prefix":"","exclude":["private/"],"verify_interval":"90s","max_delete_fraction":0.25,"delete":false}`,
		`{"SourceDatacenter":"shanghai","Prefix":"","Exclude":["private/"],"VerifyInterval":90000000000,"MaxDeleteFraction":0.25,"DELETE":false}`,
	} {
		l, fields, err := ParseSettings([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		want := Link{SourceDatacenter: "shanghai", Exclude: []string{"private/"}, VerifyInterval: catalog.Duration(90 * time.Second), MaxDeleteFraction: 0.25}
		if !reflect.DeepEqual(l, want) {
			t.Errorf("%s is %+v", body, l)
		}
		slices.Sort(fields)
		if got := strings.Join(fields, " "); got != "delete exclude max_delete_fraction prefix source_datacenter verify_interval" {
			t.Errorf("%s has %s", body, got)
		}
	}
}

func TestWhatIsShownCanBeWritten(t *testing.T) {
	_, fields, err := ParseSettings([]byte(`{"Name":"a","HasToken":true,"Paused":true,"Status":{"State":"held"},"Checkpoint":null,"Token":null,"ModifyIndex":7}`))
	if err != nil || !slices.Equal(fields, []string{"name"}) {
		t.Errorf("%v, %v", fields, err)
	}
}

func TestWrongSettingsAreNamed(t *testing.T) {
	for body, says := range map[string]string{
		`{"prefx":"a"}`:                        `unknown setting "prefx": did you mean "prefix"?`,
		`{"prefix":5}`:                         `prefix is 5: use a text`,
		`{"delete":"yes"}`:                     `delete is "yes": use true or false`,
		`{"rate_limit":1.5}`:                   `rate_limit is 1.5: use a whole number`,
		`{"VerifyInterval":"soon"}`:            `verify_interval is "soon": use a duration such as "10m"`,
		`{"max_delete_fraction":"half"}`:       `max_delete_fraction is "half": use a number from 0 to 1`,
		`{"exclude":"a"}`:                      `exclude is "a": use a list of texts`,
		`{"RateLimit":1,"rate_limit":2}`:       `rate_limit is given twice`,
		`[]`:                                   `it is not an object`,
		``:                                     `no JSON object`,
		`{"prefix":"a"} {"prefix":"b"}`:        `more behind`,
		`{"prefix":"a",`:                       `no JSON object`,
		`{"whatever":"a"}`:                     `unknown setting "whatever": use `,
		`{"source_datacentre":"a"}`:            `did you mean "source_datacenter"?`,
		`{"destination_prefix":{"prefix":""}}`: `destination_prefix is {"prefix":""}: use a text`,
	} {
		if _, _, err := ParseSettings([]byte(body)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", body, err, says)
		}
	}
}

// request is a Set with the body, as a face makes it.
func request(t *testing.T, name, body string) *OrderRequest {
	t.Helper()
	req := &OrderRequest{Verb: Set, Name: name}
	var err error
	if req.Link, req.Fields, err = ParseSettings([]byte(body)); err != nil {
		t.Fatal(err)
	}
	return req
}

func TestWhatIsLeftOutStaysOrHasItsDefault(t *testing.T) {
	l, err := request(t, "a", `{"source_datacenter":"shanghai","prefix":"config/","token":"secret","repair":false}`).Settings(nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Defaults()
	want.Name, want.SourceDatacenter, want.Prefix, want.DestinationPrefix, want.Token, want.Repair = "a", "shanghai", "config/", "config/", "secret", false
	if !reflect.DeepEqual(l, want) {
		t.Errorf("new: %+v, want %+v", l, want)
	}
	changed, err := request(t, "a", `{"rate_limit":7,"delete":false,"exclude":["config/x/"]}`).Settings(&l)
	if err != nil {
		t.Fatal(err)
	}
	want.RateLimit, want.Delete, want.Exclude = 7, false, []string{"config/x/"}
	if !reflect.DeepEqual(changed, want) {
		t.Errorf("changed: %+v, want %+v", changed, want)
	}
}

func TestANewLinkMustSayWhereItsKeysComeFrom(t *testing.T) {
	for body, says := range map[string]string{
		`{}`:                               "source_datacenter is missing",
		`{"prefix":"a"}`:                   "source_datacenter is missing",
		`{"source_datacenter":"shanghai"}`: "prefix is missing",
	} {
		if _, err := request(t, "a", body).Settings(nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", body, err, says)
		}
	}
	if l, err := request(t, "a", `{"source_datacenter":"shanghai","prefix":""}`).Settings(nil); err != nil || l.DestinationPrefix != "" {
		t.Errorf("an empty prefix that is meant: %+v, %v", l, err)
	}
}

func FuzzParseSettings(f *testing.F) {
	f.Add([]byte(`{"source_datacenter":"shanghai","prefix":"","exclude":["a"],"verify_interval":"10m","rate_limit":3}`))
	f.Add([]byte(`{"Status":{},"Paused":true,"Prefix":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		l, fields, err := ParseSettings(body)
		if err != nil {
			return
		}
		req := &OrderRequest{Verb: Set, Link: l, Fields: fields}
		if _, err := req.Settings(&Link{}); err != nil {
			t.Errorf("%s cannot change a link: %v", body, err)
		}
	})
}
