// Package schedule decides which server fetches which chunks next. It is pure:
// plain state, the time as an argument, actions as results; no goroutine, no
// network, no clock.
//
// The rules for the queue, with the numbers in the constants below:
//
//   - One queue holds the missing chunks of all files, from the front. Every
//     server takes ranges of adjoining chunks from it, so a quick server takes
//     more; nobody is dropped for being slow.
//   - Chunks differ in length: a small file is one short chunk. The least that
//     is asked for is a unit: one chunk, or adjoining shorter ones of 256 KiB
//     together.
//   - A server gets its next range when the bytes it still owes fall below
//     enough = max(2 × rate × least round trip, one unit), or when it has fewer
//     than MinStreams ranges under way. With several connections it has one or
//     two ranges on each. It gets one when a connection has none, or when fewer
//     ranges than connections owe enough. What such a range would need more
//     than 4 s for goes back to the queue.
//   - A range has chunks of at most MaxFiles files, so it may be short. Over
//     small files a server has more of them: enough is a second of its rate.
//   - A range is about one second of the connection's rate, but at most half of
//     the server's share of what is still in the queue. So ranges get smaller
//     towards the end and all servers finish together (guided self-scheduling;
//     Polychronopoulos and Kuck, IEEE Trans. Comput. C-36, 1987).
//   - A server whose rate is not known yet gets ranges of one unit, and no
//     second one before bytes of the first have come.
//   - Servers with nothing to do come first, then all in turn.
//   - A server takes no unit if the others are expected to finish the queue,
//     and what silent servers owe, before it would finish that unit. So the
//     last units are not left to the slowest.
//   - With a limit on the total rate, at most one second of it is asked for
//     ahead, but at least one unit a server.
//
// The endgame, for a server that is idle and gets nothing from the queue:
//
//   - It takes whole chunks that have not begun from the end of the range that
//     is expected to finish last. It takes the number with which both finish
//     together, if that gains more than two round trips. It is a unit at least,
//     or what the idle server sends in 100 ms, if there is as much.
//   - If only the chunk that has begun is left, the idle server fetches it a
//     second time. At most two ranges have a chunk. Config.MaxCopyBytes bounds
//     the second copies at any time. What they waste in all is bounded by 2 %
//     of all bytes or four of the longest units, not counting copies of what a
//     silent server has.
//   - A range whose chunks are all good is cancelled.
//
// Stalls: a server is silent if it owes bytes and has sent none for max(1 s, 4
// round trips).
//
//   - It gets nothing new. Its ranges stay open, and the endgame takes work
//     from them as from a server that never finishes.
//   - When others have delivered everything it owed, it is probed with one
//     chunk after a back-off that doubles until it sends. No probe if the
//     others will finish first.
//   - Nothing that has begun is given up for a promise, so servers with regular
//     gaps cannot take long chunks from each other for ever. There is one
//     exception: a second copy from a silent server gives way to another. If
//     that wastes bytes, the silence that the server is allowed doubles, until
//     a range of it arrives whole.
//
// A server may lack files of a tree: see [Schedule.Lack].
//
// The last chunks of a server with several slow connections come in parts: see
// [Schedule.Parts].
//
// Where the chunks are wanted in order there is a window: see [Schedule.Window]
// and the head of its file.
package schedule

import (
	"slices"
	"time"

	"malcolm/transfer/content"
	"malcolm/transfer/pace"
)

const (
	// MinStreams and MaxStreams bound the ranges under way at a server with
	// one connection.
	MinStreams = 2
	MaxStreams = 16
	// MaxStreamsTotal bounds the ranges under way at all servers; each
	// server may have one in any case.
	MaxStreamsTotal = 128
	// MaxRangeLen bounds a range of more than one chunk, in bytes.
	MaxRangeLen = 64 << 20
	// MaxFiles bounds the files that a range has chunks of: each is a span
	// of the request.
	MaxFiles = 256

	// rangeTime is the time that a range is meant to take.
	rangeTime = time.Second
	// overlongTime is the time that a range may still need when its server
	// has several connections.
	overlongTime = 4 * time.Second
	// limitAhead bounds what is asked for ahead under a limited rate.
	limitAhead = time.Second
	// rateTime is the time constant of the moving average of a server's
	// rate.
	rateTime = 2 * time.Second
	// minSilence is the shortest silence that counts as a stall; minPause
	// and maxPause are the first and the longest pause after one.
	minSilence = time.Second
	minPause   = 2 * time.Second
	maxPause   = time.Minute
	// silenceRTTs is the silence that counts as a stall, in least round
	// trips.
	silenceRTTs = 4
	// forecastError is the relative error of a forecast.
	forecastError = 0.01
	// maxGrace bounds the longer silence allowed to a server that lost part
	// of a chunk.
	maxGrace = 30 * time.Second
	// defaultCopyBytes bounds the second copies in memory where Config does
	// not.
	defaultCopyBytes = 32 << 20
	// Second copies of what a sending server owes may waste one byte in
	// duplicateShare of all, or duplicateUnits of the longest units,
	// whichever is more.
	duplicateShare = 50
	duplicateUnits = 4
	// A second copy surely wins if it needs less than 1/sureFactor of the
	// first's time.
	sureFactor = 2
)

