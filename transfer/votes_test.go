package transfer

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/hostile"
	"malcolm/transfer/serve"
	"malcolm/transfer/source"
	"malcolm/transfer/source/malcolm"

	"malcolm/transfer/vote"
	"malcolm/transport"
	"malcolm/wire"
)

// The file of the majority is fetched, and the servers with another one are
// left out.
func TestMinorityIsLeftOut(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data, other := file(3*chunk, 1), file(3*chunk, 2)
		servers := w.holders(other, data, data)
		o := w.get(getConfig{Targets: targetsOf(servers...)})
		o.has("data.bin", data)
		voted, _ := only[fetch.Voted](o)
		r := voted.Result
		if r.Reason != vote.Decided || len(r.Groups) != 2 || !slices.Equal(r.Groups[r.Winner].Servers, []int{1, 2}) {
			t.Errorf("vote = %+v, want servers 1 and 2", r)
		}
		if voted.Chosen || r.Groups[r.Winner].Votes != 2 || r.Total != 3 {
			t.Errorf("chosen %t, vote = %+v, want 2 of 3 votes", voted.Chosen, r)
		}
		none[fetch.LeftOut](o) // the vote says it
		if r := o.report(servers[0].targets[0]); r.State != fetch.StateLeftOut || r.Bytes != 0 {
			t.Errorf("report = %+v, want left out", r)
		}
		if got := servers[0].src.sent(); got != 0 {
			t.Errorf("%d bytes were asked of the server that was left out", got)
		}
	})
}

// Without a majority nothing is fetched, and the votes are told.
func TestUndecided(t *testing.T) {
	a, b := file(3*chunk, 1), file(3*chunk, 2)
	nobodys := checksum(file(3*chunk, 3))
	for _, test := range []struct {
		name   string
		serve  func(w *world) []*server
		cfg    getConfig
		reason vote.Reason
		groups int
	}{
		{"tie", func(w *world) []*server { return w.holders(a, b) }, getConfig{}, vote.NoMajority, 2},
		{"tie of one ID", func(w *world) []*server {
			return []*server{w.serve(newSource(a), 0, 1, serve.Config{}), w.serve(newSource(b), 0, 1, serve.Config{})}
		}, getConfig{}, vote.NoMajority, 2},
		{"ports are no votes", func(w *world) []*server {
			return []*server{w.serve(newSource(a), 0, 3, serve.Config{}), w.serve(newSource(b), 1, 1, serve.Config{})}
		}, getConfig{}, vote.NoMajority, 2},
		{"quorum", func(w *world) []*server {
			return []*server{w.serve(newSource(a), 0, 3, serve.Config{})}
		}, getConfig{Quorum: 2}, vote.TooFewVotes, 1},
		{"checksum", func(w *world) []*server { return w.holders(a, a, b) },
			getConfig{Checksum: &nobodys}, vote.ChecksumNotOffered, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				servers := test.serve(w)
				test.cfg.Targets = targetsOf(servers...)
				o := w.get(test.cfg)
				err := fails[*fetch.UndecidedError](o, fetch.KindVote)
				if err.Result.Reason != test.reason || len(err.Result.Groups) != test.groups || err.Result.Winner != -1 {
					t.Errorf("result = %+v, want %d groups and reason %d", err.Result, test.groups, test.reason)
				}
				if len(err.Error()) == 0 || len(err.Targets) != len(test.cfg.Targets) || err.Quorum != test.cfg.Quorum {
					t.Errorf("error = %+v, want targets and quorum", err)
				}
				o.lists()
				if o.Part != "" || o.Name != "" {
					t.Errorf("part %q, name %q, want none", o.Part, o.Name)
				}
				none[fetch.Voted](o)
				none[fetch.Started](o)
			})
		})
	}
}

// A quorum that is met decides.
func TestQuorumMet(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(chunk, 1)
		o := w.get(getConfig{Targets: targetsOf(w.holders(data, data)...), Quorum: 2})
		o.has("data.bin", data)
	})
}

// The user's checksum decides against a majority.
func TestChecksumAgainstMajority(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data, other := file(3*chunk, 1), file(3*chunk, 2)
		servers := w.holders(other, other, data)
		// The others answer first, so that there is a majority to
		// decide against.
		servers[2].links[0].set(func(l *link) { l.delay = 100 * time.Millisecond })
		want := checksum(data)
		o := w.get(getConfig{Targets: targetsOf(servers...), Checksum: &want})
		o.has("data.bin", data)
		voted, _ := only[fetch.Voted](o)
		if !voted.Chosen || len(voted.Result.Answered) != 3 {
			t.Errorf("voted = %+v, want all three heard, and the checksum to decide", voted)
		}
		for _, s := range servers[:2] {
			if r := o.report(s.targets[0]); r.State != fetch.StateLeftOut {
				t.Errorf("report = %+v, want left out", r)
			}
		}
	})
}

