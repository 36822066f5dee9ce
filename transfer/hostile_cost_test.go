package transfer

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"malcolm/transfer/hostile"
	"malcolm/transfer/serve"
	"malcolm/transfer/source"

	"malcolm/certs"
	"malcolm/transport"
	"malcolm/wire"
)

// What one attacking address costs a server is compared with what one honest
// client costs that copies the file. Both have a network of the same kind, the
// same time, and the same number of connections and requests. Slow attacks last
// slowSpan, and may cost no more in that time than the client in costSpan. An
// attacker that is cut off comes back at once.
const (
	costSpan   = 2 * time.Second
	slowSpan   = time.Minute
	costConns  = 8
	costChunks = 64 // of the file
)

// What a server spends, by kind.
const (
	packetsSent = iota
	bytesSent
	bytesRead    // of the file
	mostRequests // under way at once
	mostHeld     // of 1 MiB, held at once
	mostPlaces   // of connections, held at once, half-open ones included
	packetsReceived
	costs
)

// A bill is what a server has spent on one address, by kind.
type bill [costs]int64

var costNames = [costs]string{"packets sent", "bytes sent", "bytes read", "requests", "bytes held", "places", "packets received"}

// most returns what an attack may cost when the honest client cost b. It may
// read twice as much of the file, since the server reads as far ahead as a
// client has come. It may have the longest request, 16 KiB, under way on each
// of the streams. Both may fill their network, to a twentieth, with packets
// that are less full by a twentieth. Everybody may have many places. The server
// does not choose how many packets arrive, so they have no bound.
func (b bill) most() bill {
	b[bytesRead] *= 2
	b[packetsSent] += b[packetsSent] / 20
	b[bytesSent] += b[bytesSent] / 20
	b[mostHeld] += b[mostRequests] * wire.MaxRequestLen
	b[mostPlaces] = 128
	b[packetsReceived] = 1 << 62
	return b
}

// A meter is the socket of a server whose clients have one address. It counts
// what they cost.
type meter struct {
	net.PacketConn
	w      *world
	target source.Target
	src    *heldFile
	run    *serve.Server

	mu   sync.Mutex
	bill bill
}

// metered starts a server and returns when its file is hashed.
func (w *world) metered(data []byte, cfg serve.Config) *meter {
	w.t.Helper()
	m := &meter{w: w, target: w.nextTargets(1)[0], src: newSource(data)}
	w.link(m.target)
	m.PacketConn = w.socket(addrOf(m.target))
	cfg.Source, cfg.Name, cfg.Identity, cfg.Conns = m.src, "data.bin", testIDs[0], []net.PacketConn{m}
	cfg.Events = func(e serve.Event) {
		if _, ok := e.(serve.Ready); ok {
			m.src.served()
		}
	}
	var err error
	if m.run, err = serve.NewServer(cfg); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.run.Run(ctx)
	}()
	w.t.Cleanup(func() {
		cancel()
		<-done
	})
	time.Sleep(time.Second)
	return m
}

func (m *meter) ReadFrom(p []byte) (int, net.Addr, error) {
	n, from, err := m.PacketConn.ReadFrom(p)
	m.count(bill{packetsReceived: 1})
	return n, from, err
}

func (m *meter) WriteTo(p []byte, to net.Addr) (int, error) {
	m.count(bill{packetsSent: 1, bytesSent: int64(len(p))})
	return m.PacketConn.WriteTo(p, to)
}

// count adds more to the bill, updates what is held at once, and returns the
// bill so far.
func (m *meter) count(more bill) bill {
	st := m.run.Status()
	now := bill{mostRequests: int64(st.Requests), mostHeld: st.Load.Held, mostPlaces: int64(st.Load.Conns)}
	m.mu.Lock()
	defer m.mu.Unlock()
	for kind := range m.bill {
		m.bill[kind] = max(m.bill[kind]+more[kind], now[kind])
	}
	return m.bill
}

