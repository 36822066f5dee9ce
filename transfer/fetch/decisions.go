package fetch

import (
	"time"

	"malcolm/transfer/source"
)

// A Decision says what was decided about a server's work, for people who ask
// why a run goes as it does. Each server has only a few a second.
type Decision struct {
	What   DecisionKind
	Target source.Target
	Offset int64         // of the chunks concerned, in bytes; with Moved, Second and Cancelled
	Length int64         // likewise
	Conns  int           // connections now, with Grown and Shrunk
	Pause  time.Duration // until the next try, with Retried and NotGrown
	Err    error         // why, with Retried, NotGrown, WayKept and AcrossKept
}

// A DecisionKind is a kind of decision.
type DecisionKind int

// The kinds of decisions.
const (
	Retried     DecisionKind = iota // a range ended early; the server is asked again later
	Moved                           // the end of its range is left to others
	Second                          // it fetches a second copy of what another has begun
	Cancelled                       // its range is no longer wanted: others were faster
	Grown                           // it has one more connection
	Shrunk                          // it has one connection less
	NotGrown                        // one more connection failed: none is tried for a while
	AcrossTried                     // the other transport is tried: it may be faster
	AcrossKept                      // the present transport stays; Err says why, nil: the other one was no faster
	WayTried                        // a connection that owes bytes brings none: another one is tried
	WayKept                         // that connection stays; Err says why, nil: it sends again
	WayChanged                      // another connection has taken its place
)

func (Decision) event() {}

// explain tells of a decision about count chunks, from first on, of a fetch's
// range.
func (s *Session) explain(what DecisionKind, f *fetch, first, count int) {
	c := s.download.content
	s.emit(Decision{What: what, Target: f.server.target, Offset: c.Start(first), Length: c.Length(first, count)})
}

// explainConns tells that a server's number of connections has changed.
func (s *Session) explainConns(what DecisionKind, v *server) {
	s.emit(Decision{What: what, Target: v.target, Conns: v.conns.active()})
}
