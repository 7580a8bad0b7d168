package mesh

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	uuid "github.com/hashicorp/go-uuid"

	"github.com/hanse-project/hanse/mesh/cert"
	"github.com/hanse-project/hanse/rpc"
)

// Provider is the only one there is: the authority of this package.
const Provider = "consul"

// settings are what the configuration of the provider says.
type settings struct {
	leafTTL, intermediateTTL, rootTTL time.Duration
	keyType                           string
	keyBits                           int
	// privateKey and rootCert are given to be used in the place of new ones.
	privateKey, rootCert string
	// clusterID is the UUID of the trust domain, for the first configuration only. "" makes one.
	clusterID string
	// perSecond and concurrent bound the requests for certificates, 0 if they do not.
	perSecond  float64
	concurrent int
}

// The bounds of a leaf's life.
const (
	minLeafTTL = time.Hour
	maxLeafTTL = 365 * 24 * time.Hour
)

// option is one setting by its name.
type option struct {
	name string
	set  func(s *settings, v any) error
}

var options = []option{
	{"LeafCertTTL", duration(func(s *settings) *time.Duration { return &s.leafTTL })},
	{"IntermediateCertTTL", duration(func(s *settings) *time.Duration { return &s.intermediateTTL })},
	{"RootCertTTL", duration(func(s *settings) *time.Duration { return &s.rootTTL })},
	{"PrivateKeyType", text(func(s *settings) *string { return &s.keyType })},
	{"PrivateKeyBits", number(func(s *settings, f float64) { s.keyBits = int(f) })},
	{privateKey, text(func(s *settings) *string { return &s.privateKey })},
	{rootCert, text(func(s *settings) *string { return &s.rootCert })},
	{"CSRMaxPerSecond", number(func(s *settings, f float64) { s.perSecond = f })},
	{"CSRMaxConcurrent", number(func(s *settings, f float64) { s.concurrent = int(f) })},
	{clusterID, uuidOf(func(s *settings) *string { return &s.clusterID })},
	// Older settings, without effect in Consul too.
	{"RotationPeriod", func(*settings, any) error { return nil }},
	{"SkipValidate", func(*settings, any) error { return nil }},
}

const (
	privateKey = "PrivateKey"
	rootCert   = "RootCert"
	clusterID  = "ClusterID"
)

