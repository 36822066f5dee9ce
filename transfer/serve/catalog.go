package serve

import (
	"context"

	"malcolm/wire"
)

// A catalog holds what a server offers: an [index] one file, a [treeIndex] a
// tree. One goroutine runs it, any other may ask.
type catalog interface {
	// run makes what is offered, and makes it anew when it has changed. It
	// returns nil when ctx ends, or an error if it cannot be made the first
	// time. What was made stays until close.
	run(ctx context.Context) error
	// acquire looks whether the current version is still the newest, and
	// returns it, to be released. Before there is one there is a channel
	// instead, which is closed when there is one, or an error: it cannot be
	// made.
	acquire(ctx context.Context) (*version, <-chan struct{}, error)
	// hold returns the version with a checksum, to be released, or why it
	// is not held.
	hold(checksum [32]byte) (*version, *wire.Refusal)
	// release ends one use of a version; it may be nil.
	release(v *version)
	// changed says that a version's open file no longer holds what was
	// hashed. It is still to be released.
	changed(v *version)
	// examine reads a chunk of a version from the disk again and reports
	// whether it still has its value. The error is recheckBusy.
	examine(v *version, chunk int) (good bool, err error)
	// offer changes what is offered; the error is ErrOtherKind.
	offer(c Change) error
	isReady() bool
	progress() Hashing
	// close ends the catalog's own use of its versions. Nothing is offered
	// any more.
	close()
}

// notHeld says why a version is not held. offered: one was before it was looked
// for. Else it may be the first one, which is being hashed: a client of before
// a restart asks again.
func notHeld(offered bool) *wire.Refusal {
	if !offered {
		return &wire.Refusal{Status: wire.StatusBusy, Wait: statWait, Text: textHashing}
	}
	return &wire.Refusal{Status: wire.StatusChanged, Text: textNotHeld}
}
