package transfer

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/hostile"
	"malcolm/transfer/serve"

	"malcolm/transport"
	"malcolm/wire"
)

// alive reports whether a connection has not ended.
func alive(conn transport.Conn) bool {
	synctest.Wait()
	select {
	case <-conn.Done():
		return false
	default:
		return true
	}
}

// A connection that only asks stays no longer than one that is silent.
func TestAskingCountsAsIdle(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		const idle = 15 * time.Second
		s := w.ready(file(chunk, 1), serve.Config{Limits: serve.Limits{IdleTimeout: idle}})
		conn := w.attack(s.targets[0], 1, 0)
		io.ReadAll(send(t, conn, request(wire.StatRequest{})))
		for range 4 {
			if _, err := hostile.Send(t.Context(), conn, []byte{1}); err != nil {
				break
			}
			time.Sleep(4 * time.Second)
		}
		wantClosed(t, conn, wire.CloseLimit)
	})
}

// A client that moves to another address goes on there, even if another client
// has that address. Its counts are those of its first address.
func TestClientMovesToAnotherAddress(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		data := file(40*chunk, 1)
		s := w.serve(newSource(data), 0, 2, serve.Config{})
		time.Sleep(time.Second)
		neighbour := w.attack(s.targets[0], 1, 0)
		io.ReadAll(send(t, neighbour, request(wire.StatRequest{})))
		hosts := []netip.Addr{
			netip.AddrFrom4([4]byte{10, 77, 0, 1}), netip.AddrFrom4([4]byte{10, 66, 0, 1}), clientHost,
		}
		moves := 0
		var react []func(fetch.Event)
		for i, host := range hosts {
			react = append(react, at(0.2*float64(i+1), func() { moves++; w.rebindTo(host) }))
		}
		o := w.get(getConfig{Targets: s.targets, Connections: 1, Events: func(e fetch.Event) {
			for _, f := range react {
				f(e)
			}
		}})
		o.has("data.bin", data)
		none[fetch.Lost](o)
		if moved := s.links[0].way(toServer).renamed; moves != len(hosts) || moved == 0 {
			t.Errorf("it moved %d times, and %d packets came from another address", moves, moved)
		}
		time.Sleep(time.Second)
		st := s.run.Status()
		list, others := st.Clients, st.MoreClients
		if len(list) != 1 || others != 0 || list[0].Conns != 1 || list[0].Addr != hosts[1] || !alive(neighbour) {
			t.Errorf("clients at the end = %+v, want the neighbour", list)
		}
		neighbour.Close(0, "")
		time.Sleep(time.Second)
		if n := s.run.Status().Load.Conns; n != 0 {
			t.Errorf("%d places are taken at the end", n)
		}
		if got := serveEvents[serve.Panicked](s); len(got) > 0 {
			t.Errorf("serve has a fault: %s", got[0].Value)
		}
	})
}

// slowReaders are clients that each read rate bytes a second, every tenth of a
// second.
type slowReaders struct {
	stop chan struct{}
	wg   sync.WaitGroup
}

func (w *world) slowReaders(s *server, addresses, each, rate int, ask []byte) *slowReaders {
	r := &slowReaders{stop: make(chan struct{})}
	for host := range addresses {
		for range each {
			st := send(w.t, w.attack(s.targets[0], byte(1+host), 256<<10), ask)
			r.wg.Go(func() {
				b := make([]byte, rate/10)
				for {
					if _, err := io.ReadFull(st, b); err != nil {
						return
					}
					select {
					case <-r.stop:
						st.CancelRead(uint64(wire.StreamCancelled), transport.LeftUnknown)
						return
					case <-time.After(100 * time.Millisecond):
					}
				}
			})
		}
	}
	return r
}

func (r *slowReaders) end() {
	close(r.stop)
	r.wg.Wait()
}