// parse reads the settings, with keys in either spelling. What it returns beside them is
// what is kept: the names of clients, no private key, and no trust domain, which never changes.
func parse(given map[string]any) (*settings, map[string]any, error) {
	s := &settings{
		leafTTL: 72 * time.Hour, intermediateTTL: maxLeafTTL, rootTTL: 10 * maxLeafTTL, keyType: cert.EC, keyBits: 256, perSecond: 50,
	}
	kept := map[string]any{"LeafCertTTL": "72h", "IntermediateCertTTL": "8760h", "RootCertTTL": "87600h"}
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(given)) {
		value := given[key]
		i := slices.IndexFunc(options, func(o option) bool {
			return strings.EqualFold(o.name, strings.ReplaceAll(key, "_", ""))
		})
		switch {
		case i < 0:
			errs = append(errs, fmt.Errorf("%s: the CA provider %q has no such setting", key, Provider))
		case value == nil:
		default:
			if err := options[i].set(s, value); err != nil {
				errs = append(errs, fmt.Errorf("%s %w", key, err))
			}
			if n, isNumber := value.(json.Number); isNumber {
				value = n.String()
			}
			if name := options[i].name; name != privateKey && name != clusterID {
				kept[options[i].name] = value
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, nil, err
	}
	if s.privateKey != "" { // so that the next one who writes the same does not ask for a new key
		key, err := cert.ParseKey(s.privateKey)
		if err != nil {
			return nil, nil, err
		}
		if s.keyType, s.keyBits, err = cert.KeyType(key.Public()); err != nil {
			return nil, nil, err
		}
		kept["PrivateKeyType"], kept["PrivateKeyBits"] = s.keyType, s.keyBits
	}
	return s, kept, s.check()
}

// check says what is wrong with the settings together.
func (s *settings) check() error {
	switch {
	case s.leafTTL < minLeafTTL:
		return fmt.Errorf("leaf cert TTL must be greater or equal than %s", minLeafTTL)
	case s.leafTTL > maxLeafTTL:
		return fmt.Errorf("leaf cert TTL must be less than %s", maxLeafTTL)
	case s.intermediateTTL < 3*s.leafTTL:
		return fmt.Errorf("Intermediate Cert TTL must be greater or equal than 3 * LeafCertTTL (>=%s).", 3*s.leafTTL)
	case s.rootTTL < s.intermediateTTL:
		return fmt.Errorf("root cert TTL is set and is not greater than intermediate cert ttl. root cert ttl: %s, intermediate cert ttl: %s", s.rootTTL, s.intermediateTTL)
	case s.perSecond < 0 || math.IsNaN(s.perSecond) || s.concurrent < 0:
		return fmt.Errorf("CSRMaxPerSecond and CSRMaxConcurrent must not be negative: 0 is no bound")
	}
	return cert.CheckKeyType(s.keyType, s.keyBits)
}

// CheckConfig refuses the configuration of a provider that cannot be used.
func CheckConfig(provider string, config map[string]any) error {
	switch provider {
	case Provider, "":
	case "vault", "aws-pca":
		return rpc.Invalid(fmt.Sprintf("could not initialize provider: the CA provider %q is not supported: use %q", provider, Provider))
	default:
		return rpc.Invalid(fmt.Sprintf("could not initialize provider: unknown CA provider %q", provider))
	}
	_, _, err := parse(config)
	if err != nil {
		return rpc.Invalid("could not initialize provider: " + err.Error())
	}
	return nil
}

func duration(at func(*settings) *time.Duration) func(*settings, any) error {
	return func(s *settings, v any) error {
		if n, isNumber := toNumber(v); isNumber { // as a client sends a duration
			*at(s) = time.Duration(n)
			return nil
		}
		d, err := time.ParseDuration(fmt.Sprint(v))
		if err != nil {
			return fmt.Errorf("is %q: use a duration, such as \"72h\"", fmt.Sprint(v))
		}
		*at(s) = d
		return nil
	}
}

func text(at func(*settings) *string) func(*settings, any) error {
	return func(s *settings, v any) error {
		t, ok := v.(string)
		if !ok {
			return fmt.Errorf("is not a text in quotes")
		}
		if t != "" {
			*at(s) = t
		}
		return nil
	}
}

func uuidOf(at func(*settings) *string) func(*settings, any) error {
	return func(s *settings, v any) error {
		if _, err := uuid.ParseUUID(fmt.Sprint(v)); err != nil {
			return fmt.Errorf("is %q: use a UUID", fmt.Sprint(v))
		}
		*at(s) = strings.ToLower(fmt.Sprint(v))
		return nil
	}
}

func number(set func(*settings, float64)) func(*settings, any) error {
	return func(s *settings, v any) error {
		n, ok := toNumber(v)
		if t, isText := v.(string); isText {
			var err error
			n, err = strconv.ParseFloat(t, 64)
			ok = err == nil
		}
		if !ok || math.Abs(n) > math.MaxInt32 {
			return fmt.Errorf("is %q: use a number", fmt.Sprint(v))
		}
		set(s, n)
		return nil
	}
}

func toNumber(v any) (float64, bool) {
	switch n := v.(type) {
	case float64:
		return n, true
	case float32:
		return float64(n), true
	case int:
		return float64(n), true
	case int64:
		return float64(n), true
	case uint64:
		return float64(n), true
	case json.Number:
		f, err := n.Float64()
		return f, err == nil
	}
	return 0, false
}
