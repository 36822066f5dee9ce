package transfer

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/serve"
	"malcolm/transfer/source"

	"malcolm/certs"
	"malcolm/transfer/vote"
)

// info runs [Info], and fails the test if anything is recorded.
func (w *world) info(cfg getConfig) (r *fetch.InfoResult, o *outcome) {
	w.t.Helper()
	home := w.t.TempDir()
	known, err := certs.OpenKnown(home)
	if err != nil {
		w.t.Fatal(err)
	}
	cfg.Trust.Known = known
	o = w.run(context.Background(), cfg, func(ctx context.Context, cfg getConfig) (*fetch.Result, error) {
		found, err := Info(ctx, cfg)
		r = found
		return &fetch.Result{}, err
	})
	if entries, _ := os.ReadDir(home); len(entries) > 0 {
		w.t.Errorf("%v were written of known servers", entries)
	}
	return r, o
}

// Info tells what each server offers and what the vote says, and writes
// nothing.
func TestInfo(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data, other := file(3*chunk, 1), file(2*chunk, 2)
		late := w.serve(newSource(data), 2, 1, serve.Config{Name: "late.bin"})
		late.links[0].set(func(l *link) { l.delay = time.Second })
		servers := append(w.holders(data, data, other), late)
		// Nobody is at this address, which is found out after the vote.
		gone := source.Target{Host: "10.0.9.9", Port: 9}
		w.link(gone)
		r, o := w.info(getConfig{Targets: append(targetsOf(servers...), gone)})
		if o.err != nil {
			t.Fatal(o.err)
		}
		if len(r.Servers) != 5 || r.Vote.Winner < 0 || r.Vote.Groups[r.Vote.Winner].Checksum != checksum(data) {
			t.Fatalf("result = %+v", r)
		}
		for i, want := range []struct {
			data  []byte
			state fetch.State
			name  string
			rtt   time.Duration
		}{
			{data, fetch.StateServing, "data.bin", 20 * time.Millisecond}, {data, fetch.StateServing, "data.bin", 20 * time.Millisecond},
			{other, fetch.StateLeftOut, "data.bin", 20 * time.Millisecond}, {data, fetch.StateServing, "late.bin", 2 * time.Second},
		} {
			s := r.Servers[i]
			if !s.Offered || s.State != want.state || s.Checksum != checksum(want.data) || s.Size != int64(len(want.data)) ||
				s.Name != want.name || s.ModTime.Unix() != 1e9 || s.ID == (certs.ServerID{}) {
				t.Errorf("server %d = %+v, want %s and %s", i, s, want.state, want.name)
			}
			if s.RTT < want.rtt || s.RTT > want.rtt*3/2 {
				t.Errorf("server %d: round trip %v, want about %v", i, s.RTT, want.rtt)
			}
		}
		if s := r.Servers[4]; s.Offered || s.State != fetch.StateNotReached || s.Err == nil || s.RTT != 0 {
			t.Errorf("a server that does not answer = %+v", s)
		}
		for _, s := range servers {
			if s.src.sent() != 0 {
				t.Error("bytes of the file were asked for")
			}
		}
	})
}

// Without a majority there is a result all the same.
func TestInfoWithoutMajority(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := file(3*chunk, 1), file(3*chunk, 2)
		r, o := w.info(getConfig{Targets: targetsOf(w.holders(a, b)...)})
		var undecided *fetch.UndecidedError
		if !errors.As(o.err, &undecided) || fetch.KindOf(o.err) != fetch.KindVote {
			t.Fatalf("error %v, want no majority", o.err)
		}
		if r == nil || len(r.Servers) != 2 || !r.Servers[0].Offered || len(r.Vote.Groups) != 2 || r.Vote.Reason != vote.NoMajority {
			t.Errorf("result = %+v, want both offers", r)
		}
		r, o = w.info(getConfig{Targets: []source.Target{{Host: "nowhere", Port: 1}}})
		if fetch.KindOf(o.err) != fetch.KindNetwork || r == nil || len(r.Servers) != 1 || r.Servers[0].Err == nil {
			t.Errorf("%v, result = %+v, want why nobody answered", o.err, r)
		}
	})
}
