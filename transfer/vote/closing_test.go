package vote_test

import (
	"testing"
	"time"

	"malcolm/transfer/vote"
)

// never is the closing time of a vote that does not close by itself.
const never = time.Duration(-1)

// indexing stands in a list of offers for a server that says that it is
// indexing.
var indexing = vote.Offer{Size: -3}

// A step is one event, its time after the start, and when the ballot then
// closes by itself.
type step struct {
	at     time.Duration
	server int
	offer  vote.Offer // or failure, or indexing
	closes time.Duration
}

const ms = time.Millisecond

// tell tells a ballot of one event.
func tell(b *vote.Ballot, server int, of vote.Offer, now time.Time) {
	switch of {
	case failure:
		b.Fail(server, now)
	case indexing:
		b.Indexing(server, now)
	default:
		b.Answer(server, of, now)
	}
}

func TestClosing(t *testing.T) {
	tests := []struct {
		name    string
		options vote.Options
		servers string // the host of each
		steps   []step
	}{
		{"every server answered", vote.Options{}, "ab", []step{
			{0, 0, offer('x', 'A'), never},
			{5 * ms, 1, offer('y', 'B'), 5 * ms},
		}},
		{"every server answered or failed", vote.Options{}, "ab", []step{
			{0, 1, failure, never},
			{5 * ms, 0, offer('x', 'A'), 5 * ms},
		}},
		{"every server failed", vote.Options{}, "ab", []step{
			{0, 1, failure, never},
			{5 * ms, 0, failure, 5 * ms},
		}},
		{"half of what the total could become is not more than half", vote.Options{}, "abcd", []step{
			{0, 0, offer('x', 'A'), never},
			{5 * ms, 1, offer('y', 'A'), never},
			{9 * ms, 2, offer('z', 'A'), 1009 * ms},
		}},
		{"ports of one host do not close it against two that are silent", vote.Options{}, "aaabc", []step{
			{0, 0, offer('x', 'L'), never},
			{0, 1, offer('y', 'L'), never},
			{0, 2, offer('z', 'L'), never},
			{1100 * ms, 3, offer('p', 'A'), never},
			{1100 * ms, 4, offer('q', 'A'), 1100 * ms},
		}},
		{"nor against two that are indexing", vote.Options{}, "aaabc", []step{
			{0, 3, indexing, never},
			{0, 4, indexing, never},
			{0, 0, offer('x', 'L'), never},
			{0, 1, offer('x', 'L'), never},
			{0, 2, offer('x', 'L'), never},
			{10000 * ms, 3, failure, never},
			{20000 * ms, 4, offer('q', 'A'), 20000 * ms},
		}},
		{"the rest of a host is not waited for", vote.Options{}, "aaaa", []step{
			{0, 0, offer('x', 'A'), 1000 * ms},
		}},
		{"nor that of several", vote.Options{}, "aaabbb", []step{
			{0, 0, offer('x', 'A'), never},
			{7 * ms, 3, offer('y', 'A'), 1007 * ms},
		}},
		{"half of the votes", vote.Options{}, "abc", []step{
			{0, 0, offer('y', 'B'), never},
			{1 * ms, 1, offer('x', 'A'), never},
		}},
		{"hosts of which every server failed are not waited for", vote.Options{}, "abccd", []step{
			{0, 0, offer('x', 'A'), never},
			{1 * ms, 1, offer('y', 'A'), never},
			{2 * ms, 2, failure, never},
			{3 * ms, 3, failure, 1003 * ms},
		}},
		{"an answer for the same group does not put it off", vote.Options{}, "abcde", []step{
			{0, 0, offer('v', 'A'), never},
			{0, 1, offer('w', 'A'), never},
			{0, 2, offer('x', 'A'), 1000 * ms},
			{900 * ms, 3, offer('y', 'A'), 1000 * ms},
			{999 * ms, 4, offer('z', 'A'), 999 * ms},
		}},
		{"nor an answer for another group or a failure that leaves it the majority", vote.Options{}, "abcdef", []step{
			{0, 0, offer('u', 'A'), never},
			{0, 1, offer('v', 'A'), never},
			{0, 2, offer('w', 'A'), never},
			{0, 3, offer('x', 'A'), 1000 * ms},
			{500 * ms, 4, failure, 1000 * ms},
			{999 * ms, 5, offer('z', 'B'), 999 * ms},
		}},
		{"an answer that makes it untrue stops the second", vote.Options{}, "aaab", []step{
			{0, 3, failure, never},
			{0, 0, offer('x', 'A'), 1000 * ms},
			{999 * ms, 1, offer('x', 'B'), never},
			{1500 * ms, 2, offer('x', 'A'), 1500 * ms},
		}},
		{"so does a server that failed and is there after all", vote.Options{}, "aab", []step{
			{0, 2, failure, never},
			{0, 0, offer('x', 'A'), 1000 * ms},
			{999 * ms, 2, indexing, never},
			{5000 * ms, 2, failure, 6000 * ms},
		}},
		{"an answer replaces a failure", vote.Options{}, "abc", []step{
			{0, 0, failure, never},
			{1000 * ms, 0, offer('x', 'A'), never},
			{1000 * ms, 1, offer('l', 'B'), never},
			{30000 * ms, 2, failure, 30000 * ms},
		}},
		{"a majority with too few votes closes all the same", vote.Options{Quorum: 2}, "aaa", []step{
			{0, 0, offer('x', 'A'), 1000 * ms},
			{1 * ms, 1, offer('x', 'A'), 1000 * ms},
		}},
		{"the checksum closes at once, whatever the quorum", vote.Options{Checksum: checksum('A'), Quorum: 2}, "abcdefghi", []step{
			{7 * ms, 3, offer('x', 'B'), never},
			{8 * ms, 5, offer('y', 'A'), 8 * ms},
		}},
		{"also by a server that failed before", vote.Options{Checksum: checksum('A')}, "ab", []step{
			{0, 0, failure, never},
			{8 * ms, 0, offer('y', 'A'), 8 * ms},
		}},
		{"a majority of others does not close before the checksum", vote.Options{Checksum: checksum('A')}, "abcd", []step{
			{0, 0, offer('w', 'B'), never},
			{0, 1, offer('x', 'B'), never},
			{0, 2, offer('y', 'B'), never},
			{5000 * ms, 3, offer('z', 'A'), 5000 * ms},
		}},
		{"nobody has the checksum", vote.Options{Checksum: checksum('C')}, "abc", []step{
			{0, 0, offer('w', 'B'), never},
			{1 * ms, 1, offer('x', 'B'), never},
			{2 * ms, 2, failure, 2 * ms},
		}},
		{"what a server answered stands", vote.Options{}, "abcd", []step{
			{0, 0, offer('x', 'A'), never},
			{1 * ms, 0, offer('y', 'A'), never},
			{2 * ms, 0, failure, never},
			{3 * ms, 0, indexing, never},
			{4 * ms, 1, failure, never},
			{5 * ms, 1, failure, never},
			{6 * ms, 2, offer('z', 'A'), 1006 * ms},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := vote.New(on(tt.servers, 0), tt.options)
			for i, s := range tt.steps {
				now := start.Add(s.at)
				if b.Closed(now) {
					t.Fatalf("closed before step %d", i)
				}
				tell(b, s.server, s.offer, now)
				at, ok := b.CloseAt()
				if ok != (s.closes != never) || ok && !at.Equal(start.Add(s.closes)) {
					t.Fatalf("after step %d: closes at %v, %t, want %v", i, at.Sub(start), ok, s.closes)
				}
				if got, want := b.Closed(now), s.closes == s.at; got != want {
					t.Fatalf("after step %d: closed: got %t, want %t", i, got, want)
				}
			}
		})
	}
}