// One server under two names has one vote.
func TestDuplicates(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(3*chunk, 1)
		s := w.holders(data)[0]
		same := s.targets[0]
		o := w.get(getConfig{Targets: []source.Target{same, same, {Host: "twin", Port: same.Port}}})
		o.has("data.bin", data)
		if got := events[fetch.Duplicate](o); len(got) != 2 || got[0].Target == got[0].Of && got[1].Target == got[1].Of {
			t.Errorf("duplicates are %+v, want two, one of another name", got)
		}
		if met, _ := only[fetch.OneAddress](o); met.Addr.String() != same.Host {
			t.Errorf("told %+v, want the address of both names", met)
		}
		none[fetch.NotReached](o)
		duplicates := 0
		for _, r := range o.Servers {
			if r.State == fetch.StateDuplicate {
				duplicates++
			}
		}
		if duplicates != 2 {
			t.Errorf("%d reports say duplicate, want 2", duplicates)
		}
	})
}

// If no server answers, the run fails at the connect timeout, with each
// server's reason.
func TestNobodyAnswers(t *testing.T) {
	for _, timeout := range []time.Duration{0, 2 * time.Second} {
		bubble(t, func(t *testing.T, w *world) {
			servers := w.holders(file(chunk, 1), file(chunk, 1))
			for _, s := range servers {
				s.links[0].set(func(l *link) { l.hole = true })
			}
			o := w.get(getConfig{Targets: targetsOf(servers...), ConnectTimeout: timeout})
			err := fails[*fetch.NobodyAnsweredError](o, fetch.KindNetwork)
			want := timeout
			if want == 0 {
				want = malcolm.DefaultConnectTimeout
			}
			if o.Elapsed != want {
				t.Errorf("gave up after %v, want %v", o.Elapsed, want)
			}
			for i, s := range servers {
				if _, eaten := s.links[0].dropped(); eaten == 0 {
					t.Errorf("nothing was sent to server %d", i)
				}
				if r := err.Servers[i]; r.State != fetch.StateNotReached || source.WhatOf(r.Err) != source.NoAnswer || !strings.Contains(r.Err.Error(), want.String()) {
					t.Errorf("report = %+v, want no answer in %v", r, want)
				}
			}
			if got := len(events[fetch.NotReached](o)); got != 2 {
				t.Errorf("%d events NotReached, want 2", got)
			}
			o.lists()
		})
	}
}

// A server that connects and makes no offer in time counts as late, and not as
// silent.
func TestSlowAnswer(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		m := w.malicious(file(chunk, 1), 0, func(m *hostile.Server) {
			m.OnStat = func(st transport.Stream, _ int) { time.Sleep(time.Minute) }
		})
		o := w.get(getConfig{Targets: []source.Target{m.Target}, ConnectTimeout: 3 * time.Second})
		err := fails[*fetch.NobodyAnsweredError](o, fetch.KindNetwork)
		if r := err.Servers[0]; !isLate(r.Err, source.SlowAnswer, 3*time.Second) || r.Err.Error() != "no complete answer in 3s" {
			t.Errorf("report = %+v, want no complete answer", r)
		}
	})
}

// A server that lets nobody ask is late after the time it had in all, and not
// after what was left of it.
func TestSlowAnswerWithoutAStream(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		m := w.malicious(file(chunk, 1), 0, func(m *hostile.Server) {
			m.OnRanges = func(transport.Stream, []wire.Span) { time.Sleep(time.Minute) }
		})
		sources, err := malcolm.Sources(t.Context(), malcolm.Config{Network: w}, []source.Target{m.Target}, false)
		if err != nil {
			t.Fatal(err)
		}
		way, err := sources[0].Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer way.Close()
		for range transport.DefaultMaxStreams {
			go way.Range(t.Context(), []source.Span{{Length: chunk}})
		}
		time.Sleep(time.Second)
		if _, err := way.Stat(t.Context(), source.Ask{}, nil); !isLate(err, source.SlowAnswer, malcolm.DefaultConnectTimeout) {
			t.Errorf("error = %v, want that it was late", err)
		}
	})
}

// A host without an address is told as one.
func TestUnknownHost(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		o := w.get(getConfig{Targets: []source.Target{{Host: "nowhere.invalid", Port: 1}}})
		err := fails[*fetch.NobodyAnsweredError](o, fetch.KindNetwork)
		if e := err.Servers[0].Err; source.WhatOf(e) != source.NoHost || !strings.Contains(e.Error(), "nowhere.invalid") {
			t.Errorf("report = %+v, want a host without an address", err.Servers[0])
		}
		if o.Elapsed > 250*time.Millisecond {
			t.Errorf("took %v, want no longer than a second try", o.Elapsed)
		}
	})
}

