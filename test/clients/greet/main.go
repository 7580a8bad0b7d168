// Command greet calls the hello service again and again, by a name that a resolver of
// gRPC looks up with the agent, and prints a line for each greeting.
package main

import (
	"context"
	"fmt"
	"log"
	"os/signal"
	"syscall"
	"time"

	"github.com/hashicorp/consul/api"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/hanse-project/hanse/test/clients/greeter"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	consul, err := api.NewClient(api.DefaultConfig())
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient("consul:///hello", grpc.WithResolvers(builder{consul.Health()}),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`))
	if err != nil {
		return err
	}
	defer conn.Close()
	for ctx.Err() == nil {
		greeting, err := greet(ctx, conn)
		if err != nil {
			greeting = "failed: " + err.Error()
		}
		fmt.Println(greeting)
		time.Sleep(20 * time.Millisecond) // it is no load test
	}
	return nil
}

func greet(ctx context.Context, conn *grpc.ClientConn) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return greeter.SayHello(ctx, conn, "world")
}
