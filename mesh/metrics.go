package mesh

import (
	"time"

	gometrics "github.com/hashicorp/go-metrics"

	"github.com/hanse-project/hanse/store"
)

// measure tells how long the certificates that sign are good for, in seconds. The leader
// alone tells it.
func measure(v *store.View) {
	root, key, err := signer(v)
	if err != nil {
		return
	}
	gometrics.SetGauge([]string{"mesh", "active-root-ca", "expiry"}, float32(time.Until(root.NotAfter).Seconds()))
	gometrics.SetGauge([]string{"mesh", "active-signing-ca", "expiry"}, float32(time.Until(key.Cert.NotAfter).Seconds()))
}
