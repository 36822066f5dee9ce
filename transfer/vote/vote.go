// Package vote decides by vote which file several servers hold. It is pure: no
// network, no goroutine, no clock. The owner of a [Ballot] hands it each answer
// and failure with the time at which it came.
//
// # Votes
//
// What a server shows of itself is free: keys, ports, DNS answers, even another
// server's identity, which a server shows by forwarding packets. What the user
// typed is not. So there is one vote a host, and one vote an identity:
//
//   - A server has answered when it proved its ID and sent a valid offer. The
//     caller checks both. Answers of equal kind, size and checksum form a group.
//   - A server's host is what the user typed before the port. An ID that the
//     user named (a pin, a ticket) is a host of its own.
//   - A host counts for the group of more than half of its servers that
//     answered, else for no group.
//   - The votes of a group are the largest number of its servers that can be
//     picked so that no two have the same host and no two the same ID. The
//     total is the same number over all servers that answered.
//   - The majority is the one group with more than half of the total. Two
//     groups can have that only if one ID answers for both; then there is no
//     majority. It wins if it has at least [Options].Quorum votes.
//
// Take h honest hosts that have IDs of their own, and e lying ones with any
// keys, ports, DNS answers and relays to honest servers. The truth wins if h >
// e, and a lie never wins unless e > h.
//
// With [Options].Checksum that checksum decides by itself: the group that has
// it wins, in a tie and against a majority. Neither the majority nor the quorum
// is asked.
//
// # Closing
//
// The vote closes at the first of these moments:
//
//   - Every server has answered or failed.
//   - Without a checksum asked for: one second after the majority holds more
//     than half of what the total could become. That is the total, plus one for
//     each host without an answer that has a server which is indexing or has
//     not failed. An event that makes this untrue stops the second; it begins
//     anew when it is true again.
//   - With a checksum asked for: one server offers it, of whatever size.
//
// Until the close an answer replaces a failure, and a server that says that it
// is indexing is waited for again. What a server answered stands: a later
// answer or failure changes nothing.
//
// A majority of other files does not close a vote that a checksum decides: a
// slower server may still offer it. The size is then one server's word, and a
// true checksum with a false size can win. The last chunk proves the size.
//
// The quorum has no part in closing: a majority with too few votes closes the
// vote after its second, and the result is then [TooFewVotes].
//
// Nothing after the close changes the result: votes are never counted again.
package vote

import (
	"slices"
	"time"
)

// closeDelay is how long a group must hold the majority before the vote closes
// without the silent servers.
const closeDelay = time.Second

// ID is a server ID: the SHA-256 of the public key that a server proved it
// holds.
type ID = [32]byte

// A Server is one server as the user named it.
type Server struct {
	Host string // typed before the port; this package only compares it
	IDs  []ID   // named by the user (pins, tickets): the server must prove one of them; empty: any ID will do
}

// Offer is what one server said of its file, and the identity that it proved.
type Offer struct {
	ID       ID
	Tree     bool     // a directory: size and checksum are those of its listing
	Size     int64    // bytes
	Checksum [32]byte // BLAKE3 of the whole file
	Name     string   // as offered; this package only compares it
}

// Options says what may win. The zero value lets the majority decide, with any
// number of votes.
type Options struct {
	Checksum *[32]byte // the checksum that decides by itself; nil: the majority decides
	Tree     bool      // Checksum is that of a directory's listing
	Quorum   int       // votes that the majority needs; 1 or less: one is enough. Not used with Checksum
}

// Ballot is one vote. It has one owner: no two goroutines may call its methods
// at the same time. The times given to them must not decrease.
type Ballot struct {
	checksum *[32]byte
	tree     bool // checksum is that of a directory's listing
	quorum   int
	servers  []server // by number

	holder *file     // the group that closes the vote one second after since, or nil
	since  time.Time // when it began to hold

	closed   bool
	closedAt time.Time
}

type server struct {
	Server
	state state
	offer Offer // of a server that answered
}

type state int

const (
	silent   state = iota // nothing is known, or it is indexing
	answered              // final
	failed                // unless it answers or indexes later
)

// host returns the host for which a server that answered may vote.
func (s *server) host() host {
	if slices.Contains(s.IDs, s.offer.ID) {
		return host{id: s.offer.ID}
	}
	return host{name: s.Host}
}

// A file is what the answers of one group have in common.
type file struct {
	tree     bool
	size     int64
	checksum [32]byte
}

func (s *server) file() file { return file{s.offer.Tree, s.offer.Size, s.offer.Checksum} }

func (s *server) name() string { return s.offer.Name }

// New returns the ballot of servers, numbered from 0 in the order of the
// command line. Without servers it is closed from the start.
func New(servers []Server, o Options) *Ballot {
	b := &Ballot{quorum: o.Quorum, tree: o.Tree, closed: len(servers) == 0}
	for _, s := range servers {
		b.servers = append(b.servers, server{Server: Server{Host: s.Host, IDs: slices.Clone(s.IDs)}})
	}
	if o.Checksum != nil {
		want := *o.Checksum
		b.checksum = &want
	}
	return b
}

// Join adds a server, with the next number. In an open ballot it is waited for.
func (b *Ballot) Join(s Server, now time.Time) {
	open := !b.Closed(now)
	b.servers = append(b.servers, server{Server: Server{Host: s.Host, IDs: slices.Clone(s.IDs)}})
	if open {
		b.settle(now)
	}
}

// Withdraw takes back what a server has said, if the ballot is open: it counts
// as failed.
func (b *Ballot) Withdraw(server int, now time.Time) {
	if !b.Closed(now) {
		b.servers[server].state, b.servers[server].offer = failed, Offer{}
		b.settle(now)
	}
}

