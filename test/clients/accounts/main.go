// Command accounts is the discovery client of the tutorials: it asks the agent for the
// healthy account servers, each once, and then has an account shown by one after another.
// It fails if there is none.
package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"

	"github.com/hashicorp/consul/api"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	consul, err := api.NewClient(api.DefaultConfig())
	if err != nil {
		return err
	}
	found, _, err := consul.Health().Service("AccountServer", "v1", true, &api.QueryOptions{Datacenter: os.Getenv("DC")})
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return errors.New("no account server is healthy")
	}
	for _, each := range found {
		resp, err := http.Get("http://" + net.JoinHostPort(each.Service.Address, strconv.Itoa(each.Service.Port)) + "/accounts/ann")
		if err != nil {
			return err
		}
		_, err = io.Copy(os.Stdout, resp.Body)
		resp.Body.Close()
		if err != nil {
			return err
		}
	}
	fmt.Println(len(found), "healthy")
	return nil
}
