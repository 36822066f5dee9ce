package vote_test

import (
	"testing"
	"time"

	"malcolm/transfer/vote"
)

// never is the moment of a vote that does not close by itself.
const never = time.Duration(-1)

// step is one event, at a time after the start, and when the ballot closes by itself after it.
type step struct {
	at     time.Duration
	server int
	offer  vote.Offer // or failure
	closes time.Duration
}

const ms = time.Millisecond

func TestClosing(t *testing.T) {
	tests := []struct {
		name    string
		options vote.Options
		servers int
		steps   []step
	}{
		{"every server answered", vote.Options{}, 2, []step{
			{0, 0, offer('x', 'A'), never},
			{5 * ms, 1, offer('y', 'B'), 5 * ms},
		}},
		{"every server answered or failed", vote.Options{}, 2, []step{
			{0, 1, failure, never},
			{5 * ms, 0, offer('x', 'A'), 5 * ms},
		}},
		{"every server failed", vote.Options{}, 2, []step{
			{0, 1, failure, never},
			{5 * ms, 0, failure, 5 * ms},
		}},
		{"half of the servers are not more than half", vote.Options{}, 4, []step{
			{0, 0, offer('x', 'A'), never},
			{5 * ms, 1, offer('y', 'A'), never},
			{9 * ms, 2, offer('z', 'A'), 1009 * ms},
		}},
		{"more than half of the servers, but half of the votes", vote.Options{}, 5, []step{
			{0, 0, offer('y', 'B'), never},
			{1 * ms, 1, offer('x', 'A'), never},
			{2 * ms, 2, offer('x', 'A'), never},
			{3 * ms, 3, offer('x', 'A'), never},
		}},
		{"failed servers are not counted as asked", vote.Options{}, 5, []step{
			{0, 0, offer('x', 'A'), never},
			{1 * ms, 1, offer('y', 'A'), never},
			{2 * ms, 2, failure, never},
			{3 * ms, 3, failure, 1003 * ms},
		}},
		{"an answer for the same group does not put it off", vote.Options{}, 5, []step{
			{0, 0, offer('v', 'A'), never},
			{0, 1, offer('w', 'A'), never},
			{0, 2, offer('x', 'A'), 1000 * ms},
			{900 * ms, 3, offer('y', 'A'), 1000 * ms},
			{999 * ms, 4, offer('z', 'A'), 999 * ms},
		}},
		{"nor an answer for another group or a failure that leaves it the majority", vote.Options{}, 6, []step{
			{0, 0, offer('u', 'A'), never},
			{0, 1, offer('v', 'A'), never},
			{0, 2, offer('w', 'A'), never},
			{0, 3, offer('x', 'A'), 1000 * ms},
			{500 * ms, 4, failure, 1000 * ms},
			{999 * ms, 5, offer('z', 'B'), 999 * ms},
		}},
		{"an answer that makes it untrue resets it", vote.Options{}, 7, []step{
			{0, 0, offer('x', 'A'), never},
			{0, 1, offer('x', 'A'), never},
			{0, 2, offer('x', 'A'), never},
			{0, 3, offer('x', 'A'), 1000 * ms},
			{999 * ms, 4, offer('y', 'B'), never},
			{1500 * ms, 5, offer('z', 'A'), 2500 * ms},
		}},
		{"a majority with too few IDs closes all the same", vote.Options{Quorum: 2}, 3, []step{
			{0, 0, offer('x', 'A'), never},
			{1 * ms, 1, offer('x', 'A'), 1001 * ms},
		}},
		{"the checksum closes at once, whatever the quorum", vote.Options{Checksum: checksum('A'), Quorum: 2}, 9, []step{
			{7 * ms, 3, offer('x', 'B'), never},
			{8 * ms, 5, offer('y', 'A'), 8 * ms},
		}},
		{"a majority of others does not close before the checksum", vote.Options{Checksum: checksum('A')}, 4, []step{
			{0, 0, offer('w', 'B'), never},
			{0, 1, offer('x', 'B'), never},
			{0, 2, offer('y', 'B'), never},
			{5000 * ms, 3, offer('z', 'A'), 5000 * ms},
		}},
		{"nobody has the checksum", vote.Options{Checksum: checksum('C')}, 3, []step{
			{0, 0, offer('w', 'B'), never},
			{1 * ms, 1, offer('x', 'B'), never},
			{2 * ms, 2, failure, 2 * ms},
		}},
		{"a second answer or failure is ignored", vote.Options{}, 4, []step{
			{0, 0, offer('x', 'A'), never},
			{1 * ms, 0, offer('y', 'A'), never},
			{2 * ms, 0, failure, never},
			{3 * ms, 1, failure, never},
			{4 * ms, 1, offer('z', 'A'), never},
			{5 * ms, 1, failure, never},
			{6 * ms, 2, offer('x', 'A'), 1006 * ms},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := vote.New(tt.servers, tt.options)
			for i, s := range tt.steps {
				now := start.Add(s.at)
				if b.Closed(now) {
					t.Fatalf("closed before step %d", i)
				}
				if s.offer == failure {
					b.Fail(s.server, now)
				} else {
					b.Answer(s.server, s.offer, now)
				}
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

func TestNoServersIsClosed(t *testing.T) {
	b := vote.New(0, vote.Options{})
	if at, ok := b.CloseAt(); !ok || !at.IsZero() || !b.Closed(time.Time{}) {
		t.Errorf("got %v, %t, want a closed ballot", at, ok)
	}
}

func TestClosesAtExactlyOneSecond(t *testing.T) {
	due := start.Add(time.Second)
	held := func() *vote.Ballot {
		b := vote.New(3, vote.Options{})
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
	if got := b.Result().DistinctIDs; got != 3 {
		t.Errorf("an answer a nanosecond before the close: got %d IDs, want 3", got)
	}
	for _, late := range []time.Duration{0, 1, time.Hour} {
		b = held()
		b.Answer(2, offer('z', 'A'), due.Add(late))
		b.Fail(2, due.Add(late))
		r := b.Result()
		if r.DistinctIDs != 2 || len(r.Silent) != 1 || len(r.Failed) != 0 {
			t.Errorf("an answer %v after the close was counted: %+v", late, r)
		}
		if at, ok := b.CloseAt(); !ok || !at.Equal(due) {
			t.Errorf("closed at: got %v, %t, want %v", at, ok, due)
		}
	}
}

// The quorum is not waited for: an ID that would meet it comes too late after the second.
func TestQuorumMissedBySilentServer(t *testing.T) {
	b := vote.New(3, vote.Options{Quorum: 2})
	b.Answer(0, offer('x', 'A'), start)
	b.Answer(1, offer('x', 'A'), start)
	b.Answer(2, offer('y', 'A'), start.Add(time.Second))
	if got := b.Result().Reason; got != vote.TooFewIDs {
		t.Errorf("reason: got %d, want %d", got, vote.TooFewIDs)
	}
}

func TestResultBeforeTheClose(t *testing.T) {
	b := vote.New(3, vote.Options{Checksum: checksum('A')})
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
