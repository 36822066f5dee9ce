// Package fetch copies files from sources: into a directory, to a stream, or
// over the damage of a local file. It proves that what arrived is what most of
// the sources hold.
//
// A [Session] is the sources of one command, connected and proved once, for
// every file that the command copies. [Session.Get], [Session.Stream],
// [Session.Repair], [Session.Verify], [Session.Info] and [Session.Plan] belong
// to one goroutine. While one of them runs, that goroutine is the loop: it owns
// all changing state, and tells of each [Event]. [Session.Snapshot] says how
// things stand, to anybody at any time.
//
// The state has owners, each a type with a file of its own: roster (the servers
// and their connections), poll (the vote), download (one file), ahead (what is
// fetched of it before the vote has closed), and the rooms presence, schedule
// and growth. What runs beside the loop (contact, rangeRun, checker, streaming)
// gets an immutable job and holds no such state, which tests prove. It posts
// what it found into its scope; after the scope's end, posts are dropped.
//
// A range walks: schedule -> rangeRun -> Body -> claim in the part file and
// hasher -> marked -> schedule. An offer walks: contact -> Stat -> loop ->
// vote.
package fetch

import (
	"context"
	"sync/atomic"
	"time"

	"malcolm/transfer/growth"
	"malcolm/transfer/pace"
	"malcolm/transfer/presence"
	"malcolm/transfer/source"
	"malcolm/transfer/vote"
)

const (
	// pieceSize times pieces bounds the memory, in bytes, for what a
	// session is reading.
	pieceSize = 128 << 10
	pieces    = 128
	// maxCopyBytes bounds the memory for second copies, in bytes.
	maxCopyBytes = 32 << 20
)

// A Session is the sources of one command, connected and proved once, for any
// number of files. Connections, identities, rates, growth and patience belong
// to it and outlive a file. One goroutine may call its methods; any may call
// Snapshot, at any time.
type Session struct {
	servers  Servers
	watch    Watch
	loop     *loop
	means    *means
	roster   *roster
	standby  standby
	presence *presence.Presence
	growth   *growth.Growth // nil before the first chunk is wanted
	cpu      cpuMeter
	poll     *poll
	download *download // the file that is copied now, or was last
	sizes    sizes
	history
	asks
	status atomic.Pointer[Snapshot]
}

// notices say what was told once.
type notices struct {
	buffers     bool // that buffers are small
	notRecorded bool // that IDs are not remembered
	udp         bool // that UDP is blocked
}

// means are shared by everything beside the loop. Any goroutine may use them.
type means struct {
	begun time.Time
	*Shared
	tellers

	writes, checkpoints pace.Times
}

// Open returns a session over sources. It connects when its first method asks
// for a file. When ctx ends, methods end within two seconds with ctx's cause as
// their error.
func Open(ctx context.Context, servers Servers, watch Watch) *Session {
	if servers.Patience <= 0 {
		servers.Patience = DefaultPatience
	}
	if servers.Shared == nil {
		servers.Shared = NewShared(1, servers.Limit)
	}
	begun := time.Now()
	use, spare := atFirst(servers.Sources)
	s := &Session{
		servers:  servers,
		watch:    watch,
		loop:     newLoop(ctx),
		means:    &means{begun: begun, Shared: servers.Shared},
		roster:   newRoster(use),
		asks:     asks{wanting: newWanting()},
		presence: presence.New(len(use), servers.Patience),
		standby:  standby{spare: spare, ranked: isRanked(servers.Sources)},
	}
	s.loop.sample = s.sample
	s.loop.due = s.due
	s.download = newDownload(s, nil)
	s.publish()
	return s
}

// Close ends the session's connections and all that runs for it. No event comes
// after it.
func (s *Session) Close() {
	s.download.halt()
	s.lastWords()
	s.notePaths()
	s.loop.close()
	s.publish()
}

func (s *Session) emit(e Event) {
	if s.watch.Events != nil {
		s.watch.Events(e)
	}
}

// anew begins a method of the session: nothing of the last file is left.
func (s *Session) anew() {
	s.sizes, s.loop.fatal = sizes{}, nil
	s.loop.tick.Reset(tickTime) // a tick from before would be late
	for _, v := range s.roster.servers {
		v.trouble.tried = false
	}
	s.renew(nil)
}

// renew ends what runs for the last download. The next one is of the file of a
// group; nil: no file is agreed on yet.
func (s *Session) renew(g *vote.Group) { s.change(newDownload(s, g)) }

// choose is renew, unless the next download is of the group's file already.
func (s *Session) choose(g *vote.Group, next *download) {
	if next != nil && next.offer.Size == g.Size && next.offer.Checksum == g.Checksum {
		s.change(next)
		return
	}
	s.drop(next)
	s.renew(g)
}

func (s *Session) change(d *download) {
	s.download.halt()
	s.past = s.past.plus(s.download.tally.Counts)
	for _, v := range s.roster.servers {
		v.trouble.judging = false // nobody hears of it any more
	}
	s.download = d
}

// reach begins to reach a server anew, and goes on while it may be of use.
func (s *Session) reach(v *server) {
	if v.contact != nil {
		v.hangUp()
		v.contact.stop()
	}
	l := s.loop
	c := &contact{source: v.source, down: make(chan struct{}, 1), patience: s.servers.Patience, values: &s.values, wanting: s.wanting, mute: v.mute}
	c.ctx, c.stop = context.WithCancel(l.ctx)
	post := func(f func()) {
		l.post(func() {
			if c.ctx.Err() == nil { // else the contact is over
				f()
			}
		})
	}
	c.tell = contactTold{
		connected: func(p source.Peer, t source.Traits) { post(func() { s.connected(v, p, t) }) },
		indexing:  func(done, total int64) { post(func() { s.indexing(v, done, total) }) },
		muted:     func() { post(func() { s.muted(v) }) },
		answered:  func(way source.Conn, o source.Offer) { post(func() { s.answered(v, way, o) }) },
		ended:     func(way source.Conn, err error) { post(func() { s.connDown(v, way, err) }) },
		failed:    func(err error, final bool) { post(func() { s.notReached(v, err, final) }) },
	}
	v.contact = c
	l.beside(c.run)
}

// sample counts, at each tick, what has arrived, and lets the presence and the
// schedule act on it.
func (s *Session) sample(now time.Time) {
	s.notice(now)
	s.attend(now)
	s.feed(now)
	if s.download.schedule != nil {
		s.grow(now)
		s.measure(now)
		s.carry(now)
		s.noteTellers()
		s.dispatch(now)
	}
	s.publish()
}

// due returns when the vote closes by itself.
func (s *Session) due() (at time.Time, ok bool) {
	if s.poll == nil {
		return at, false
	}
	return s.poll.ballot.CloseAt()
}
