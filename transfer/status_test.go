package transfer

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/certs"
	"malcolm/transfer/admission"
	"malcolm/transfer/serve"
	"malcolm/wire"
)

// Anyone may ask for a server's status, before it runs, meanwhile and after
// that.
func TestStatusAtAnyTime(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		src := newSource(file(2*chunk, 1))
		src.indexing = slowly(time.Second)
		addr := net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), 9001))
		s, err := serve.NewServer(serve.Config{Source: src, Name: "x", Identity: testIDs[0], Conns: []net.PacketConn{w.socket(addr)}})
		if err != nil {
			t.Fatal(err)
		}
		is := func(when string, want serve.State) {
			t.Helper()
			synctest.Wait()
			st := s.Status()
			if len(st.Servers) != 1 || st.Servers[0].State != want || st.Servers[0].Addr.String() != addr.String() {
				t.Errorf("%s: servers = %+v, want one that is %v", when, st.Servers, want)
			}
		}
		is("before it runs", serve.StateStopped)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { s.Run(ctx) })
		for range 4 {
			wg.Go(func() {
				for ctx.Err() == nil {
					s.Status()
					time.Sleep(10 * time.Millisecond)
				}
			})
		}
		is("at first", serve.StateIndexing)
		time.Sleep(5 * time.Second)
		is("with its file", serve.StateListening)
		cancel()
		wg.Wait()
		is("at the end", serve.StateStopped)
	})
}

// The status counts what clients are refused.
func TestStatusCountsRefusals(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		s := w.ready(file(chunk, 1), serve.Config{Tokens: []certs.Token{tokenOf(t, rightToken)}, Limits: serve.Limits{HandshakeRate: 1}})
		for range 3 {
			io.ReadAll(send(t, w.attack(s.targets[0], 1, 0), request(wire.StatRequest{})))
		}
		time.Sleep(time.Second)
		st := s.run.Status()
		if st.Counts.Retried == 0 { // each packet of a first flight counts
			t.Error("no client had to prove its address")
		}
		st.Counts.Retried = 0
		if want := (admission.Counts{Wasted: 3}); st.Denied != 3 || st.Counts != want {
			t.Errorf("%d are denied and %+v, want 3 and %+v", st.Denied, st.Counts, want)
		}
		if st.Load != (admission.Load{}) || st.Requests != 0 {
			t.Errorf("load = %+v and %d requests at the end, want none", st.Load, st.Requests)
		}
	})
}