// Answer counts what a server offered, even after a failure. It is ignored if
// the ballot is closed at that time or the server has answered already. A
// number that New did not give out panics.
func (b *Ballot) Answer(server int, o Offer, now time.Time) {
	if !b.hear(server, answered, now) {
		return
	}
	b.servers[server].offer = o
	if b.isWanted(o.Tree, o.Checksum) {
		b.close(now)
		return
	}
	b.settle(now)
}

// isWanted reports whether the checksum that decides is this one.
func (b *Ballot) isWanted(tree bool, checksum [32]byte) bool {
	return b.checksum != nil && tree == b.tree && checksum == *b.checksum
}

// Fail counts a server as one that will not answer, until it does. It is
// ignored as by Answer: what a server answered before it was lost stands.
func (b *Ballot) Fail(server int, now time.Time) {
	if b.hear(server, failed, now) {
		b.settle(now)
	}
}

// Indexing counts a server as one that will answer, even after a failure. It is
// ignored as by Answer.
func (b *Ballot) Indexing(server int, now time.Time) {
	if b.hear(server, silent, now) {
		b.settle(now)
	}
}

// hear changes the state of a server of an open ballot, and reports whether it
// did.
func (b *Ballot) hear(server int, s state, now time.Time) bool {
	if was := b.servers[server].state; was == answered || was == s || b.Closed(now) {
		return false
	}
	b.servers[server].state = s
	return true
}

// settle applies the closing rules after an event.
func (b *Ballot) settle(now time.Time) {
	if !slices.ContainsFunc(b.servers, func(s server) bool { return s.state == silent }) {
		b.close(now)
		return
	}
	switch h, ok := b.findHolder(); {
	case !ok:
		b.holder = nil
	case b.holder == nil || *b.holder != h:
		b.holder, b.since = &h, now
	}
}

func (b *Ballot) close(at time.Time) {
	b.closed, b.closedAt = true, at
}

// findHolder returns the group that may close the vote if it keeps the
// majority.
func (b *Ballot) findHolder() (f file, ok bool) {
	if b.checksum != nil {
		return file{}, false
	}
	heard := b.answered()
	votes, total := tally(heard, (*server).file), apart(pairs(heard))
	f, ok = majority(votes, total)
	return f, ok && 2*votes[f] > total+b.coming(heard)
}

// answered returns the servers that answered, ascending.
func (b *Ballot) answered() (heard []*server) {
	for i := range b.servers {
		if s := &b.servers[i]; s.state == answered {
			heard = append(heard, s)
		}
	}
	return heard
}

// coming returns how much the total may still grow.
func (b *Ballot) coming(heard []*server) int {
	told := make(map[host]bool)
	for _, s := range heard {
		told[s.host()] = true
	}
	var waited []Server
	for _, s := range b.servers {
		if s.state == silent {
			waited = append(waited, s.Server)
		}
	}
	return most(waited, told)
}

// Most returns the most votes that servers can have: one for each host, and one
// for each ID that the user named.
func Most(servers []Server) int { return most(servers, nil) }

// most is Most without the hosts in counted.
func most(servers []Server, counted map[host]bool) int {
	typed, named := make(map[host]bool), make(map[host]bool)
	bring := 0 // servers with an ID that is not in counted
	for _, s := range servers {
		if h := (host{name: s.Host}); len(s.IDs) == 0 && !counted[h] {
			typed[h] = true
		}
		ids := slices.DeleteFunc(slices.Clone(s.IDs), func(id ID) bool { return counted[host{id: id}] })
		for _, id := range ids {
			named[host{id: id}] = true
		}
		if len(ids) > 0 {
			bring++
		}
	}
	return len(typed) + min(len(named), bring)
}

// Closed reports whether the vote is over at that time. Once true, it stays
// true.
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

// CloseAt returns when the vote closes by itself if nothing more comes. ok is
// false if only an event can close it. For a closed ballot it returns when it
// closed: the zero time if it had no servers.
func (b *Ballot) CloseAt() (at time.Time, ok bool) {
	switch {
	case b.closed:
		return b.closedAt, true
	case b.holder != nil:
		return b.since.Add(closeDelay), true
	}
	return time.Time{}, false
}

// pairs returns the servers that answered, as votes see them.
func pairs(servers []*server) []pair {
	list := make([]pair, len(servers))
	for i, s := range servers {
		list[i] = pair{s.host(), s.offer.ID}
	}
	return list
}

// counted returns, for each thing said, the servers whose host counts for it. A
// host counts for what more than half of its servers say.
func counted[K comparable](servers []*server, say func(*server) K) map[K][]*server {
	type part struct {
		host host
		said K
	}
	all, parts := make(map[host]int), make(map[part]int)
	for _, s := range servers {
		all[s.host()]++
		parts[part{s.host(), say(s)}]++
	}
	list := make(map[K][]*server)
	for _, s := range servers {
		if h, k := s.host(), say(s); 2*parts[part{h, k}] > all[h] {
			list[k] = append(list[k], s)
		}
	}
	return list
}

// tally returns the votes of everything that a host counts for.
func tally[K comparable](servers []*server, say func(*server) K) map[K]int {
	votes := make(map[K]int)
	for k, list := range counted(servers, say) {
		votes[k] = apart(pairs(list))
	}
	return votes
}

// majority returns the one group with more than half of the total.
func majority[K comparable](votes map[K]int, total int) (k K, ok bool) {
	for candidate, v := range votes {
		if 2*v <= total {
			continue
		}
		if ok { // an ID answers for both
			return candidate, false
		}
		k, ok = candidate, true
	}
	return k, ok
}
