package transfer

import (
	"testing"
	"time"

	"malcolm/transfer/admission"
	"malcolm/transfer/serve"
)

// A status lists the host that is being served, over all virtual servers, and
// nobody once it has gone.
func TestClients(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		data := file(40*chunk, 1)
		s := w.serve(newSource(data), 0, 2, serve.Config{})
		slow(1<<20, s)
		stop := s.watch(50 * time.Millisecond)
		w.get(getConfig{Targets: s.targets, Connections: 1}).has("data.bin", data)
		time.Sleep(time.Second)
		all := stop()
		most := admission.Status{}
		var ranges int
		for _, st := range all {
			if len(st.Clients) == 0 {
				continue
			}
			got := st.Clients[0]
			if len(st.Clients) > 1 || st.MoreClients > 0 || got.Addr != clientHost {
				t.Fatalf("clients = %+v and %d more, want one host, %v", st.Clients, st.MoreClients, clientHost)
			}
			sent := st.Servers[0].Sent + st.Servers[1].Sent
			if got.Sent > sent || got.Sent < most.Sent {
				t.Errorf("%d bytes were sent to it, after %d, of %d in all", got.Sent, most.Sent, sent)
			}
			most, ranges = got, max(ranges, got.Ranges)
		}
		if most.Conns != 2 || most.Sent < int64(len(data))/2 || ranges == 0 {
			t.Errorf("the last status of it is %+v, and it had %d ranges at most; want 2 connections, most of the file, and some", most, ranges)
		}
		if last := all[len(all)-1]; len(last.Clients) > 0 {
			t.Errorf("clients at the end = %+v, want none", last.Clients)
		}
	})
}

// The packets that a link drops are counted for its virtual server, also when
// the connection has ended.
func TestPacketsLost(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		data := file(20*chunk, 1)
		s := w.serve(newSource(data), 0, 2, serve.Config{})
		s.links[1].set(func(l *link) { l.loss = 0.05 })
		w.get(getConfig{Targets: s.targets}).has("data.bin", data)
		time.Sleep(time.Second)
		last := s.run.Status().Servers
		if last[0].Lost > 0 || last[1].Lost == 0 {
			t.Errorf("lost %d and %d packets, want none and some", last[0].Lost, last[1].Lost)
		}
	})
}
