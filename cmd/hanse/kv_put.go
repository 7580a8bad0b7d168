package main

import (
	"context"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/hashicorp/consul/api"
)

var kvPut = command{
	name:     "kv put",
	args:     "KEY [DATA]",
	short:    "Write a key",
	long:     "Writes a value, empty if there is no DATA. DATA may be @FILE to read a file,\nor - to read the standard input.",
	examples: []string{"kv put config/limit 20", "kv put config/tls @ca.pem", "kv put -cas -modify-index=123 config/limit 30"},
	prepare: func(fs *flag.FlagSet) work {
		client := clusterFlags(fs)
		var put putRequest
		fs.BoolVar(&put.acquire, "acquire", false, "Lock the key with the session given by -session.")
		fs.BoolVar(&put.release, "release", false, "Release the lock that the session given by -session holds.")
		fs.BoolVar(&put.cas, "cas", false, "Write only if the key is still as it was at -modify-index.")
		fs.StringVar(&put.pair.Session, "session", "", "The `ID` of the session.")
		fs.Uint64Var(&put.pair.Flags, "flags", 0, "A `number` to keep with the value; its meaning is yours.")
		fs.Uint64Var(&put.pair.ModifyIndex, "modify-index", 0, "The `index` of the key's last change, for -cas; 0 if it must not exist.")
		encoded := fs.Bool("base64", false, "DATA is base64.")
		return func(_ context.Context, std stdio, args []string) error {
			data, err := put.readArguments(args, std.in)
			if err != nil {
				return err
			}
			if *encoded {
				if data, err = base64.StdEncoding.DecodeString(string(data)); err != nil {
					return failf("Error! Cannot base 64 decode data: %s", err)
				}
			}
			put.pair.Value = data
			if (put.acquire || put.release) && put.pair.Session == "" {
				return failf("Error! Missing -session (required with -acquire and -release)")
			}
			c, err := client.connect()
			if err != nil {
				return err
			}
			return put.send(c.KV(), std.out)
		}
	},
}

// putRequest is one write of a key, in one of four ways.
type putRequest struct {
	cas, acquire, release bool
	pair                  api.KVPair
}

// readArguments takes the key and returns the data.
func (r *putRequest) readArguments(args []string, stdin io.Reader) ([]byte, error) {
	switch len(args) {
	case 0:
		return nil, failf("Error! Missing KEY argument")
	case 1:
		r.pair.Key = args[0]
		return nil, nil
	case 2:
		r.pair.Key = args[0]
		data, err := readData(args[1], stdin)
		if err != nil {
			return nil, failf("Error! %s", err)
		}
		return data, nil
	}
	return nil, failf("Error! Too many arguments (expected 1 or 2, got %d)", len(args))
}

// readData returns what an argument stands for: itself, @FILE, or - for the
// standard input.
func readData(arg string, stdin io.Reader) ([]byte, error) {
	switch {
	case arg == "-":
		data, err := io.ReadAll(stdin)
		if err != nil {
			return nil, failf("Failed to read stdin: %s", err)
		}
		return data, nil
	case arg != "" && arg[0] == '@':
		data, err := os.ReadFile(arg[1:])
		if err != nil {
			return nil, failf("Failed to read file: %s", err)
		}
		return data, nil
	}
	return []byte(arg), nil
}

func (r *putRequest) send(kv *api.KV, out io.Writer) error {
	var done bool
	var err error
	success, refused := "Success! Data written to: %s\n", ""
	switch {
	case r.cas:
		done, _, err = kv.CAS(&r.pair, nil)
		refused = fmt.Sprintf("Error! Did not write to %s: CAS failed", r.pair.Key)
		if r.pair.ModifyIndex == 0 {
			refused = fmt.Sprintf("Error! Did not write to %s: CAS performed with index=0 and key already exists.", r.pair.Key)
		}
	case r.acquire:
		done, _, err = kv.Acquire(&r.pair, nil)
		success, refused = "Success! Lock acquired on: %s\n", "Error! Did not acquire lock"
	case r.release:
		done, _, err = kv.Release(&r.pair, nil)
		success, refused = "Success! Lock released on: %s\n", "Error! Did not release lock"
	default:
		_, err = kv.Put(&r.pair, nil)
		done = true
	}
	if err != nil {
		return failf("Error! Failed writing data: %s", err)
	}
	if !done {
		return failure(refused)
	}
	fmt.Fprintf(out, success, r.pair.Key)
	return nil
}