// Config says what one transfer fetches, and its limits.
type Config struct {
	Content *content.Content // of all files
	Limit   int64            // bytes a second over all servers; 0: no limit
	// MaxCopyBytes bounds the chunks being fetched a second time, in bytes;
	// 0: 32 MiB. One is always allowed.
	MaxCopyBytes int64
}

// A Range is a run of adjoining chunks that one server was asked for.
type Range struct {
	ID     int // unique within the transfer, from 1
	Server int
	First  int // number of the first chunk
	Count  int // number of chunks, at least 1
	// Second says that its one chunk is also in another range's hands. The
	// second copy goes into memory, and the first good copy counts.
	Second bool
}

type chunkState uint8

const (
	unknown  chunkState = iota // not in the queue: not yet added
	missing                    // in the queue
	underway                   // in the hands of one range
	twice                      // in the hands of two
	good                       // done with
)

// A Schedule is the state of one transfer. It belongs to one goroutine.
type Schedule struct {
	cfg       Config
	content   *content.Content
	chunks    []chunkState
	missing   chunkSet // the queue: chunks whose state is missing
	queued    int64    // bytes in the queue
	left      int      // chunks that are not good
	copyBytes int64    // bytes of the chunks of Second ranges under way
	ranges    map[int]*rangeState
	owed      int64 // of all servers
	lastID    int
	window    slidingWindow

	roster
	arrivals
}

// A roster is the servers that take part.
type roster struct {
	servers    map[int]*server
	order      []*server // in the order in which they joined
	roundStart int       // where the next round begins, in order
	lacking    int       // servers that lack chunks
}

// Arrivals are the bytes that arrived.
type arrivals struct {
	tally      tally
	settled    chunkSet // good chunks whose bytes were counted
	duplicates int64
	waste      int64 // bytes that second copies have wasted, or probably will
}

type rangeState struct {
	Range     // as it is after those that were shrunk
	by        *server
	asked     int         // chunks that the server was asked for
	came      int64       // bytes that have arrived
	at        place       // of the next byte
	owed      int64       // bytes expected that have not arrived; 0 once it is given up
	done      int         // chunks at its front that are good
	rival     *rangeState // the other range that has one of its chunks, or nil
	cancelled bool

	// Of a second copy:
	cost   int64 // as part of the schedule's waste
	before int64 // bytes that a silent server had sent of the first copy, lost anyway
}

// A place is where a byte lies among those that a range was asked for.
type place struct {
	chunk int   // the number within the range
	into  int64 // bytes from the chunk's start
}

type server struct {
	id          int
	rtt         time.Duration // least round trip
	connections int           // at least 1
	idle        int           // of these, without a range
	ranges      []*rangeState // under way, also cancelled ones, oldest first
	owed        int64         // of its ranges
	sent        bool          // bytes have come from it
	rate        pace.Meter
	resume      time.Time // not asked for anything before this time

	// Silence of the network.
	heard time.Time     // when bytes last arrived, or when it began to owe
	pause time.Duration // after the last stall; 0 once bytes have come since
	probe time.Time     // not tried again before this time
	grace time.Duration // least silence that it is allowed
	lost  bool          // this silence has cost part of a chunk

	absent absent // chunks that it does not have
}

// New returns a schedule with an empty queue.
func New(cfg Config) *Schedule {
	chunks := cfg.Content.Chunks()
	return &Schedule{
		cfg:      cfg,
		content:  cfg.Content,
		chunks:   make([]chunkState, chunks),
		missing:  newChunkSet(chunks),
		left:     chunks,
		ranges:   make(map[int]*rangeState),
		roster:   roster{servers: make(map[int]*server)},
		arrivals: arrivals{tally: make(tally), settled: newChunkSet(chunks)},
	}
}

// Add puts a chunk into the queue unless it is known already.
func (s *Schedule) Add(chunk int) {
	if s.chunks[chunk] == unknown {
		s.put(chunk)
	}
}

// Good says that a chunk is done with: fetched, or found on the disk.
func (s *Schedule) Good(chunk int) {
	switch s.chunks[chunk] {
	case good:
		return
	case missing:
		s.missing.remove(chunk)
		s.queued -= s.length(chunk)
	}
	s.chunks[chunk] = good
	s.left--
}

// Done reports whether every chunk is good.
func (s *Schedule) Done() bool { return s.left == 0 }

// Join adds a server, or one that has left and is back. rtt is its least round
// trip; 0: not known.
func (s *Schedule) Join(id int, rtt time.Duration, now time.Time) {
	if _, ok := s.servers[id]; ok {
		return
	}
	v := &server{id: id, rtt: rtt, connections: 1, heard: now}
	v.rate.Start(rateTime, now)
	s.servers[id] = v
	s.order = append(s.order, v)
}

