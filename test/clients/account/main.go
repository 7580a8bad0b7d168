// Command account is the account server of the tutorials: an HTTP server that registers
// itself with the agent beside it, with a check of its own health, and goes from there
// when it is told to end.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/hashicorp/consul/api"
)

func main() {
	id := flag.String("id", "account-1", "ID of this instance")
	listen := flag.String("listen", "127.0.0.1:0", "where it serves")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *id, *listen); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, id, listen string) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "well") })
	mux.HandleFunc("GET /accounts/{name}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "account of %s at %s\n", r.PathValue("name"), id)
	})
	server := &http.Server{Handler: mux}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()

	consul, err := api.NewClient(api.DefaultConfig()) // CONSUL_HTTP_ADDR says where the agent is
	if err != nil {
		return err
	}
	host, text, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return err
	}
	err = consul.Agent().ServiceRegister(&api.AgentServiceRegistration{
		ID: id, Name: "AccountServer", Tags: []string{"v1"}, Address: host, Port: port,
		Check: &api.AgentServiceCheck{
			HTTP: "http://" + l.Addr().String() + "/health", Interval: "1s", Timeout: "1s", DeregisterCriticalServiceAfter: "1m",
		},
	})
	if err != nil {
		return fmt.Errorf("register: %w", err)
	}
	fmt.Println("registered", id)
	select {
	case <-ctx.Done():
	case err := <-served:
		return err
	}
	return errors.Join(consul.Agent().ServiceDeregister(id), server.Close())
}