// charge returns what clients cost in a time. Then their context ends.
func (m *meter) charge(span time.Duration, clients func(ctx context.Context, a *hostile.Attacker)) bill {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { clients(ctx, m.w.attacker(m.target, 1)) })
	for began := time.Now(); time.Since(began) < span; time.Sleep(10 * time.Millisecond) {
		m.count(bill{})
	}
	b := m.count(bill{bytesRead: m.src.sent()})
	cancel()
	wg.Wait()
	return b
}

// forged sends datagrams that belong to no connection, until ctx ends.
func forged(ctx context.Context, a *hostile.Attacker) {
	pc, err := a.Open()
	if err != nil {
		return
	}
	defer pc.Close()
	for forger := hostile.NewForger(1); ctx.Err() == nil; time.Sleep(500 * time.Microsecond) {
		pc.WriteTo(forger.Next(), a.Server)
	}
}

// A costly is a way to use a server, and how long it lasts.
type costly struct {
	name    string
	cfg     serve.Config
	span    time.Duration
	clients func(ctx context.Context, a *hostile.Attacker)
}

// narrow returns the attacker with the least windows.
func narrow(a *hostile.Attacker) *hostile.Attacker {
	b := *a
	b.Window = 64 << 10
	return &b
}

// unopened returns the attacker without what opens its connections.
func unopened(a *hostile.Attacker) *hostile.Attacker {
	b := *a
	b.Unopened = true
	return &b
}

// attacks returns every attack on a server with a file of costChunks chunks.
func attacks(t *testing.T, sum [32]byte) []costly {
	whole := rangeOf(sum, 0, costChunks*chunk)
	stat := request(wire.StatRequest{Values: true})
	guess := append(request(wire.Open{Proof: new([32]byte)}), stat...)
	cancel := func(st transport.Stream) { st.CancelRead(uint64(wire.StreamCancelled), transport.LeftUnknown) }
	type (
		attacker = *hostile.Attacker
		conn     = transport.Conn
		stream   = transport.Stream
	)
	list := []costly{
		{"handshakes", serve.Config{}, costSpan, func(ctx context.Context, a attacker) { a.Connections(ctx, costConns, func(conn) {}) }},
		{"half-open connections", serve.Config{}, costSpan, func(ctx context.Context, a attacker) { a.HalfOpen(ctx, defaultDelay/2) }},
		{"idle connections", serve.Config{}, slowSpan, func(ctx context.Context, a attacker) { a.Connections(ctx, costConns, func(c conn) { <-c.Done() }) }},
		{"a stat and no more", serve.Config{}, slowSpan, func(ctx context.Context, a attacker) {
			a.Connections(ctx, costConns, func(c conn) {
				if st, err := c.OpenStream(ctx, transport.Patient); err == nil {
					hostile.Exchange(st, stat)
				}
				<-c.Done()
			})
		}},
		{"stats of new connections", serve.Config{}, costSpan, func(ctx context.Context, a attacker) {
			a.Connections(ctx, costConns, func(c conn) {
				if st, err := c.OpenStream(ctx, transport.Patient); err == nil {
					hostile.Exchange(st, stat)
				}
			})
		}},
		{"requests of a byte a minute", serve.Config{}, slowSpan, func(ctx context.Context, a attacker) {
			a.Requests(ctx, costConns, func(st stream, _ int) {
				st.Write([]byte{1})
				io.Copy(io.Discard, st)
			})
		}},
		{"replies never read", serve.Config{}, slowSpan, func(ctx context.Context, a attacker) {
			narrow(a).Requests(ctx, costConns, func(st stream, _ int) {
				st.Write(whole)
				st.CloseWrite()
				<-st.Done()
				<-ctx.Done()
			})
		}},
		{"replies never read, of new connections", serve.Config{}, costSpan, func(ctx context.Context, a attacker) {
			narrow(a).Connections(ctx, costConns, func(c conn) {
				for range rangeSlots {
					if st, err := c.OpenStream(ctx, transport.Patient); err == nil {
						st.Write(whole)
						st.CloseWrite()
					}
				}
				time.Sleep(2*defaultDelay + 5*time.Millisecond) // they are under way
			})
		}},
		{"replies stopped at the first byte", serve.Config{}, costSpan, func(ctx context.Context, a attacker) {
			a.Requests(ctx, costConns, func(st stream, _ int) {
				st.Write(whole)
				st.CloseWrite()
				st.Read(make([]byte, 1))
				cancel(st)
			})
		}},
		{"thousands of streams", serve.Config{}, costSpan, func(ctx context.Context, a attacker) {
			a.Connections(ctx, costConns, func(c conn) {
				var wg sync.WaitGroup
				for range 200 {
					wg.Go(func() {
						if st, err := c.OpenStream(ctx, transport.Patient); err == nil {
							st.Write([]byte{1})
						}
					})
				}
				wg.Wait()
				<-c.Done()
			})
		}},
		{"stats", serve.Config{}, costSpan, func(ctx context.Context, a attacker) {
			a.Requests(ctx, costConns, func(st stream, _ int) { hostile.Exchange(st, stat) })
		}},
		{"wrong tokens", serve.Config{Tokens: []certs.Token{tokenOf(t, rightToken)}}, costSpan, func(ctx context.Context, a attacker) {
			unopened(a).Connections(ctx, costConns, func(c conn) {
				if st, err := c.OpenStream(ctx, transport.Patient); err == nil {
					hostile.Exchange(st, guess)
				}
				<-c.Done()
			})
		}},
		{"requests before open", serve.Config{}, slowSpan, func(ctx context.Context, a attacker) {
			unopened(a).Connections(ctx, costConns, func(c conn) {
				for i := range transport.DefaultMaxStreams {
					if st, err := c.OpenStream(ctx, transport.Patient); err == nil && i > 0 { // the first stays empty
						st.Write(whole)
						st.CloseWrite()
					}
				}
				<-c.Done()
			})
		}},
		{"garbage", serve.Config{}, costSpan, func(ctx context.Context, a attacker) { forged(ctx, a) }},
	}
	for _, reset := range hostile.RapidResets {
		list = append(list, costly{"rapid reset: " + reset.Name, serve.Config{}, costSpan, func(ctx context.Context, a attacker) {
			a.Requests(ctx, costConns, func(st stream, _ int) { reset.Do(st, whole) })
		}})
	}
	bad := badRequests(sum)
	names := slices.Sorted(maps.Keys(bad))
	return append(list, costly{"bad requests", serve.Config{}, costSpan, func(ctx context.Context, a attacker) {
		a.Requests(ctx, costConns, func(st stream, i int) { hostile.Exchange(st, bad[names[i%len(names)]].ask) })
	}})
}

