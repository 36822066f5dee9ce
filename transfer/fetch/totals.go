package fetch

import (
	"time"

	"malcolm/transfer/pace"
	"malcolm/transfer/source"
	"malcolm/transfer/vote"
)

// Totals are what a session has done since it began. They never fall, also when
// one file follows another.
type Totals struct {
	Counts
	Votes       VoteTotals
	Writes      pace.Spread // of pieces of chunks, to the disk or into memory
	Checkpoints pace.Spread
}

// VoteTotals are the votes of a session. Undecided are those in which the
// servers did not agree.
type VoteTotals struct {
	Decided, Undecided int64
	Took               time.Duration // of all votes
	// The last one that was decided: how many groups of servers there were,
	// the votes of the largest group, and all votes.
	Groups, Most, All int
}

// ServerTotals are what a server has done since the session began.
type ServerTotals struct {
	Connected int64 // connections that were made to it
	Losses    int64 // times that it took part and was lost
	Asked     int64 // ranges that it was asked for
	Retried   int64 // of these, ranges that ended early and were asked for again
	// Over is the bytes of ranges by the transport that brought them, an
	// index; at 0 are those of which it is not known.
	Over [transports]int64
}

// transports is the number of transports, and one for those that are not known.
const transports = source.TCP + 1

// arrived counts bytes that came over a transport.
func (t *ServerTotals) arrived(over source.Transport, n int64) {
	if over >= transports {
		over = 0
	}
	t.Over[over] += n
}

// A history is what a session remembers beyond one file. It belongs to the
// loop.
type history struct {
	notices notices
	past    Counts // of the downloads before the current one
	votes   VoteTotals
}

// totals returns what the session has done so far.
func (s *Session) totals() Totals {
	return Totals{
		Counts: s.past.plus(s.download.tally.Counts), Votes: s.votes,
		Writes: s.means.writes.Spread(), Checkpoints: s.means.checkpoints.Spread(),
	}
}

func (c Counts) plus(o Counts) Counts {
	return Counts{
		Retried: c.Retried + o.Retried, Refused: c.Refused + o.Refused,
		Duplicate: c.Duplicate + o.Duplicate, Refetched: c.Refetched + o.Refetched,
	}
}

// took counts a vote that began at a time. One that was interrupted, or in
// which nobody answered, has no result.
func (t *VoteTotals) took(began time.Time, r vote.Result, err error) {
	t.Took += time.Since(began)
	switch {
	case err == nil:
		t.Decided++
		t.Groups, t.Most, t.All = len(r.Groups), r.Groups[r.Winner].Votes, r.Total
	case as[*UndecidedError](err):
		t.Undecided++
	}
}
