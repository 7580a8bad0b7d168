package main

import (
	"cmp"
	"flag"
	"net/url"
	"os"

	"github.com/hashicorp/consul/api"
)

// clientFlags say which agent a command talks to, and how.
type clientFlags struct {
	addr, token, tokenFile                string
	caFile, caPath, clientCert, clientKey string
	tlsServerName                         string
	datacenter, namespace, partition      string
	stale                                 bool

	// missing are the datacenters that did not answer the last request for all, and
	// parameters are added to every request.
	missing    []missingDatacenter
	parameters url.Values
}

// agentFlags declares the flags of a command that asks an agent about itself.
func agentFlags(fs *flag.FlagSet) *clientFlags {
	c := new(clientFlags)
	fs.StringVar(&c.addr, "http-addr", "", "The `address` of the agent's HTTP API, also from HANSE_HTTP_ADDR or CONSUL_HTTP_ADDR; http://127.0.0.1:8500 by default, unix:///path for a socket.")
	fs.StringVar(&c.token, "token", "", "The ACL `token` to send, also from HANSE_HTTP_TOKEN or CONSUL_HTTP_TOKEN.")
	fs.StringVar(&c.tokenFile, "token-file", "", "The `path` of a file that holds the ACL token.")
	fs.StringVar(&c.caFile, "ca-file", "", "The `path` of the CA certificate that signed the agent's, also from HANSE_CACERT or CONSUL_CACERT.")
	fs.StringVar(&c.caPath, "ca-path", "", "A `directory` of CA certificates, also from HANSE_CAPATH or CONSUL_CAPATH.")
	fs.StringVar(&c.clientCert, "client-cert", "", "The `path` of our certificate, also from HANSE_CLIENT_CERT or CONSUL_CLIENT_CERT.")
	fs.StringVar(&c.clientKey, "client-key", "", "The `path` of our certificate's key, also from HANSE_CLIENT_KEY or CONSUL_CLIENT_KEY.")
	fs.StringVar(&c.tlsServerName, "tls-server-name", "", "The `name` to expect in the agent's certificate, also from HANSE_TLS_SERVER_NAME or CONSUL_TLS_SERVER_NAME.")
	fs.StringVar(&c.partition, "partition", "", "The `name` of an admin partition, sent along to agents that have partitions.")
	return c
}

// clusterFlags declares the flags of a command that asks about a datacenter:
// agentFlags, and which datacenter to ask and how fresh the answer must be.
func clusterFlags(fs *flag.FlagSet) *clientFlags {
	c := agentFlags(fs)
	fs.StringVar(&c.datacenter, "datacenter", "", "The `name` of the datacenter to ask; the agent's own by default. With * some commands that read ask all.")
	fs.BoolVar(&c.stale, "stale", false, "Let any server answer, even one that is behind or has no leader.")
	fs.StringVar(&c.namespace, "namespace", "", "The `name` of a namespace, sent along to agents that have namespaces.")
	return c
}

// connect returns a client; no connection is made before its first request.
func (c *clientFlags) connect() (*api.Client, error) {
	cfg := c.config()
	client, err := api.NewClient(cfg)
	if err != nil {
		return nil, failf("Error connecting to Consul agent: %s", err)
	}
	cfg.HttpClient.Transport = wideTransport{cfg.HttpClient.Transport, c}
	return client, nil
}

// config returns what a client is made from. A flag goes before HANSE_*, which goes
// before CONSUL_*.
func (c *clientFlags) config() *api.Config {
	adoptHanseEnvironment()
	cfg := api.DefaultConfig()
	cfg.Address = cmp.Or(c.addr, os.Getenv(api.HTTPAddrEnvName), "127.0.0.1:8500")
	cfg.Token = cmp.Or(c.token, cfg.Token)
	cfg.TokenFile = cmp.Or(c.tokenFile, cfg.TokenFile)
	cfg.TLSConfig.CAFile = cmp.Or(c.caFile, cfg.TLSConfig.CAFile)
	cfg.TLSConfig.CAPath = cmp.Or(c.caPath, cfg.TLSConfig.CAPath)
	cfg.TLSConfig.CertFile = cmp.Or(c.clientCert, cfg.TLSConfig.CertFile)
	cfg.TLSConfig.KeyFile = cmp.Or(c.clientKey, cfg.TLSConfig.KeyFile)
	cfg.TLSConfig.Address = cmp.Or(c.tlsServerName, cfg.TLSConfig.Address)
	cfg.Datacenter = c.datacenter
	cfg.Namespace = cmp.Or(c.namespace, cfg.Namespace)
	cfg.Partition = cmp.Or(c.partition, cfg.Partition)
	return cfg
}

// query returns the options of a read. The datacenter is the client's.
func (c *clientFlags) query() *api.QueryOptions {
	return &api.QueryOptions{AllowStale: c.stale}
}

// clientVariables are the environment variables that the client knows, without
// CONSUL_ in front.
var clientVariables = []string{
	"HTTP_ADDR", "HTTP_TOKEN", "HTTP_TOKEN_FILE", "HTTP_AUTH", "HTTP_SSL", "HTTP_SSL_VERIFY",
	"CACERT", "CAPATH", "CLIENT_CERT", "CLIENT_KEY", "TLS_SERVER_NAME", "NAMESPACE", "PARTITION",
}

// adoptHanseEnvironment gives every HANSE_ variable the place of its CONSUL_
// twin, where the client and the commands that we start look for it.
func adoptHanseEnvironment() {
	for _, name := range clientVariables {
		if value := os.Getenv("HANSE_" + name); value != "" {
			os.Setenv("CONSUL_"+name, value)
		}
	}
}