// IDs that the user named are waited for as hosts are: each that some server
// may still prove.
func TestClosingWaitsForNamedIDs(t *testing.T) {
	x, y := vote.ID{'x'}, vote.ID{'y'}
	both := vote.Server{Host: "a", IDs: []vote.ID{x, y}}
	b := vote.New([]vote.Server{both, both, both}, vote.Options{})
	b.Answer(0, offer('x', 'A'), start)
	if at, ok := b.CloseAt(); ok {
		t.Errorf("closes at %v, want it to wait for the other ID", at.Sub(start))
	}
	b.Answer(1, offer('y', 'A'), start)
	if at, ok := b.CloseAt(); !ok || !at.Equal(start.Add(time.Second)) {
		t.Errorf("closes at %v, %t, want one second", at.Sub(start), ok)
	}
}

func TestNoServersIsClosed(t *testing.T) {
	b := vote.New(nil, vote.Options{})
	if at, ok := b.CloseAt(); !ok || !at.IsZero() || !b.Closed(time.Time{}) {
		t.Errorf("got %v, %t, want a closed ballot", at, ok)
	}
}

func TestClosesAtExactlyOneSecond(t *testing.T) {
	due := start.Add(time.Second)
	held := func() *vote.Ballot {
		b := vote.New(on("abc", 0), vote.Options{})
		b.Answer(0, offer('x', 'A'), start)
		b.Answer(1, offer('y', 'A'), start)
		return b
	}

	b := held()
	if b.Closed(due.Add(-1)) {
		t.Error("closed a nanosecond before its second")
	}
	if !b.Closed(due) {
		t.Error("open after its second")
	}
	if !b.Closed(start) {
		t.Error("open again")
	}

	b = held()
	b.Answer(2, offer('z', 'A'), due.Add(-1))
	if got := b.Result().Total; got != 3 {
		t.Errorf("an answer a nanosecond before the close: got %d votes, want 3", got)
	}
	for _, late := range []time.Duration{0, 1, time.Hour} {
		b = held()
		b.Answer(2, offer('z', 'A'), due.Add(late))
		b.Fail(2, due.Add(late))
		b.Indexing(2, due.Add(late))
		r := b.Result()
		if r.Total != 2 || len(r.Silent) != 1 || len(r.Failed) != 0 {
			t.Errorf("an answer %v after the close was counted: %+v", late, r)
		}
		if at, ok := b.CloseAt(); !ok || !at.Equal(due) {
			t.Errorf("closed at: got %v, %t, want %v", at, ok, due)
		}
	}
}

