package httpapi

import (
	"net/http"
	"time"

	"github.com/hashicorp/go-hclog"
)

const (
	headerPatience = 10 * time.Second
	// idlePatience is above the 90 s after which Go's clients close an idle connection
	// by themselves: whoever closes first should be the one who knows about it.
	idlePatience   = 2 * time.Minute
	maxHeaderBytes = 128 << 10
)

// NewServer makes the server of an HTTP port. It bounds how long headers may take and
// how long a connection may idle. An answer may take as long as it needs, because a
// blocking query waits for minutes; [API] bounds the time between pieces of a body.
// TLS and the number of connections are the caller's.
func NewServer(handler http.Handler, log hclog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerPatience,
		IdleTimeout:       idlePatience,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          log.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
	}
}