// One reachable server of four is enough once the others have failed.
func TestOneOfFourReachable(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(3*chunk, 1)
		servers := w.holders(data, data, data, data)
		for _, s := range servers[1:] {
			s.links[0].set(func(l *link) { l.hole = true })
		}
		o := w.get(getConfig{Targets: targetsOf(servers...)})
		o.has("data.bin", data)
		if got := len(events[fetch.NotReached](o)); got != 3 {
			t.Errorf("%d events NotReached, want 3", got)
		}
		// One of four is no majority before the others have failed.
		if voted, when := only[fetch.Voted](o); len(voted.Result.Failed) != 3 || when.Sub(o.events[0].at) < 4*time.Second {
			t.Errorf("vote = %+v, want three failed", voted.Result)
		}
	})
}

// A server that is still indexing when two of three have agreed is not waited
// for, and joins later.
func TestLateServer(t *testing.T) {
	t.Parallel()
	late := func(t *testing.T, w *world, same bool) (*outcome, []*server) {
		data := file(12*chunk, 1)
		theirs := data
		if !same {
			theirs = file(12*chunk, 2)
		}
		servers := w.holders(data, data)
		slow(100<<10, servers...)
		src := newSource(theirs)
		src.indexing = slowly(250 * time.Millisecond) // 3 s in all
		servers = append(servers, w.serve(src, 2, 1, serve.Config{}))
		begun := time.Now()
		o := w.get(getConfig{Targets: targetsOf(servers...)})
		o.has("data.bin", data)
		voted, when := only[fetch.Voted](o)
		if took := when.Sub(begun); took < time.Second || took > 1500*time.Millisecond {
			t.Errorf("the vote took %v, want one second after two answers", took)
		}
		if !slices.Equal(voted.Result.Answered, []int{0, 1}) || !slices.Equal(voted.Result.Silent, []int{2}) {
			t.Errorf("vote = %+v, want server 2 silent", voted.Result)
		}
		return o, servers
	}
	t.Run("same file", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *world) {
			o, servers := late(t, w, true)
			joined, _ := only[fetch.Joined](o)
			none[fetch.LeftOut](o)
			if r := o.report(servers[2].targets[0]); joined.Target != r.Target || r.State != fetch.StateServing || r.Bytes == 0 {
				t.Errorf("joined = %+v, report = %+v, want a server that helped", joined, r)
			}
		})
	})
	t.Run("another file", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *world) {
			o, servers := late(t, w, false)
			left, _ := only[fetch.LeftOut](o)
			none[fetch.Joined](o)
			if left.Target != servers[2].targets[0] || left.Checksum != checksum(servers[2].src.data) || left.Size != 12*chunk {
				t.Errorf("left out = %+v, want the late server and its file", left)
			}
			if r := o.report(left.Target); r.State != fetch.StateLeftOut || r.Bytes != 0 {
				t.Errorf("report = %+v, want left out", r)
			}
		})
	})
}

// The servers of the majority may be gone before the vote is over.
func TestMajorityLeavesBeforeTheClose(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(3*chunk, 1)
		servers := w.holders(data, data)
		src := newSource(data)
		src.indexing = func() error { src.block(); return nil }
		silent := w.serve(src, 2, 1, serve.Config{})
		dir := t.TempDir() // with something there, so that nothing is fetched ahead
		must(t, os.WriteFile(filepath.Join(dir, "data.bin"), nil, 0o644))
		answered := 0
		// Both stop between their answer and the close of the vote.
		o := w.get(getConfig{Dir: dir, Force: true, Targets: targetsOf(servers[0], servers[1], silent), Patience: 20 * time.Second, Events: func(e fetch.Event) {
			if _, ok := e.(fetch.Connected); !ok {
				return
			}
			if answered++; answered == 3 {
				time.AfterFunc(500*time.Millisecond, func() { servers[0].cancel(); servers[1].cancel() })
			}
		}})
		err := fails[*fetch.NoServerLeftError](o, fetch.KindNetwork)
		if got := events[fetch.Lost](o); len(got) != 2 || got[0].Left != -1 || got[1].Left != -1 {
			t.Errorf("lost = %+v, want both, before the vote was over", got)
		}
		only[fetch.Voted](o)
		if err.Missing != 3*chunk {
			t.Errorf("missing %d, want all", err.Missing)
		}
		if took := o.Elapsed; took < 20*time.Second || took > 22*time.Second {
			t.Errorf("took %v, want the patience with the server that is still indexing", took)
		}
	})
}