// honestly returns a client that copies the file again and again, a chunk with
// each request.
func honestly(sum [32]byte) costly {
	return costly{"an honest client", serve.Config{}, costSpan, func(ctx context.Context, a *hostile.Attacker) {
		a.Requests(ctx, costConns, func(st transport.Stream, i int) {
			hostile.Exchange(st, rangeOf(sum, int64(i%costChunks)*chunk, chunk))
		})
	}}
}

// One attacking address costs at most what one honest client costs.
func TestHostileCost(t *testing.T) {
	t.Parallel()
	data := file(costChunks*chunk, 1)
	sum := checksum(data)
	cost := func(c costly) (b bill) {
		bubble(t, func(t *testing.T, w *world) { b = w.metered(data, c.cfg).charge(c.span, c.clients) })
		line := fmt.Sprintf("%-40s", c.name)
		for kind, n := range b {
			line += fmt.Sprintf(" %d %s,", n, costNames[kind])
		}
		t.Log(line)
		return b
	}
	honest := cost(honestly(sum))
	if honest[mostRequests] != costConns*transport.DefaultMaxStreams || honest[mostHeld] == 0 || honest[bytesSent] < 12<<20 {
		t.Fatalf("the honest client did not do what it may: %v", honest)
	}
	for _, a := range attacks(t, sum) {
		if raceEnabled {
			a.span /= 8 // what it costs is not the subject then
		}
		t.Run(a.name, func(t *testing.T) {
			got, most := cost(a), honest.most()
			if got[packetsReceived] < 10 {
				t.Errorf("%d packets came, there was no attack", got[packetsReceived])
			}
			for kind, n := range got {
				if n > most[kind] {
					t.Errorf("%d %s, want at most %d", n, costNames[kind], most[kind])
				}
			}
		})
	}
}
