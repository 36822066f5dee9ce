package serve

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"malcolm/certs"
	"malcolm/transfer/localfile"
	"malcolm/transfer/scan"
)

// A Change is what a running server can be told anew: see [Server.Reload].
type Change struct {
	// Source or Tree is what is offered from now on, under Name. With both
	// nil the same is looked at again.
	Source localfile.Source
	Tree   *Tree
	Name   string
	// Tokens are those of [Config.Tokens].
	Tokens []certs.Token
	// Limit is that of [Config.Limit].
	Limit int64
	// Limits are those of [Config.Limits]. Only Places, Bytes,
	// HandshakeRate and IdleTime change: the others were told to clients,
	// or belong to sockets.
	Limits Limits
}

// ErrOtherKind says that a server of a file was told to offer a directory, or
// the other way round.
var ErrOtherKind = errors.New("a file cannot take a directory's place, nor a directory a file's, while clients are served")

// Reload changes what the server offers and allows, all of it or, with an
// error, nothing. Connections stay, and transfers go on. The new file is hashed
// first, and then offered to new clients; those who have the version before
// still read it. If hashing fails, [Unreadable] is told, and the old offer
// stays. Any goroutine may call it while the server runs.
func (s *Server) Reload(c Change) error {
	limits, err := c.Limits.orDefaults()
	if err == nil {
		err = checkTokens(c.Tokens)
	}
	if err == nil {
		err = s.index.offer(c)
	}
	if err != nil {
		return err
	}
	s.book.Change(limits.admission())
	s.limit.SetRate(c.Limit)
	s.live.tokens.Store(&c.Tokens)
	return nil
}

// live is what a running server can be told anew. It may be read at any time.
type live struct {
	name   atomic.Pointer[string] // as configured, of what is offered
	tokens atomic.Pointer[[]certs.Token]
}

func (l *live) set(name string, tokens []certs.Token) {
	l.name.Store(&name)
	l.tokens.Store(&tokens)
}

func (s *Server) title() string { return *s.live.name.Load() }

func (s *Server) tokens() []certs.Token { return *s.live.tokens.Load() }

// An origin is where the versions of a file come from.
type origin struct {
	source localfile.Source
	name   string // as configured
}

// origins are those of an index, under its mu.
type origins struct {
	current *origin
	next    *origin // of the versions from now on; nil: current
}

// adopt says that a version from an origin is offered. It reports whether the
// name has changed.
func (o *origins) adopt(from *origin) (renamed bool) {
	renamed = o.current.name != from.name
	o.current = from
	if o.next == from {
		o.next = nil
	}
	return renamed
}

// from returns the origin of the next version.
func (ix *index) from() *origin {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if ix.origins.next != nil {
		return ix.origins.next
	}
	return ix.origins.current
}

// refuse forgets an origin that gives no version; false: it is the current one.
func (ix *index) refuse(from *origin) bool {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if from == ix.origins.current {
		return false
	}
	if ix.origins.next == from {
		ix.origins.next = nil
	}
	return true
}

// offer has the file of a change hashed, and then offered.
func (ix *index) offer(c Change) error {
	switch {
	case c.Tree != nil:
		return ErrOtherKind
	case c.Source == nil:
		ix.checkName()
		return nil
	}
	ix.mu.Lock()
	ix.origins.next = &origin{c.Source, c.Name}
	ix.mu.Unlock()
	ix.rouse()
	return nil
}

// scanned is what a tree is made of.
type scanned struct {
	scanner *scan.Scanner
	name    string        // as configured
	rescan  time.Duration // the least time between two scans
}

func (t *Tree) scanned(name string) scanned {
	return scanned{scanner: scan.New(t.Scan), name: name, rescan: t.rescan()}
}

// offer has the tree of a change scanned, and then offered.
func (ix *treeIndex) offer(c Change) error {
	if c.Source != nil {
		return ErrOtherKind
	}
	ix.mu.Lock()
	if c.Tree != nil {
		next := c.Tree.scanned(c.Name)
		ix.next = &next
	} else {
		ix.scans.last, ix.scans.soon = time.Time{}, true
	}
	ix.mu.Unlock()
	ix.rouse()
	return nil
}

// A leftTree is what was scanned until another tree took its place: see adopt.
type leftTree struct {
	scanned
	soon   bool
	doubts []string
}

// adopt takes over what is to be scanned from now on, and returns what was
// before; nil: it is the same.
func (ix *treeIndex) adopt() *leftTree {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if ix.next == nil {
		return nil
	}
	left := &leftTree{ix.scanned, ix.scans.soon, slices.Clone(ix.scans.doubts)}
	ix.scanned, ix.next = *ix.next, nil
	return left
}

// restored has the tree of before scanned again, as soon as was wanted and with
// what is doubted of it: no version can be made of the one that took its place.
func (ix *treeIndex) restored(left *leftTree) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	ix.scanned = left.scanned
	ix.scans.doubts = append(left.doubts, ix.scans.doubts...)
	ix.scans.soon = ix.scans.soon || left.soon
}

// rescan returns the least time between two scans.
func (t *Tree) rescan() time.Duration {
	if t.Rescan == 0 {
		return DefaultRescan
	}
	return t.Rescan
}
