package kv

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/hanse-project/hanse/kv/digest"
	"github.com/hanse-project/hanse/store"
)

// maxTrees is how many trees a server keeps. One takes about 50 bytes for 256 keys, and a
// look at each key to be made again.
const maxTrees = 32

// trees keeps the trees that were asked for last.
type trees struct {
	// building is held by who makes a tree from all of its keys: one at a time, so that
	// questions about many prefixes do not take the whole server.
	building chan struct{}

	mu sync.Mutex
	// kept are the trees by the time of their last question, the latest first.
	kept []*keptTree
}

func newTrees() *trees { return &trees{building: make(chan struct{}, 1)} }

// keptTree is a tree and the state that it belongs to.
type keptTree struct {
	id string
	// turn is held by who brings the tree up to date.
	turn chan struct{}
	// tree is nil before it is made. Like the rest it belongs to who has the turn.
	tree *digest.Tree
	// index is that of the feed, and origins of the last change of an origin alone, which the
	// feed does not tell.
	index, origins uint64
}

// find makes the tree with an id the latest. It may have to be made.
func (t *trees) find(id string) *keptTree {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.IndexFunc(t.kept, func(k *keptTree) bool { return k.id == id })
	if i < 0 {
		t.kept = slices.Insert(t.kept, 0, &keptTree{id: id, turn: make(chan struct{}, 1)})
		t.kept = t.kept[:min(len(t.kept), maxTrees)]
		return t.kept[0]
	}
	found := t.kept[i]
	copy(t.kept[1:], t.kept[:i])
	t.kept[0] = found
	return found
}

// tree is the tree of a selection as of now, and the state that it was made of.
func (t *trees) tree(ctx context.Context, s *store.Store, of selection) (*digest.Tree, *store.View, error) {
	kept := t.find(of.id())
	if err := enter(ctx, kept.turn); err != nil {
		return nil, nil, err
	}
	defer leave(kept.turn)
	v, feed := s.ReadFeed(nil)
	if !kept.follows(v, feed, of) {
		if err := enter(ctx, t.building); err != nil {
			return nil, nil, err
		}
		defer leave(t.building)
		v, feed = s.ReadFeed(nil) // it may have been a while
		kept.tree = digest.Build(of.entries(v))
	} else if kept.index < feed.Index() {
		kept.tree = kept.tree.Update(of.changed(feed, kept.index), of.entries(v))
	}
	kept.index, kept.origins = feed.Index(), v.TouchedAt(originsName)
	return kept.tree, v, nil
}

// follows tells whether the feed says all that happened since the tree was as it is.
func (k *keptTree) follows(v *store.View, feed store.Feed, of selection) bool {
	if k.tree == nil || k.index > feed.Index() || k.index < v.TouchedAt(floorName) {
		return false
	}
	return of.origin == 0 || k.origins == v.TouchedAt(originsName)
}

func enter(ctx context.Context, turn chan struct{}) error {
	select {
	case turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the sums of other questions: %w", context.Cause(ctx))
	}
}

func leave(turn chan struct{}) { <-turn }
