package transfer

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"malcolm/transfer/admission"
	"malcolm/transfer/hostile"
	"malcolm/transfer/serve"

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
	costConns  = 8  // of QUIC; and of TLS over TCP, which are one connection
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
//
// Over TCP a connection that is closed has a window under way, which is lost,
// and the next one begins with an empty one. A client that closes and comes
// back may spend in these seconds what handshakes an office may make at once.
// Of each reply that is not taken one piece waits in the connection.
func (b bill) most(tcp bool) bill {
	if tcp {
		b[packetsSent] *= 2
		b[bytesSent] += b[bytesSent] / 4
		b[mostHeld] += b[mostRequests] * admission.MostBuffer
	}
	b[bytesRead] *= 2
	b[packetsSent] += b[packetsSent] / 20
	b[bytesSent] += b[bytesSent] / 20
	b[mostHeld] += b[mostRequests] * wire.MaxRequestLen
	b[mostPlaces] = 128
	b[packetsReceived] = 1 << 62
	return b
}

// forged sends datagrams that belong to no connection, or garbage on
// connections of TCP, until ctx ends.
func forged(ctx context.Context, a *hostile.Attacker) {
	if a.Dial != nil {
		a.Raw(ctx, costConns, func(c net.Conn) {
			c.Write(hostile.NewForger(1).Next())
			io.Copy(io.Discard, c)
		})
		return
	}
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
	narrow  bool // with the least windows
	clients func(ctx context.Context, a *hostile.Attacker)
}

// unopened returns the attacker without what opens its connections.
func unopened(a *hostile.Attacker) *hostile.Attacker {
	b := *a
	b.Unopened = true
	return &b
}