// One server fails first and answers later, and the other fails last: one has
// answered.
func TestAnswerBehindAFailureCounts(t *testing.T) {
	b := vote.New(on("ab", 0), vote.Options{})
	b.Fail(0, start)
	b.Answer(0, offer('x', 'A'), start.Add(time.Second))
	b.Fail(1, start.Add(5*time.Second))
	if r := b.Result(); !b.Closed(start.Add(5*time.Second)) || r.Reason != vote.Decided || len(r.Answered) != 1 || len(r.Failed) != 1 {
		t.Errorf("got %+v, want the answer counted", r)
	}
}

// The quorum is not waited for: a host that would meet it comes after the
// second.
func TestQuorumMissedBySilentServer(t *testing.T) {
	b := vote.New(on("abc", 0), vote.Options{Quorum: 3})
	b.Answer(0, offer('x', 'A'), start)
	b.Answer(1, offer('y', 'A'), start)
	b.Answer(2, offer('z', 'A'), start.Add(time.Second))
	if got := b.Result().Reason; got != vote.TooFewVotes {
		t.Errorf("reason: got %d, want %d", got, vote.TooFewVotes)
	}
}

func TestResultBeforeTheClose(t *testing.T) {
	b := vote.New(on("abc", 0), vote.Options{Checksum: checksum('A')})
	for i, want := range []vote.Reason{vote.NobodyAnswered, vote.ChecksumNotOffered, vote.Decided} {
		if got := b.Result().Reason; got != want {
			t.Errorf("after %d answers: got %d, want %d", i, got, want)
		}
		b.Answer(i, offer(byte(i), "BAB"[i]), start)
	}
	r := b.Result()
	if len(r.Answered) != 2 || len(r.Silent) != 1 {
		t.Errorf("answered %v, silent %v after the close", r.Answered, r.Silent)
	}
}
