// Package presence knows which servers of a run are there, which are tried
// again, and for how long bytes have been wanted that nobody sent. It is pure:
// no network, no goroutine, no clock. The owner of a [Presence] tells it what
// happens to each server, and calls [Presence.Tick] several times a second with
// what is wanted and what came. The result says what to do.
//
// # Patience
//
// Patience counts the time in which bytes are wanted and none come. It is the
// same count in every phase: while the values are asked for, while chunks are
// fetched, and whether servers are silent or lost. These times do not count:
//
//   - Nothing is wanted: the local file is read, a stream's reader pauses, the
//     file gets its name.
//   - Bytes are there and wait for this machine: its disk, its rate limit, its
//     memory.
//   - The process did not run: a tick counts for at most tickMost.
//
// A good chunk ends the count. Bytes pay back the time that they would take at
// [trickle]. So a slow link never uses up patience. A server that sends a byte
// now and then does.
//
// A run gives up when patience has run out. It gives up at once if bytes are
// wanted, no server is there, and no server may come.
//
// A server that says that it will serve later (it is indexing, or full) is
// waited for with a patience of its own.
package presence

import "time"

// QuietTime is how long a server must send nothing, while others send, to be
// called silent.
const QuietTime = 30 * time.Second

const (
	// tickMost bounds what one tick counts for. Time in which the process
	// did not run (it was suspended, or the machine slept) is nobody's
	// absence.
	tickMost = 200 * time.Millisecond
	// trickle is the rate, in bytes a second, below which a server does not
	// serve.
	trickle = 16
	// sayEvery is the time between two messages about waiting. sayFirst is
	// how long no server must be there before the first message.
	sayEvery = QuietTime
	sayFirst = time.Second
	// retryPause is how long a server is not asked after a range that ended
	// early. It doubles with each further one, up to retryMost. After
	// mostFailing such ranges without a good chunk in between, the server
	// is lost.
	retryPause  = 250 * time.Millisecond
	retryMost   = 15 * time.Second
	mostFailing = 8
)

// A State is what a server is to the run.
type State uint8

// The states. Those from Trying to Lost may lead to Serving, and with another
// file all lead to Trying.
const (
	Trying  State = iota // it was not reached yet
	Waiting              // it says that it will serve later
	Serving              // it takes part
	Lost                 // it took part, and is tried again
	Out                  // it is given up: not reached, of no use, or no longer tried
)

// A Cause is why nothing comes.
type Cause uint8

// The causes.
const (
	None   Cause = iota
	Absent       // no server is there, or only servers that come back, or refuse, again and again
	Silent       // servers are there, and send nothing
)

// A Presence is the state of one session. It belongs to one goroutine.
type Presence struct {
	patience time.Duration
	servers  []server
	ticked   time.Time     // the last tick
	wanted   bool          // at the last tick
	unserved time.Duration // time that has used up patience
	said     time.Duration // unserved when that was last told; 0: not yet
}

type server struct {
	state      State
	waited     time.Duration // in Waiting
	quiet      time.Duration // in which it owed bytes and sent none
	silent     bool          // its silence was told
	lostBefore bool          // its loss was told, and it has sent nothing good since
	missed     bool          // it was lost while nothing was wanted; not told
	failing    int           // ranges that ended early since the last good chunk
}

// New returns the presence of n servers, all in state Trying. patience must be
// positive.
func New(n int, patience time.Duration) *Presence {
	return &Presence{patience: patience, servers: make([]server, n)}
}

// Join adds a server, in state Trying. Its number is the next one.
func (p *Presence) Join() { p.servers = append(p.servers, server{}) }

// Waits says that a server that takes no part says that it will serve later.
// Its waiting times for one file add up, whatever happened between them.
func (p *Presence) Waits(s int) { p.servers[s].state = Waiting }

// Begin says that another file is wanted: the time in which nothing came before
// does not count for it.
func (p *Presence) Begin() { p.unserved, p.said = 0, 0 }

// Tries says that a server is being tried anew: it is asked for another file.
func (p *Presence) Tries(s int) {
	v := &p.servers[s]
	v.state, v.missed, v.waited = Trying, false, 0
}

// Out says that a server is given up.
func (p *Presence) Out(s int) { p.servers[s].state, p.servers[s].missed = Out, false }

// Serves says that a server takes part.
func (p *Presence) Serves(s int) {
	v := &p.servers[s]
	v.state, v.missed = Serving, false
	v.quiet, v.silent, v.failing = 0, false, 0
}

// Lost says that a server no longer takes part, and is tried again.
// tell reports whether to tell the user: once until something good has come
// from it. If the loss does not matter it is not told while nothing is wanted,
// as the server may be back by then.
func (p *Presence) Lost(s int, matters bool) (tell bool) {
	v := &p.servers[s]
	v.state = Lost
	switch {
	case v.lostBefore:
	case p.wanted, matters:
		v.lostBefore = true
		return true
	default:
		v.missed = true
	}
	return false
}

// Good says that a chunk of a server was good. back reports whether the server
// is back after its loss was told.
func (p *Presence) Good(s int) (back bool) {
	v := &p.servers[s]
	back = v.lostBefore && v.state == Serving
	if back {
		v.lostBefore = false
	}
	v.failing = 0
	p.unserved, p.said = 0, 0
	return back
}

