package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"flag"
	"fmt"
)

// gossipKeySize in bytes selects AES-256.
const gossipKeySize = 32

var keygen = command{
	name:     "keygen",
	short:    "Make a key to encrypt gossip with",
	long:     "Prints a new random key for the option \"encrypt\" of the agents.",
	examples: []string{"keygen"},
	prepare: func(*flag.FlagSet) work {
		return func(_ context.Context, std stdio, args []string) error {
			if err := wantArgs(args, 0); err != nil {
				return err
			}
			key := make([]byte, gossipKeySize)
			rand.Read(key) // ends the program instead of failing
			_, err := fmt.Fprintln(std.out, base64.StdEncoding.EncodeToString(key))
			return err
		}
	},
}
