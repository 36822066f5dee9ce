package transfer

import (
	"testing"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/manifest"
	"malcolm/transfer/serve"
	"malcolm/transfer/source"
	"malcolm/wire"
)

// What both ends count of a transfer in which one server sends wrong bytes
// agrees with what happened.
func TestMeters(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(16*chunk, 1)
		servers := w.holders(data, data)
		slow(400<<10, servers...)
		rotten := servers[0]
		var last fetch.Snapshot
		o := w.run(t.Context(), getConfig{Targets: targetsOf(servers...), Interval: 50 * time.Millisecond, Events: func(e fetch.Event) {
			switch e := e.(type) {
			case progress:
				falls(t, last, e.Snapshot)
				last = e.Snapshot
			case fetch.Started:
				rotten.src.mu.Lock()
				rotten.src.data = corrupted(t, data, 0)
				for c := range manifest.Count(int64(len(data))) {
					rotten.src.data[c*chunk] = ^data[c*chunk]
				}
				rotten.src.mu.Unlock()
			}
		}}, Get)
		o.has("data.bin", data)
		if v := last.Session.Votes; v.Decided != 1 || v.Undecided != 0 || v.Groups != 1 || v.Most != 2 || v.All != 2 || v.Took <= 0 {
			t.Errorf("votes = %+v, want one of two votes", v)
		}
		if c := last.Session.Counts; c != last.Counts || c.Refused == 0 {
			t.Errorf("the session's counts are %+v, those of its only file %+v, want the same with a wrong chunk", c, last.Counts)
		}
		if last.Session.Writes.Count() == 0 || last.Session.Checkpoints.Count() == 0 {
			t.Errorf("%d writes and %d checkpoints were timed", last.Session.Writes.Count(), last.Session.Checkpoints.Count())
		}
		for i, s := range servers {
			got, st := o.report(s.targets[0]), s.run.Status()
			served := st.Servers[0]
			if got.Over[source.QUIC] != got.Arrived || got.Arrived == 0 || got.Connected == 0 || got.Asked == 0 {
				t.Errorf("server %d: %+v, want all bytes over QUIC, connections and ranges", i, got)
			}
			if got.Losses != int64(1-i) { // the rotten one is lost
				t.Errorf("server %d was lost %d times", i, got.Losses)
			}
			if served.Sent < got.Arrived || served.OverTCP != (serve.PartStatus{}) || served.Packets < served.Sent/1500 || served.Asked < got.Asked {
				t.Errorf("server %d says %+v and the client %+v", i, served, got)
			}
			if st.Passed.Opened < got.Connected || st.Passed.Shaken < st.Passed.Opened || st.Passed.Begun < st.Passed.Shaken {
				t.Errorf("server %d has %+v, the client %d connections", i, st.Passed, got.Connected)
			}
			if st.Made == 0 || st.Reads.Count() == 0 || st.Trips.Count() == 0 || s.run.Silent() > 2*time.Second {
				t.Errorf("server %d: %d made, %d reads, %d round trips, silent for %v", i, st.Made, st.Reads.Count(), st.Trips.Count(), s.run.Silent())
			}
			if ready, why := s.run.Ready(); !ready {
				t.Errorf("server %d is not ready: %s", i, why)
			}
		}
	})
}

// falls fails the test if a total of a session is less than it was.
func falls(t *testing.T, before, now fetch.Snapshot) {
	t.Helper()
	a, b := before.Session, now.Session
	if b.Retried < a.Retried || b.Refused < a.Refused || b.Duplicate < a.Duplicate || b.Refetched < a.Refetched ||
		b.Votes.Decided < a.Votes.Decided || b.Writes.Count() < a.Writes.Count() {
		t.Errorf("totals fell from %+v to %+v", a, b)
	}
	for i := range before.Servers {
		if a, b := before.Servers[i].ServerTotals, now.Servers[i].ServerTotals; b.Asked < a.Asked || b.Connected < a.Connected || b.Over[source.QUIC] < a.Over[source.QUIC] {
			t.Errorf("totals of server %d fell from %+v to %+v", i, a, b)
		}
	}
}

// A server is ready once its file is hashed and until it stops, and looks after
// its connections all the while.
func TestReady(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		src := newSource(file(2*chunk, 1))
		src.indexing = slowly(time.Second)
		s := w.serve(src, 0, 1, serve.Config{})
		expect := func(when string, want bool, word string) {
			t.Helper()
			if ready, why := s.run.Ready(); ready != want || why != word {
				t.Errorf("%s: ready = %t, %q; want %t, %q", when, ready, why, want, word)
			}
			if silent := s.run.Silent(); want && silent > 2*time.Second {
				t.Errorf("%s: silent for %v", when, silent)
			}
		}
		time.Sleep(10 * time.Millisecond)
		expect("at first", false, "indexing")
		time.Sleep(5 * time.Second)
		expect("with its file", true, "")
		run := s.run
		s.cancel()
		<-s.done
		if ready, why := run.Ready(); ready || why != "stopping" {
			t.Errorf("at the end: ready = %t, %q", ready, why)
		}
		time.Sleep(time.Minute)
		if run.Silent() < time.Minute {
			t.Errorf("a minute after the end it is silent for %v", run.Silent())
		}
	})
}

// Refusals are counted by their status, and connections that serve closes by
// the reason.
func TestMetersOfRefusals(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		s := w.ready(file(chunk, 1), serve.Config{})
		o := w.get(getConfig{Targets: targetsOf(s), Checksum: &[32]byte{1}})
		if o.err == nil {
			t.Fatal("got a file that nobody has")
		}
		conn := w.attack(s.targets[0], 1, 0)
		send(t, conn, request(wire.ValuesRequest{Checksum: [32]byte{1}, Count: 1}))
		w.attack(s.targets[0], 1, 0)
		time.Sleep(time.Minute)
		st := s.run.Status()
		if got := st.Refused[wire.StatusChanged]; got != 1 {
			t.Errorf("%d requests of another version are counted, want 1: %v", got, st.Refused)
		}
		if got := st.Closed[serve.ClosedUnopened]; got != 1 {
			t.Errorf("%d connections that were not opened in time are counted, want 1: %v", got, st.Closed)
		}
	})
}
