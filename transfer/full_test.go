package transfer

import (
	"testing"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/hostile"
	"malcolm/transfer/source"

	"malcolm/transport"
	"malcolm/wire"
)

// refusesFor makes a server refuse until the world is lasts old.
func refusesFor(lasts time.Duration, refuse func(m *hostile.Server, st transport.Stream)) func(m *hostile.Server) {
	begun := time.Now()
	return func(m *hostile.Server) {
		m.OnStat = func(st transport.Stream, _ int) {
			if time.Since(begun) < lasts {
				refuse(m, st)
			} else {
				m.SendOffer(st, m.Offer)
			}
		}
	}
}

// A fullness is a way to say that there is no room: prepare makes a server
// ready for it, refuse says it.
type fullness func() (prepare func(m *hostile.Server), refuse func(*hostile.Server, transport.Stream))

// closes says it by closing the connection with a code.
func closes(code wire.CloseCode) fullness {
	return func() (func(m *hostile.Server), func(*hostile.Server, transport.Stream)) {
		conns := make(chan transport.Conn, 100)
		return func(m *hostile.Server) { m.OnConn = func(c transport.Conn) { conns <- c } },
			func(*hostile.Server, transport.Stream) { (<-conns).Close(uint64(code), "") }
	}
}

// answers says it by a reply with a status.
func answers(status wire.Status) fullness {
	return func() (func(m *hostile.Server), func(*hostile.Server, transport.Stream)) {
		return func(*hostile.Server) {},
			func(_ *hostile.Server, st transport.Stream) { hostile.Refuse(st, status, 0, "") }
	}
}

// A server without room is waited for like one that is indexing. That is said
// once.
func TestFullServer(t *testing.T) {
	t.Parallel()
	const patience = 3 * time.Minute
	for _, test := range []struct {
		name string
		is   fullness
	}{
		{"busy", answers(wire.StatusBusy)},
		{"stopping", answers(wire.StatusStopping)},
		{"a limit", closes(wire.CloseLimit)},
		{"is being stopped", closes(wire.CloseStopping)},
	} {
		for _, lasts := range []time.Duration{time.Minute, time.Hour} {
			t.Run(test.name+" for "+lasts.String(), func(t *testing.T) {
				bubble(t, func(t *testing.T, w *world) {
					data := file(3*chunk, 1)
					prepare, refuse := test.is()
					until := refusesFor(lasts, refuse)
					m := w.malicious(data, 0, func(m *hostile.Server) { prepare(m); until(m) })
					o := w.get(getConfig{Targets: []source.Target{m.Target}, Patience: patience})
					if said, _ := only[fetch.Full](o); said.Target != m.Target || !source.IsFull(said.Err) || said.Left != patience {
						t.Errorf("%+v, want that it is full", said)
					}
					if lasts < patience {
						o.has("data.bin", data)
						none[fetch.NotReached](o)
						return
					}
					nobody := fails[*fetch.NobodyAnsweredError](o, fetch.KindNetwork)
					if !source.IsFull(nobody.Servers[0].Err) || o.Elapsed < patience || o.Elapsed > patience+5*time.Second {
						t.Errorf("after %v: %v, want that it is full when patience is over", o.Elapsed, nobody.Servers[0].Err)
					}
				})
			})
		}
	}
}

// While others serve, a server that was full joins when it has room.
func TestFullServerJoins(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		data := file(40*chunk, 1)
		servers := w.holders(data, data, data)
		slow(100<<10, servers...)
		m := w.malicious(data, 3, refusesFor(10*time.Second, func(_ *hostile.Server, st transport.Stream) {
			hostile.Refuse(st, wire.StatusBusy, 0, "")
		}))
		o := w.get(getConfig{Targets: append(targetsOf(servers...), m.Target)})
		o.has("data.bin", data)
		if _, at := only[fetch.Joined](o); at.Sub(o.events[0].at) < 9*time.Second {
			t.Error("it joined before it had room")
		}
	})
}