// A quick client keeps its rate beside slow ones, from many addresses and from
// its own. They have another port, so that the network is no shared limit.
func TestQuickBesideSlow(t *testing.T) {
	t.Parallel()
	withoutRace(t)
	const chunks, calm = 64, 16 << 20 // bytes a second that its path carries
	data := file(chunks*chunk, 1)
	ask := rangeOf(checksum(data), 0, chunks*chunk)
	rate := func(addresses, each int) (mibs float64) {
		bubble(t, func(t *testing.T, w *world) {
			s := w.serve(newSource(data), 0, 2, serve.Config{})
			time.Sleep(time.Second)
			s.links[0].set(func(l *link) { l.rate = 0 })
			s.links[1].set(func(l *link) { l.rate = calm })
			crowd := w.slowReaders(s, addresses, each, 100<<10, ask)
			defer crowd.end()
			time.Sleep(6 * time.Second)
			conn := w.attack(s.targets[1], 1, 16<<20)
			began := time.Now()
			n, err := io.Copy(io.Discard, send(t, conn, ask))
			if err != nil {
				t.Fatal(err)
			}
			mibs = float64(n) / (1 << 20) / time.Since(began).Seconds()
		})
		return mibs
	}
	// The rate without others depends on how losses fall: the middle of
	// three counts.
	three := []float64{rate(0, 0), rate(0, 0), rate(0, 0)}
	slices.Sort(three)
	alone := three[1]
	for _, test := range []struct{ addresses, each int }{{250, 1}, {1, 100}} {
		t.Run(fmt.Sprintf("%d addresses, %d each", test.addresses, test.each), func(t *testing.T) {
			got := rate(test.addresses, test.each)
			if got < 0.95*alone {
				got = max(got, rate(test.addresses, test.each))
			}
			t.Logf("%.2f MiB/s, alone %.2f", got, alone)
			if got < 0.95*alone {
				t.Errorf("the quick client got %.2f MiB/s, want the %.2f that it has alone", got, alone)
			}
		})
	}
}

// An office holds 800 connections, four for each of 200 people, and one more
// client of its address gets the file at once.
func TestOfficeOfConnections(t *testing.T) {
	t.Parallel()
	withoutRace(t)
	bubble(t, func(t *testing.T, w *world) {
		data := file(2*chunk, 1)
		s := w.serve(newSource(data), 0, 4, serve.Config{})
		time.Sleep(time.Second)
		for range 200 {
			for _, target := range s.targets {
				conn := w.dial(target, 0)
				t.Cleanup(func() { conn.Close(0, "") })
			}
		}
		o := w.get(getConfig{Targets: s.targets})
		o.has("data.bin", data)
		none[fetch.NotReached](o)
	})
}

// 200 clients of one address, each on four ports, all finish.
func TestOfficeOfClients(t *testing.T) {
	t.Parallel()
	withoutRace(t)
	bubble(t, func(t *testing.T, w *world) {
		const clients = 200
		data := file(2*chunk, 1)
		s := w.serve(newSource(data), 0, 4, serve.Config{})
		for _, l := range s.links {
			l.set(func(l *link) { l.rate = 0 })
		}
		time.Sleep(time.Second)
		dirs := make([]string, clients)
		for i := range dirs {
			dirs[i] = t.TempDir()
		}
		outcomes := make([]*outcome, clients)
		var wg sync.WaitGroup
		for i := range clients {
			wg.Go(func() {
				outcomes[i] = w.get(getConfig{Targets: s.targets, Connections: 1, Dir: dirs[i], Interval: time.Minute, ConnectTimeout: time.Minute})
			})
		}
		most := 0
		done := make(chan struct{})
		go func() {
			wg.Wait()
			close(done)
		}()
		for waiting := true; waiting; {
			select {
			case <-done:
				waiting = false
			case <-time.After(5 * time.Millisecond):
				most = max(most, s.run.Status().Load.Conns)
			}
		}
		for _, o := range outcomes {
			o.has("data.bin", data)
		}
		t.Logf("%d connections at a time", most)
		if most < clients/2 {
			t.Errorf("%d connections at a time: it was no crowd", most)
		}
	})
}

