package replicate

import (
	"bytes"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
)

func TestALinkWithHeldDeletesIsNotSaidToBeInStep(t *testing.T) {
	for _, c := range []struct {
		now  Status
		want string
	}{
		{Status{State: Following}, "[INFO]  in step with the source: state=following"},
		{Status{State: Held, HeldDeletes: 22}, "[WARN]  in step with the source, but for the deletes that are held: state=held"},
	} {
		var out bytes.Buffer
		logStep(hclog.New(&hclog.LoggerOptions{Output: &out}), Status{State: Syncing}, c.now)
		if !strings.Contains(out.String(), c.want) {
			t.Errorf("state %s is logged as %s", c.now.State, out.String())
		}
	}
}
