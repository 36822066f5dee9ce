package fetch

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"malcolm/transfer/source"
	"malcolm/transfer/tree"
	"malcolm/transfer/vote"
	"malcolm/wire"
)

// A mirror sends bytes and cannot say what they are of. It is connected beside
// the servers and asked nothing while they vote. It takes part once chunks are
// wanted: then the schedule asks it for ranges, as it asks any server, and each
// chunk is checked. So it has no say in what is copied.

// asks are what sources are asked for. They belong to the loop, except where a
// type says more.
type asks struct {
	values  atomic.Bool // whether contacts are to ask for values
	wanting *wanting    // what mirrors are to have
	whole   *Whole      // what proves the file at the end; nil: its values do
}

// A wanting is what mirrors are to have. The loop says it; contacts wait for
// it.
type wanting struct {
	mu    sync.Mutex
	ask   *source.Ask   // nil: not known yet
	known chan struct{} // closed when ask is set
}

func newWanting() *wanting { return &wanting{known: make(chan struct{})} }

// set says what mirrors are to have; nil: that is not known yet.
func (w *wanting) set(ask *source.Ask) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case ask != nil && w.ask == nil:
		close(w.known)
	case ask == nil && w.ask != nil:
		w.known = make(chan struct{})
	}
	w.ask = ask
}

// now returns what mirrors are to have, and what is closed once that is known.
func (w *wanting) now() (ask *source.Ask, known <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ask, w.known
}

// wait returns what mirrors are to have once that is known; false: ctx has
// ended first, or over was closed.
func (w *wanting) wait(ctx context.Context, over <-chan struct{}) (source.Ask, bool) {
	for {
		ask, known := w.now()
		if ask != nil {
			return *ask, true
		}
		select {
		case <-known:
		case <-over:
			return source.Ask{}, false
		case <-ctx.Done():
			return source.Ask{}, false
		}
	}
}

// is reports whether an offer is what mirrors are asked for at this moment. If
// only their sizes are, any offer is.
func (w *wanting) is(o source.Offer) bool {
	ask, _ := w.now()
	return ask != nil && (ask.Want == nil || o.SameFile(source.Offer{Offer: ask.Want.Offer}))
}

// muted runs in the loop: a source that was to vote sends bytes and says
// nothing of them. It is a mirror from now on.
func (s *Session) muted(v *server) {
	v.mute = true
	s.presence.Out(v.index)
	if s.poll != nil && !s.poll.sizes {
		s.poll.ballot.Fail(v.index, time.Now())
	}
}

// counts reports whether what a server says counts in a vote that is open.
func (s *Session) counts(v *server) bool { return s.poll != nil && v.votes() != s.poll.sizes }

// hold keeps a mirror connected, or connects it, while nobody knows what it is
// to have.
func (s *Session) hold(v *server) {
	if v.state == StateWrong {
		return
	}
	s.tryAnew(v)
	s.presence.Out(v.index) // nobody waits for it
	if v.conns.pick() == nil {
		s.reach(v)
	}
}

// askMirrors says what mirrors are to have, and lets them take part. Those that
// serve already are to have more than that, and go on.
func (s *Session) askMirrors() {
	if !s.roster.any(func(v *server) bool { return !v.votes() }) {
		return
	}
	if s.whole != nil { // they know its size, and nobody knows more
		s.askOfMirrors(source.Ask{Bare: true})
		return
	}
	d := s.download
	want := &source.Wanted{Offer: wire.Offer{Kind: d.offer.Kind, Size: d.offer.Size, Checksum: d.offer.Checksum}}
	if d.tree != nil {
		want.Path = pathsIn(d.tree)
	}
	s.askOfMirrors(source.Ask{Want: want})
}

// askOfMirrors asks all mirrors that wait for it.
func (s *Session) askOfMirrors(ask source.Ask) {
	s.wanting.set(&ask)
	for _, v := range s.roster.servers {
		if v.votes() || !v.state.isAwaited() || v.contact == nil || v.contact.ctx.Err() != nil {
			continue
		}
		s.presence.Tries(v.index)
		if c := v.conns.pick(); c != nil { // its contact has asked before
			s.askAgain(v, c.way)
		}
	}
}

// askNow returns how a server is asked what it has.
func (s *Session) askNow(v *server) (ask source.Ask) {
	if want, _ := s.wanting.now(); want != nil && !v.votes() {
		return *want
	}
	return ask
}

// pathsIn says where the files of a tree lie, by their checksums. The files are
// looked through when the first one is asked for.
func pathsIn(t *tree.Tree) func(checksum [32]byte) (path string, size int64, ok bool) {
	places := sync.OnceValue(t.Places)
	return func(checksum [32]byte) (path string, size int64, ok bool) { return places().Of(checksum) }
}

// ofVoters takes those that never vote out of a result: they have not failed.
func (s *Session) ofVoters(r vote.Result) vote.Result {
	r.Failed = slices.DeleteFunc(r.Failed, func(i int) bool { return !s.roster.servers[i].votes() })
	for i := range r.Groups {
		g := &r.Groups[i]
		g.IDs = slices.DeleteFunc(g.IDs, func(id vote.ID) bool {
			return !slices.ContainsFunc(g.Servers, func(n int) bool { return vote.ID(s.roster.servers[n].id) == id })
		})
	}
	return r
}

// voterReports returns the reports of those that vote, and how many do not.
func (s *Session) voterReports() (voters []ServerReport, mirrors int) {
	for i, r := range s.reports() {
		if s.roster.servers[i].votes() {
			voters = append(voters, r)
		} else {
			mirrors++
		}
	}
	return voters, mirrors
}

// tellers are ways to those that can say values. The loop says which; any
// goroutine may ask them.
type tellers struct{ ways atomic.Pointer[[]source.Conn] }

func (t *tellers) now() []source.Conn {
	if ways := t.ways.Load(); ways != nil {
		return *ways
	}
	return nil
}

// noteTellers says, from time to time, whom mirrors' ranges may ask for values.
// A way that is gone meanwhile only fails.
func (s *Session) noteTellers() {
	if s.download.tree == nil || !s.roster.any(func(v *server) bool { return !v.votes() }) {
		return
	}
	var ways []source.Conn
	for _, v := range s.roster.byRank() {
		if c := v.conns.pick(); c != nil && v.votes() {
			ways = append(ways, c.way)
		}
	}
	s.means.tellers.ways.Store(&ways)
}