// When all places are taken, idle clients make room for newcomers of an office.
// A client whose bytes move keeps its connection.
func TestPlacesMakeRoom(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		const places = 64
		data := file(64*chunk, 1)
		s := w.ready(data, serve.Config{Limits: serve.Limits{Places: places, IdleTimeout: time.Hour}})
		crowd := w.slowReaders(s, 1, 2, 20<<10, rangeOf(checksum(data), 0, 64*chunk))
		defer crowd.end()
		var idle []transport.Conn
		for range places - 2 {
			conn := w.attack(s.targets[0], 2, 0)
			io.ReadAll(send(t, conn, request(wire.StatRequest{})))
			idle = append(idle, conn)
		}
		time.Sleep(2 * time.Minute)
		o := w.get(getConfig{Targets: s.targets, Connections: 1})
		o.has("data.bin", data)
		wantClosed(t, idle[0], wire.CloseLimit)
		if alive := s.run.Status().Servers[0].Ranges; alive != 2 {
			t.Errorf("%d of 2 ranges are under way that a client takes", alive)
		}
	})
}

// A mute socket, once it is mute, sends one packet every five seconds and drops
// the others. Its connection lives, and nothing more is acknowledged.
type mute struct {
	net.PacketConn
	isMute atomic.Bool

	mu   sync.Mutex
	held [][]byte
	last time.Time
}

func (m *mute) WriteTo(p []byte, to net.Addr) (int, error) {
	if !m.isMute.Load() {
		return m.PacketConn.WriteTo(p, to)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held = append(m.held, slices.Clone(p))
	if now := time.Now(); now.Sub(m.last) > 5*time.Second {
		m.last = now
		m.PacketConn.WriteTo(m.held[0], to)
		m.held = m.held[1:]
	}
	return len(p), nil
}

// Clients that stop acknowledging go after 10 seconds. What all hold keeps to
// the budget, and other clients get on meanwhile.
func TestUnacknowledgedBytes(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		const budget, attackers = 4 << 20, 8
		data := file(64*chunk, 1)
		s := w.ready(data, serve.Config{Limits: serve.Limits{Bytes: budget}})
		s.links[0].set(func(l *link) { l.rate, l.delay = 0, 50*time.Millisecond })
		ask := rangeOf(checksum(data), 0, 64*chunk)
		var sockets []*mute
		var wg sync.WaitGroup
		for range attackers {
			m := &mute{PacketConn: w.attackerSocket(1)}
			conn := w.connect(&hostile.Attacker{
				Server: addrOf(s.targets[0]), Window: 16 << 20, Open: func() (net.PacketConn, error) { return m, nil },
			})
			sockets = append(sockets, m)
			wg.Go(func() {
				for {
					st, err := conn.OpenStream(t.Context(), transport.Patient)
					if err != nil {
						return
					}
					st.Write(ask)
					st.CloseWrite()
					if _, err := io.Copy(io.Discard, st); err != nil {
						return
					}
				}
			})
		}
		most := int64(0)
		watch := func(span time.Duration) {
			for began := time.Now(); time.Since(began) < span; time.Sleep(5 * time.Millisecond) {
				most = max(most, s.run.Status().Load.Held)
			}
		}
		watch(3 * time.Second)
		for _, m := range sockets {
			m.isMute.Store(true)
		}
		watch(3 * time.Second)
		if most < budget*3/4 || most > budget*3/2 {
			t.Errorf("%d bytes were held, want about %d", most, budget)
		}
		began, stuck := time.Now(), s.run.Status().Requests
		o := w.get(getConfig{Targets: s.targets, Connections: 1})
		o.has("data.bin", data)
		none[fetch.Lost](o)
		t.Logf("%d bytes were held; the honest client took %v", most, time.Since(began))
		if time.Since(began) > 20*time.Second {
			t.Errorf("the honest client took %v", time.Since(began))
		}
		// The attackers do not hear that they were closed, but their
		// requests are over.
		if got := s.run.Status().Requests; got >= stuck {
			t.Errorf("%d requests are left of %d whose bytes do not move", got, stuck)
		}
		time.Sleep(20 * time.Second)
		wg.Wait()
		if got := s.run.Status().Load.Held; got > budget {
			t.Errorf("%d bytes are held at the end", got)
		}
	})
}
