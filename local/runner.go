package local

import (
	"time"

	"github.com/hanse-project/hanse/checks"
)

// newRunner makes what runs the checks of s.
func (s *State) newRunner() *checks.Runner {
	return checks.New(checks.Config{
		Log: s.cfg.Log, Update: s.update, Follow: s.aliases.follow,
		OutputMaxSize:  s.cfg.OutputMaxSize,
		EnableCommands: s.cfg.RemoteScripts || s.cfg.FileScripts,
		Reach:          checks.Reach{TLS: s.cfg.CheckTLS},
	})
}

// kind is the type of the check as the catalog shows it.
func (c *Check) kind() string {
	if c.maintains() {
		return "maintenance"
	}
	def := c.runnable()
	return def.Type()
}

// script tells whether the check runs commands, which has to be allowed.
func (c *Check) script() bool {
	def := c.runnable()
	return def.RunsCommands()
}

// runnable is the check as its runner takes it.
func (c *Check) runnable() checks.Definition {
	return checks.Definition{
		Args: c.Args, DockerContainerID: c.DockerContainerID, Shell: c.Shell,
		HTTP: c.HTTP, Method: c.Method, Header: c.Header, Body: c.Body, DisableRedirects: c.DisableRedirects,
		TCP: c.TCP, TCPUseTLS: c.TCPUseTLS, UDP: c.UDP, GRPC: c.GRPC, GRPCUseTLS: c.GRPCUseTLS,
		H2Ping: c.H2Ping, H2PingUseTLS: c.H2PingUseTLS == nil || *c.H2PingUseTLS,
		TLSServerName: c.TLSServerName, TLSSkipVerify: c.TLSSkipVerify, OSService: c.OSService,
		AliasNode: c.AliasNode, AliasService: c.AliasService, Token: c.Token,
		TTL: time.Duration(c.TTL), Interval: time.Duration(c.Interval), Timeout: time.Duration(c.Timeout),
		SuccessBeforePassing: c.SuccessBeforePassing, FailuresBeforeWarning: c.FailuresBeforeWarning,
		FailuresBeforeCritical: c.FailuresBeforeCritical, OutputMaxSize: c.OutputMaxSize,
	}
}
