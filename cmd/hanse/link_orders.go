package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/hanse-project/hanse/replicate/link"
)

// linkOrder is the command of that last word, which asks one thing of a link. done says what
// happens now, with the link's name.
func linkOrder(word string, verb link.Verb, short, long, done string) command {
	return command{
		name: "replicate link " + word, args: "NAME", short: short, long: long,
		examples: []string{"replicate link " + word + " shanghai-config"},
		prepare: func(fs *flag.FlagSet) work {
			client := clusterFlags(fs)
			return func(ctx context.Context, std stdio, args []string) error {
				name, err := oneLink(fs, args)
				if err != nil {
					return err
				}
				c, err := client.connectLinks()
				if err != nil {
					return err
				}
				now, err := c.order(ctx, name, verb)
				if err != nil {
					return err
				}
				if now != nil && !now.Enabled && (verb == link.Resume || verb == link.Resync) {
					fmt.Fprintf(std.out, "Link %[1]s is disabled, and does so once it runs: %[2]s replicate link set %[1]s -enabled\n", name, programName)
					return nil
				}
				fmt.Fprintf(std.out, done+"\n", name)
				return nil
			}
		},
	}
}

// The commands that ask one thing of a link.
var (
	linkRemove = linkOrder("rm", link.Remove, "Remove a link; its keys stay",
		"Removes a link. The keys that it copied stay where they are.",
		"Link removed: %s. Its keys stay.")
	linkPause = linkOrder("pause", link.Pause, "Let a link stand still",
		"Pauses a link: it stands still until it is resumed, and goes on from there.",
		"Link %s is paused.")
	linkResume = linkOrder("resume", link.Resume, "Let a paused link go on",
		"Resumes a link that was paused. It goes on where it was.",
		"Link %s goes on.")
	linkResync = linkOrder("resync", link.Resync, "Have a link compare everything again",
		"Has a link compare all its keys at both ends again, as when it began, and\nwrite what differs. Deletes go through the guard.",
		"Link %s compares everything again.")
	linkApprove = linkOrder("approve", link.Approve, "Let a link carry out held deletes",
		"Lets a link carry out the deletes that it holds. \"replicate link status NAME\"\nshows which they are, and why they are held.",
		"Link %s carries out the deletes that were held.")
	linkReject = linkOrder("reject", link.Reject, "Have a link keep the keys of held deletes",
		"Has a link give up the deletes that it holds. Their keys stay, and are this\ndatacenter's own from then on.",
		"Link %s keeps the keys whose deletes were held.")
)