// Give says that a server has a range already: it was asked for one before the
// schedule began. r.ID is higher than all before. It is false, and changes
// nothing, if the server does not take part or a chunk is not in the queue.
func (s *Schedule) Give(r Range, now time.Time) bool {
	v := s.servers[r.Server]
	if v == nil {
		return false
	}
	for c := r.First; c < r.First+r.Count; c++ {
		if s.chunks[c] != missing {
			return false
		}
	}
	for c := r.First; c < r.First+r.Count; c++ {
		s.chunks[c] = underway
		s.missing.remove(c)
		s.queued -= s.length(c)
	}
	s.lastID = r.ID - 1
	s.hand(v, r, now)
	return true
}

// Leave removes a server. Its ranges stay under way until [Schedule.End], but
// nothing more is expected from them.
func (s *Schedule) Leave(id int) {
	v := s.servers[id]
	if v == nil {
		return
	}
	for _, r := range v.ranges {
		s.expectNothing(r)
	}
	delete(s.servers, id)
	if len(v.absent) > 0 {
		s.lacking--
	}
	i := slices.Index(s.order, v)
	s.order = slices.Delete(s.order, i, i+1)
	if s.roundStart > i {
		s.roundStart--
	}
}

// Connections says that a server has n connections, at least 1, of which idle
// have no range under way. Call it before [Schedule.Plan] when that has
// changed. A server joins with one. Its next range is for an idle one.
func (s *Schedule) Connections(id, n, idle int) {
	if v := s.servers[id]; v != nil {
		v.connections, v.idle = max(n, 1), idle
	}
}

// Servers returns how many servers take part.
func (s *Schedule) Servers() int { return len(s.servers) }

// Arrived says how many bytes have come on a range since the last call for it.
// Call it with 0 too, at least every second, so that silence is noticed. heard
// is when bytes last came from the network. Time in which malcolm itself did
// not read is not silence: pass now for a range that waits for malcolm.
func (s *Schedule) Arrived(id int, bytes int64, heard time.Time) {
	r := s.ranges[id]
	if r == nil {
		return
	}
	s.countBytes(r, bytes)
	s.expectLess(r, min(bytes, r.owed))
	r.by.heard = later(r.by.heard, heard)
	if bytes > 0 {
		r.by.sent = true
		r.by.pause = 0
		r.by.probe = time.Time{}
		r.by.endSilence()
	}
}

// Sample updates the moving averages with the bytes that arrived from a server
// since the last call. Call it with 0 too, several times a second, so that the
// rate falls while a server that owes sends nothing.
func (s *Schedule) Sample(id int, bytes int64, rtt time.Duration, now time.Time) {
	v := s.servers[id]
	if v == nil {
		return
	}
	if rtt > 0 {
		v.rtt = rtt
	}
	if bytes == 0 && v.owed == 0 {
		v.rate.Skip(now)
		return
	}
	v.rate.Add(bytes, now)
}

// Rate returns a server's estimated rate in bytes a second; 0 before its first
// byte.
func (s *Schedule) Rate(id int) float64 {
	if v := s.servers[id]; v != nil {
		return v.rate.Rate()
	}
	return 0
}

// End says that the stream of a range has ended, for whatever reason. Its
// chunks go back to the queue unless they are good or in another range.
func (s *Schedule) End(id int) {
	r := s.ranges[id]
	if r == nil {
		return
	}
	s.expectNothing(r)
	delete(s.ranges, id)
	whole := true
	for c := r.First; c < r.First+r.Count; c++ {
		switch s.chunks[c] {
		case underway:
			s.put(c)
			whole = false
		case twice:
			s.chunks[c] = underway
			whole = false
		}
	}
	if whole && !r.cancelled {
		r.by.grace = 0
	}
	s.forget(r)
	s.endRace(r)
	i := slices.Index(r.by.ranges, r)
	r.by.ranges = slices.Delete(r.by.ranges, i, i+1)
}

// Pause keeps a server from being asked before the given time.
func (s *Schedule) Pause(id int, until time.Time) {
	if v := s.servers[id]; v != nil && until.After(v.resume) {
		v.resume = until
	}
}

// Revive forgets a server's silence, and its rate with that: it is now reached
// in another way, and may be asked at once. Its ranges under way are to be
// ended.
func (s *Schedule) Revive(id int, now time.Time) {
	if v := s.servers[id]; v != nil {
		v.sent = false
		v.rate.Start(rateTime, now)
		v.heard, v.pause, v.probe, v.lost = now, 0, time.Time{}, false
	}
}

// expectNothing gives up what a range still owes.
func (s *Schedule) expectNothing(r *rangeState) { s.expectLess(r, r.owed) }

func (s *Schedule) expectLess(r *rangeState, bytes int64) {
	r.owed -= bytes
	r.by.owed -= bytes
	s.owed -= bytes
}

func (s *Schedule) put(chunk int) {
	s.chunks[chunk] = missing
	s.missing.add(chunk)
	s.queued += s.length(chunk)
}

func (s *Schedule) length(chunk int) int64 { return s.content.Length(chunk, 1) }

// bytes returns the length of a range.
func (s *Schedule) bytes(r Range) int64 { return s.content.Length(r.First, r.Count) }
