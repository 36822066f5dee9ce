package fetch

import (
	"time"

	"malcolm/transfer/source"
)

// A Decision says what was decided about a server's work, for people who want to
// know why a run goes as it does. No more than a few are told of each server and
// second.
type Decision struct {
	What   DecisionKind
	Target source.Target
	Offset int64         // of what it is about, in bytes, with Moved, Second and Cancelled
	Length int64         // likewise
	Conns  int           // how many connections there are, with Grown and Shrunk
	Pause  time.Duration // until then, with Retried
	Err    error         // why, with Retried and WayKept
}

// A DecisionKind is what was decided.
type DecisionKind int

// What is decided.
const (
	Retried    DecisionKind = iota // a range ended early; the server is asked again later
	Moved                          // the end of its range is left to others
	Second                         // it fetches what another has begun, a second time
	Cancelled                      // its range is not wanted any more: others were faster
	Grown                          // it has one more connection
	Shrunk                         // it has one connection less
	WayTried                       // a connection brings nothing of what it owes: another one is tried
	WayKept                        // that connection stays; Err says why, nil: it sends again
	WayChanged                     // another connection has taken its place
)

func (Decision) event() {}

// explain tells of a decision about a part of a range of a fetch: the chunks from
// first on, count of them.
func (s *Session) explain(what DecisionKind, f *fetch, first, count int) {
	part := f.Range
	part.First, part.Count = first, count
	offset, length := s.download.layout.Span(part)
	s.emit(Decision{What: what, Target: f.server.target, Offset: offset, Length: length})
}

// explainConns tells of a change of a server's connections.
func (s *Session) explainConns(what DecisionKind, v *server) {
	s.emit(Decision{What: what, Target: v.target, Conns: v.conns.active()})
}
