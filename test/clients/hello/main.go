// Command hello is the hello service of the tutorials: a gRPC server that registers
// itself, with a check by the health protocol of gRPC.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/hashicorp/consul/api"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/hanse-project/hanse/test/clients/greeter"
)

// instance greets in the name of the instance with this ID.
type instance string

func (i instance) SayHello(_ context.Context, name string) (string, error) {
	return fmt.Sprintf("hello %s, this is %s", name, i), nil
}

func main() {
	id := flag.String("id", "hello-1", "ID of this instance")
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
	server := grpc.NewServer()
	greeter.Register(server, instance(id))
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	defer server.Stop()

	consul, err := api.NewClient(api.DefaultConfig())
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
		ID: id, Name: "hello", Address: host, Port: port,
		Check: &api.AgentServiceCheck{GRPC: l.Addr().String(), Interval: "1s", Timeout: "1s", DeregisterCriticalServiceAfter: "1m"},
	})
	if err != nil {
		return fmt.Errorf("register: %w", err)
	}
	fmt.Println("registered", id)
	select {
	case <-ctx.Done():
		return consul.Agent().ServiceDeregister(id)
	case err := <-served:
		return err
	}
}