// attacks returns every attack on a server with a file of costChunks chunks:
// over conns connections where each has many requests, else over costConns.
func attacks(t *testing.T, sum [32]byte, conns int) []costly {
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
		{name: "handshakes", span: costSpan, clients: func(ctx context.Context, a attacker) { a.Connections(ctx, costConns, func(conn) {}) }},
		{name: "half-open connections", span: costSpan, clients: func(ctx context.Context, a attacker) { a.HalfOpen(ctx, defaultDelay/2) }},
		{name: "idle connections", span: slowSpan, clients: func(ctx context.Context, a attacker) { a.Connections(ctx, costConns, func(c conn) { <-c.Done() }) }},
		{name: "a stat and no more", span: slowSpan, clients: func(ctx context.Context, a attacker) {
			a.Connections(ctx, costConns, func(c conn) {
				if st, err := c.OpenStream(ctx, transport.Patient); err == nil {
					hostile.Exchange(st, stat)
				}
				<-c.Done()
			})
		}},
		{name: "stats of new connections", span: costSpan, clients: func(ctx context.Context, a attacker) {
			a.Connections(ctx, costConns, func(c conn) {
				if st, err := c.OpenStream(ctx, transport.Patient); err == nil {
					hostile.Exchange(st, stat)
				}
			})
		}},
		{name: "requests of a byte a minute", span: slowSpan, clients: func(ctx context.Context, a attacker) {
			a.Requests(ctx, conns, func(st stream, _ int) {
				st.Write([]byte{1})
				io.Copy(io.Discard, st)
			})
		}},
		{name: "replies never read", span: slowSpan, narrow: true, clients: func(ctx context.Context, a attacker) {
			a.Requests(ctx, conns, func(st stream, _ int) {
				st.Write(whole)
				st.CloseWrite()
				<-st.Done()
				<-ctx.Done()
			})
		}},
		{name: "replies never read, of new connections", span: costSpan, narrow: true, clients: func(ctx context.Context, a attacker) {
			a.Connections(ctx, conns, func(c conn) {
				for range rangeSlots {
					if st, err := c.OpenStream(ctx, transport.Patient); err == nil {
						st.Write(whole)
						st.CloseWrite()
					}
				}
				time.Sleep(2*defaultDelay + 5*time.Millisecond) // they are under way
			})
		}},
		{name: "replies stopped at the first byte", span: costSpan, clients: func(ctx context.Context, a attacker) {
			a.Requests(ctx, conns, func(st stream, _ int) {
				st.Write(whole)
				st.CloseWrite()
				st.Read(make([]byte, 1))
				cancel(st)
			})
		}},
		{name: "thousands of streams", span: costSpan, clients: func(ctx context.Context, a attacker) {
			a.Connections(ctx, conns, func(c conn) {
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
		{name: "stats", span: costSpan, clients: func(ctx context.Context, a attacker) {
			a.Requests(ctx, conns, func(st stream, _ int) { hostile.Exchange(st, stat) })
		}},
		{name: "wrong tokens", cfg: serve.Config{Tokens: []certs.Token{tokenOf(t, rightToken)}}, span: costSpan, clients: func(ctx context.Context, a attacker) {
			unopened(a).Connections(ctx, costConns, func(c conn) {
				if st, err := c.OpenStream(ctx, transport.Patient); err == nil {
					hostile.Exchange(st, guess)
				}
				<-c.Done()
			})
		}},
		{name: "requests before open", span: slowSpan, clients: func(ctx context.Context, a attacker) {
			unopened(a).Connections(ctx, conns, func(c conn) {
				for i := range transport.DefaultMaxStreams {
					if st, err := c.OpenStream(ctx, transport.Patient); err == nil && i > 0 { // the first stays empty
						st.Write(whole)
						st.CloseWrite()
					}
				}
				<-c.Done()
			})
		}},
		{name: "garbage", span: costSpan, clients: func(ctx context.Context, a attacker) { forged(ctx, a) }},
	}
	for _, reset := range hostile.RapidResets {
		list = append(list, costly{name: "rapid reset: " + reset.Name, span: costSpan, clients: func(ctx context.Context, a attacker) {
			a.Requests(ctx, conns, func(st stream, _ int) { reset.Do(st, whole) })
		}})
	}
	bad := badRequests(sum)
	names := slices.Sorted(maps.Keys(bad))
	return append(list, costly{name: "bad requests", span: costSpan, clients: func(ctx context.Context, a attacker) {
		a.Requests(ctx, conns, func(st stream, i int) { hostile.Exchange(st, bad[names[i%len(names)]].ask) })
	}})
}

// honestly returns a client that copies the file again and again, a chunk with
// each request.
func honestly(sum [32]byte, conns int) costly {
	return costly{name: "an honest client", span: costSpan, clients: func(ctx context.Context, a *hostile.Attacker) {
		a.Requests(ctx, conns, func(st transport.Stream, i int) {
			hostile.Exchange(st, rangeOf(sum, int64(i%costChunks)*chunk, chunk))
		})
	}}
}

// slowHandshakes are attacks with what comes before TLS has begun, or ended.
func slowHandshakes() []costly {
	byTheByte := func(every time.Duration, b []byte) func(ctx context.Context, a *hostile.Attacker) {
		return func(ctx context.Context, a *hostile.Attacker) {
			a.Raw(ctx, costConns, func(c net.Conn) {
				go io.Copy(io.Discard, c)
				for _, one := range b {
					if _, err := c.Write([]byte{one}); err != nil {
						return
					}
					time.Sleep(every)
				}
			})
		}
	}
	hello := []byte{22, 3, 1, 64, 0, 1, 0, 63, 252, 3, 3} // of 16 KiB
	hello = append(hello, make([]byte, 16<<10)...)
	return []costly{
		{name: "connections without a byte", span: slowSpan, clients: func(ctx context.Context, a *hostile.Attacker) {
			a.Raw(ctx, costConns, func(c net.Conn) { io.Copy(io.Discard, c) })
		}},
		{name: "a hello by the byte", span: slowSpan, clients: byTheByte(time.Second, hello)},
		{name: "records of one byte", span: costSpan, clients: byTheByte(time.Millisecond, bytes.Repeat([]byte{22, 3, 1, 0, 1, 1}, 10_000))},
		{name: "no TLS at all", span: costSpan, clients: byTheByte(time.Millisecond, []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))},
	}
}

// One attacking address costs at most what one honest client costs.
func TestHostileCost(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	testCosts(t, bubble, costConns, costConns*transport.DefaultMaxStreams, nil)
}

// Over TCP it costs at most that, too. There a connection is several of TLS.
func TestHostileCostOverTCP(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	testCosts(t, bubbleTCP, costConns/mostLinks, costConns, slowHandshakes())
}

// testCosts compares what each attack over conns connections costs with an
// honest client, which has the number of requests under way at a time.
func testCosts(t *testing.T, within func(*testing.T, func(*testing.T, *world)), conns int, requests int64, more []costly) {
	data := file(costChunks*chunk, 1)
	sum := checksum(data)
	cost := func(c costly) (b bill) {
		within(t, func(t *testing.T, w *world) { b = w.metered(data, c.cfg).charge(c) })
		line := fmt.Sprintf("%-40s", c.name)
		for kind, n := range b {
			line += fmt.Sprintf(" %d %s,", n, costNames[kind])
		}
		t.Log(line)
		return b
	}
	honest := cost(honestly(sum, conns))
	// What a connection of TCP holds, its place has paid for.
	holds := honest[mostHeld] > 0 || conns < costConns
	if honest[mostRequests] != requests || !holds || honest[bytesSent] < 12<<20 {
		t.Fatalf("the honest client did not do what it may: %v", honest)
	}
	for _, a := range append(attacks(t, sum, conns), more...) {
		t.Run(a.name, func(t *testing.T) {
			got, most := cost(a), honest.most(conns < costConns)
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