// Failed says that a range ended early and its bytes were not wrong. Ask the
// server again after the pause, unless it is lost.
func (p *Presence) Failed(s int) (pause time.Duration, lost bool) {
	v := &p.servers[s]
	if v.failing++; v.failing >= mostFailing {
		return 0, true
	}
	return min(retryPause<<(v.failing-1), retryMost), false
}

// Serving returns how many servers take part.
func (p *Presence) Serving() (n int) {
	for i := range p.servers {
		if p.servers[i].state == Serving {
			n++
		}
	}
	return n
}

// A Look is the state of things at a tick.
type Look struct {
	Now     time.Time // with its monotonic part
	Wanted  bool      // bytes are wanted and have not come
	Servers []Sign    // of each server
}

// A Sign is what a tick sees of one server.
type Sign struct {
	Owes bool  // bytes are waited for
	Busy bool  // its bytes wait for this machine
	Came int64 // bytes since the last tick
}

// Actions are what a tick wants done.
type Actions struct {
	GiveUp Cause // why the run is over; None: it goes on
	Say    Cause // what it waits for, to be told; None: nothing to tell
	Lasted time.Duration
	Left   time.Duration // until it gives up

	Missed []int // to be told: servers lost while nothing was wanted, and lost still
	Quiet  []int // to be told: servers that have sent nothing for QuietTime while others did
	Tired  []int // servers whose waiting used up their patience; they are Out
}

// Tick says what to do now. Call it several times a second, whatever the run is
// doing.
func (p *Presence) Tick(l Look) (a Actions) {
	passed := p.passed(l.Now)
	p.wanted = l.Wanted
	p.wait(passed, &a)
	p.listen(l, passed, &a)
	if !l.Wanted {
		return a
	}
	p.miss(&a)
	p.count(l.Servers, passed)
	cause := p.cause()
	if p.unserved >= p.patience || p.Serving() == 0 && !p.hopes() {
		a.GiveUp = cause
		return a
	}
	p.say(cause, &a)
	return a
}

// passed returns the time that this tick counts for.
func (p *Presence) passed(now time.Time) time.Duration {
	passed := since(p.ticked, now)
	p.ticked = now
	return passed
}

func since(looked, now time.Time) time.Duration {
	if looked.IsZero() {
		return 0
	}
	return max(0, min(now.Sub(looked), tickMost))
}

// wait counts the patience of servers that will serve later.
func (p *Presence) wait(passed time.Duration, a *Actions) {
	for i := range p.servers {
		v := &p.servers[i]
		if v.state != Waiting {
			continue
		}
		if v.waited += passed; v.waited >= p.patience {
			v.state = Out
			a.Tired = append(a.Tired, i)
		}
	}
}

// listen finds servers that are silent while others send.
func (p *Presence) listen(l Look, passed time.Duration, a *Actions) {
	came := sum(l.Servers) > 0
	for i, s := range l.Servers {
		v := &p.servers[i]
		switch {
		case v.state != Serving, s.Came > 0, s.Busy, !s.Owes && v.quiet < suspect:
			v.quiet, v.silent = 0, false
		case s.Owes, l.Wanted: // else the silence neither goes on nor ends
			v.quiet += passed
		}
		if v.quiet >= QuietTime && came && !v.silent {
			v.silent = true
			a.Quiet = append(a.Quiet, i)
		}
	}
}

// miss finds the lost servers whose loss matters now.
func (p *Presence) miss(a *Actions) {
	for i := range p.servers {
		if v := &p.servers[i]; v.missed {
			v.missed, v.lostBefore = false, true
			a.Missed = append(a.Missed, i)
		}
	}
}

// count uses up patience, or pays it back.
func (p *Presence) count(signs []Sign, passed time.Duration) {
	came := sum(signs)
	switch {
	case came > 0:
		paid := time.Duration(min(came, trickle*int64(p.patience/time.Second+1))) * time.Second / trickle
		p.unserved = max(0, p.unserved-paid)
	case !busy(signs):
		p.unserved += passed
	}
}

// cause returns why nothing comes.
func (p *Presence) cause() Cause {
	for i := range p.servers {
		if v := &p.servers[i]; v.state == Serving && !v.lostBefore && v.failing == 0 {
			return Silent
		}
	}
	return Absent
}

// hopes reports whether a server that is not there may come.
func (p *Presence) hopes() bool {
	for i := range p.servers {
		if s := p.servers[i].state; s != Serving && s != Out {
			return true
		}
	}
	return false
}

// say decides whether to tell what the run waits for: soon if servers are
// absent, later if they are silent, and then every half minute.
func (p *Presence) say(cause Cause, a *Actions) {
	first := sayEvery
	if cause == Absent {
		first = sayFirst
	}
	if p.unserved < first {
		p.said = 0
		return
	}
	if p.said > 0 && p.unserved < p.said+sayEvery {
		return
	}
	p.said = p.unserved
	a.Say, a.Lasted, a.Left = cause, p.unserved, p.patience-p.unserved
}

func sum(signs []Sign) (bytes int64) {
	for _, s := range signs {
		bytes += s.Came
	}
	return bytes
}

func busy(signs []Sign) bool {
	for _, s := range signs {
		if s.Busy {
			return true
		}
	}
	return false
}
