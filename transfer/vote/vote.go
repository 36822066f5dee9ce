// Package vote decides by vote which file several servers hold. It is pure: it knows no network, starts no goroutine and
// reads no clock; whoever owns a [Ballot] hands it each answer and failure with the time at which it came.
//
// # Votes
//
// A server has answered when it proved its ID and sent a valid offer; both are the caller's to check. Answers with equal
// size and checksum form a group. Each distinct ID among the servers that answered has one vote, shared evenly by the
// servers that answered with it, and their shares may go to different groups: ten ports of one process are one vote, and
// three processes of one user that serve different files are three thirds. Votes are exact fractions. The votes that are
// in are as many as the distinct IDs that answered; the group with more than half of them is the majority, and wins when
// it holds at least [Options].Quorum distinct IDs.
//
// With [Options].Checksum that checksum decides by itself: the group that has it wins, in a tie and against a majority,
// and neither the majority nor the quorum is asked.
//
// # Closing
//
// The vote closes at the first of these moments:
//
//   - every server has answered or failed;
//   - without a checksum asked for: one second after a group holds more than half of the votes that are in and its servers
//     are more than half of all servers asked that have not failed. An answer that makes this untrue stops the second; it
//     begins anew when it is true again;
//   - with a checksum asked for: one server offers it, of whatever size.
//
// A majority of other files does not close a vote that a checksum decides: a slower server may still offer it. The size is
// then one server's word, and a true checksum with a false size can win; the last chunk proves the size.
//
// The quorum has no part in closing. A majority with too few IDs closes the vote after its second although servers that
// are still silent could have met the quorum, and the result is then [TooFewIDs]: --quorum asks for IDs that answer in time,
// and never makes get wait for more of them.
//
// What comes after the close changes nothing: votes are never counted again.
package vote

import (
	"math/big"
	"time"
)

// closeDelay is how long a group must hold the majority before the vote closes without the servers that are silent.
const closeDelay = time.Second

// ID is a server ID: the SHA-256 of the public key that a server proved it holds.
type ID = [32]byte

// Offer is what one server said of its file, with the identity that it proved.
type Offer struct {
	ID       ID
	Size     int64    // bytes
	Checksum [32]byte // BLAKE3 of the whole file
	Name     string   // as offered; this package compares it and never judges it
}

// Options says what may win. The zero value lets the majority decide, of however few IDs.
type Options struct {
	Checksum *[32]byte // the checksum that decides by itself; nil: the majority decides
	Quorum   int       // distinct IDs that the majority must hold; 1 or less: one is enough. Not asked with Checksum
}

// Ballot is one vote. It has one owner: its methods must not be called at the same time from several goroutines, and the
// times given to them must not decrease.
type Ballot struct {
	checksum *[32]byte
	quorum   int

	servers []server // by number
	unheard int      // servers that have neither answered nor failed
	failed  int

	ports  map[ID]int64      // how many servers answered with each ID
	groups map[file]*ballots // every answer is in one

	holder *ballots  // the group that closes the vote one second after since; nil: none
	since  time.Time // when it began to hold

	closed   bool
	closedAt time.Time
}

type server struct {
	state state
	offer Offer // of a server that answered
}

type state int

const (
	silent state = iota
	answered
	failed
)

// file is what two answers must have in common to be of one group.
type file struct {
	size     int64
	checksum [32]byte
}

// ballots are the servers of one group, in the order in which they answered.
type ballots struct {
	servers []int
}

// New returns the ballot of so many servers, numbered from 0 in the order of the command line. Without any server it is
// closed from the start. A negative number panics.
func New(servers int, o Options) *Ballot {
	b := &Ballot{
		quorum:  o.Quorum,
		servers: make([]server, servers),
		unheard: servers,
		ports:   make(map[ID]int64),
		groups:  make(map[file]*ballots),
		closed:  servers == 0,
	}
	if o.Checksum != nil {
		want := *o.Checksum
		b.checksum = &want
	}
	return b
}

// Answer counts what a server offered. It is ignored when the ballot is closed at that time or the server has already
// answered or failed. A number that New did not give out panics.
func (b *Ballot) Answer(server int, o Offer, now time.Time) {
	if !b.hear(server, answered, now) {
		return
	}
	b.servers[server].offer = o
	b.ports[o.ID]++
	f := file{o.Size, o.Checksum}
	if b.groups[f] == nil {
		b.groups[f] = new(ballots)
	}
	b.groups[f].servers = append(b.groups[f].servers, server)
	if b.checksum != nil && o.Checksum == *b.checksum {
		b.close(now)
		return
	}
	b.settle(now)
}

// Fail counts a server as one that will not answer. It is ignored as by Answer: what a server answered before it was lost
// stands.
func (b *Ballot) Fail(server int, now time.Time) {
	if !b.hear(server, failed, now) {
		return
	}
	b.failed++
	b.settle(now)
}

// hear moves a silent server of an open ballot into its final state, and reports whether it was one.
func (b *Ballot) hear(server int, s state, now time.Time) bool {
	if b.servers[server].state != silent || b.Closed(now) {
		return false
	}
	b.servers[server].state = s
	b.unheard--
	return true
}

// settle applies the closing rules after an answer or a failure.
func (b *Ballot) settle(now time.Time) {
	if b.unheard == 0 {
		b.close(now)
		return
	}
	if h := b.findHolder(); h != b.holder {
		b.holder, b.since = h, now
	}
}

func (b *Ballot) close(at time.Time) {
	b.closed, b.closedAt = true, at
}

// findHolder returns the group that may close the vote by holding the majority for a while, or nil.
func (b *Ballot) findHolder() *ballots {
	if b.checksum != nil {
		return nil
	}
	live := len(b.servers) - b.failed
	for _, g := range b.groups {
		// At most one group has more than half of the servers, so votes are added up at most once.
		if 2*len(g.servers) > live && b.moreThanHalf(b.weigh(g.servers)) {
			return g
		}
	}
	return nil
}

// Closed reports whether the vote is over at that time. Once it has returned true it does so for good.
func (b *Ballot) Closed(now time.Time) bool {
	if b.closed {
		return true
	}
	at, ok := b.CloseAt()
	if !ok || now.Before(at) {
		return false
	}
	b.close(at)
	return true
}

// CloseAt returns when the vote closes by itself if nothing more comes; ok is false when only an answer or a failure can
// close it. Of a closed ballot it returns when it closed, which is the zero time when there was no server to ask.
func (b *Ballot) CloseAt() (at time.Time, ok bool) {
	switch {
	case b.closed:
		return b.closedAt, true
	case b.holder != nil:
		return b.since.Add(closeDelay), true
	}
	return time.Time{}, false
}

// weigh adds up the shares of servers that answered.
func (b *Ballot) weigh(servers []int) *big.Rat {
	shares := make(map[int64]int64) // from the servers that share a vote to how many such shares there are
	for _, s := range servers {
		shares[b.ports[b.servers[s].offer.ID]]++
	}
	sum := new(big.Rat)
	for parts, n := range shares {
		sum.Add(sum, big.NewRat(n, parts))
	}
	return sum
}

// total is the number of votes that are in.
func (b *Ballot) total() *big.Rat {
	return new(big.Rat).SetInt64(int64(len(b.ports)))
}

func (b *Ballot) moreThanHalf(votes *big.Rat) bool {
	return new(big.Rat).Add(votes, votes).Cmp(b.total()) > 0
}

// FormatVotes writes votes as people write fractions: "2", "1/3", "5/2".
func FormatVotes(r *big.Rat) string {
	return r.RatString()
}
