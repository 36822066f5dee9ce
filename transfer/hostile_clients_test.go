package transfer

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/admission"
	"malcolm/transfer/hostile"
	"malcolm/transfer/localfile"
	"malcolm/transfer/serve"
	"malcolm/transport"
	"malcolm/wire"
)

// baselineRates are the rates, in MiB/s of virtual time, at which a client
// copies a file from a server without an attack, by its number of chunks, over
// QUIC and over TCP.
var (
	baselineRates    = map[int]float64{2: 3.29, 8: 5.58, 16: 6.47}
	baselineRatesTCP = map[int]float64{2: 3.29, 8: 5.9, 16: 6.78}
)

func (w *world) baseline(chunks int) float64 {
	if w.tcp.only {
		return baselineRatesTCP[chunks]
	}
	return baselineRates[chunks]
}

// honest copies the file from the server while it is attacked, at the rate that
// it has without.
func (s *server) honest(data []byte) *outcome {
	s.w.t.Helper()
	began := time.Now()
	o := s.w.get(getConfig{Targets: s.targets})
	o.has("data.bin", data)
	rate, baseline := float64(o.Size)/(1<<20)/time.Since(began).Seconds(), s.w.baseline((len(data)+chunk-1)/chunk)
	s.w.t.Logf("the honest client: %.2f MiB/s, without the attack %.2f", rate, baseline)
	if baseline == 0 || rate < 0.95*baseline {
		s.w.t.Errorf("the honest client got %.2f MiB/s, want the %.2f that it has without the attack", rate, baseline)
	}
	return o
}

// The baseline rates are what a client gets without an attack.
func TestBaselineRates(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	for chunks := range baselineRates {
		overBoth(t, func(t *testing.T, w *world) {
			data := file(chunks*chunk, 1)
			s := w.ready(data, serve.Config{})
			began := time.Now()
			s.honest(data)
			if rate := float64(len(data)) / (1 << 20) / time.Since(began).Seconds(); rate > 1.05*w.baseline(chunks) {
				t.Errorf("%d chunks came at %.2f MiB/s, quicker than the %.2f that attacks are measured by", chunks, rate, w.baseline(chunks))
			}
		})
	}
}

// ready starts a server and returns when it has hashed its file.
func (w *world) ready(data []byte, cfg serve.Config) *server {
	s := w.serve(newSource(data), 0, 1, cfg)
	time.Sleep(time.Second)
	return s
}

// wantClosed fails the test unless the server has closed a connection with a
// code.
func wantClosed(t *testing.T, conn transport.Conn, code wire.CloseCode) {
	t.Helper()
	synctest.Wait()
	select {
	case <-conn.Done():
	default:
		t.Fatal("the connection lives on")
	}
	var peer *transport.PeerError
	if err := conn.Err(); !errors.As(err, &peer) || peer.Kind != transport.PeerClosed || wire.CloseCode(peer.Code) != code {
		t.Errorf("the connection ended with %v, want code %d of the server", err, code)
	}
}

// Connections that are silent, or fall silent after a stat, are closed at
// their time limits, and cost an honest client nothing.
func TestHostileIdleConnections(t *testing.T) {
	overBoth(t, func(t *testing.T, w *world) {
		const attackers = 40
		data := file(8*chunk, 1)
		s := w.ready(data, serve.Config{Limits: serve.Limits{IdleTimeout: time.Minute}})
		before := runtime.NumGoroutine()
		var silent, quiet []transport.Conn
		for range attackers {
			silent = append(silent, w.attack(s.targets[0], 1, 0))
			quiet = append(quiet, w.attack(s.targets[0], 2, 0))
		}
		for _, c := range quiet {
			io.ReadAll(send(t, c, request(wire.StatRequest{})))
		}
		s.honest(data)
		time.Sleep(admission.DefaultOpenTime)
		for _, c := range silent {
			wantClosed(t, c, wire.CloseLimit)
		}
		time.Sleep(time.Minute - admission.DefaultOpenTime + time.Second)
		for _, c := range quiet {
			wantClosed(t, c, wire.CloseLimit)
		}
		synctest.Wait()
		if got := s.run.Status().Servers[0].Clients; got != 0 {
			t.Errorf("%d clients are left", got)
		}
		// What is left of each is its socket, which is the client's.
		t.Logf("%d goroutines more than before", runtime.NumGoroutine()-before)
	})
}

// A request that does not end is reset when the request timeout is over, and
// others go on meanwhile.
func TestHostileRequestsOfAByteAMinute(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, w *world) {
		data := file(8*chunk, 1)
		s := w.ready(data, serve.Config{})
		conn := w.attack(s.targets[0], 1, 0)
		io.ReadAll(send(t, conn, request(wire.StatRequest{}))) // else the connection goes with them
		var slow []transport.Stream
		for range w.mostStreams() {
			st, err := hostile.Send(t.Context(), conn, request(wire.StatRequest{})[:1])
			if err != nil {
				t.Fatal(err)
			}
			slow = append(slow, st)
		}
		began := time.Now()
		s.honest(data)
		for _, st := range slow {
			_, err := io.Copy(io.Discard, st)
			if got := streamCode(err); got != wire.StreamStalled {
				t.Errorf("the stream ended with %v, want that it stalled", err)
			}
		}
		if took := time.Since(began); took > serve.DefaultRequestTimeout+time.Second {
			t.Errorf("requests were waited for for %v", took)
		}
		synctest.Wait()
		if got := s.run.Status().Requests; got != 0 {
			t.Errorf("%d requests are under way", got)
		}
	})
}

// A reply that nobody reads holds the smallest buffer, for two of a
// connection's ranges, and none of what is read ahead for others.
func TestHostileRepliesNeverRead(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, w *world) {
		const conns = 4
		data := file(16*chunk, 1)
		s := w.ready(data, serve.Config{})
		ask := rangeOf(checksum(data), 0, 16*chunk)
		var streams []transport.Stream
		for range conns {
			conn := w.attack(s.targets[0], 1, 64<<10)
			for range w.mostStreams() {
				streams = append(streams, send(t, conn, ask))
			}
		}
		time.Sleep(5 * bufferSpan)
		// The sum of three: the charge of each request and its span,
		// the client's window with the two packets on their way to it,
		// and the free share.
		const request, window, packet, free = 10<<10 + 48, 64 << 10, 1452, 48 << 10
		most := int64(conns * (transport.DefaultMaxStreams*request + window*4/3 + 2*packet + rangeSlots*admission.LeastBuffer - free))
		if got := s.run.Status().Load.Held; got > most {
			t.Errorf("%d bytes are held for replies that nobody reads, want at most %d", got, most)
		}
		s.honest(data)
		// They have their turns, two at a time.
		time.Sleep((transport.DefaultMaxStreams/rangeSlots + 1) * (serve.DefaultStallTimeout + 5*bufferSpan))
		synctest.Wait()
		if got := s.run.Status().Requests; got != 0 {
			t.Fatalf("%d replies are under way", got)
		}
		if !w.tcp.only { // there nobody hears why who does not read
			wantReset(t, streams[0], wire.StreamStalled, 0)
		}
		read := s.src.sent() - int64(len(data))
		if most := int64(conns * transport.DefaultMaxStreams * 2 * (64 << 10)); read > most {
			t.Errorf("%d bytes were read for them, want at most %d", read, most)
		}
	})
}

// A client that reads a byte now and then costs what it reads.
func TestHostileRepliesReadByTheByte(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, w *world) {
		data := file(16*chunk, 1)
		s := w.ready(data, serve.Config{})
		conn := w.attack(s.targets[0], 1, 64<<10)
		st := send(t, conn, rangeOf(checksum(data), 0, 16*chunk))
		taken, piece := 0, make([]byte, 1<<10)
		for range 600 {
			n, err := io.ReadFull(st, piece)
			if err != nil {
				t.Fatal(err)
			}
			taken += n
			time.Sleep(time.Second)
		}
		read := s.src.sent()
		t.Logf("%d bytes were read from the file, and %d were taken", read, taken)
		if most := int64(2 * taken); read > most {
			t.Errorf("%d bytes were read from the file, and %d were taken, want at most twice as many", read, taken)
		}
		s.honest(data)
	})
}

// A connection with thousands of streams has a bounded number of requests under
// way, and is closed when it has wasted its budget.
func TestHostileThousandsOfStreams(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(8*chunk, 1)
		s := w.ready(data, serve.Config{})
		conn := w.attack(s.targets[0], 1, 0)
		var wg sync.WaitGroup
		for range 3000 {
			wg.Go(func() { hostile.Send(t.Context(), conn, []byte{1}) })
		}
		time.Sleep(time.Second)
		if got := s.run.Status().Requests; got != transport.DefaultMaxStreams {
			t.Errorf("%d requests are under way, want %d", got, transport.DefaultMaxStreams)
		}
		s.honest(data)
		if got := s.run.Status().Requests; got > transport.DefaultMaxStreams {
			t.Errorf("%d requests are under way, want at most %d", got, transport.DefaultMaxStreams)
		}
		// No request of these is ever whole.
		time.Sleep(serve.DefaultRequestTimeout * (admission.DefaultWasted/transport.DefaultMaxStreams + 2))
		wantClosed(t, conn, wire.CloseLimit)
		wg.Wait()
	})
}

// A client that gives each request up at once is cut off when its budget of
// wasted requests is used up.
func TestHostileRapidResets(t *testing.T) {
	t.Parallel()
	for _, reset := range hostile.RapidResets {
		t.Run(reset.Name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				data := file(16*chunk, 1)
				s := w.ready(data, serve.Config{})
				conn := w.attack(s.targets[0], 1, 0)
				ask := rangeOf(checksum(data), 0, 16*chunk)
				io.ReadAll(send(t, conn, rangeOf(checksum(data), 0, 1))) // opens it
				made := 0
				for ; made < 5000; made++ {
					st, err := conn.OpenStream(t.Context(), transport.Patient)
					if err != nil {
						break
					}
					reset.Do(st, ask)
					if got := s.run.Status().Requests; got > transport.DefaultMaxStreams {
						t.Fatalf("%d requests are under way", got)
					}
				}
				wantClosed(t, conn, wire.CloseLimit)
				if most := admission.DefaultWasted + 2*transport.DefaultMaxStreams + 2; made > most || made <= admission.DefaultWasted {
					t.Errorf("the connection was closed after %d, want %d to %d", made, admission.DefaultWasted, most)
				}
				read := s.src.sent()
				t.Logf("%d requests, for which %d bytes of the file were read", made, read)
				s.honest(data)
			})
		})
	}
}

// heldUp is a source on a disk that does not answer.
type heldUp struct {
	*heldFile
	ready   chan struct{} // closed when the file is hashed
	waiting chan struct{} // receives for each call that is held up
}

func (h *heldUp) Open() (localfile.File, error) { return h, nil }

func (h *heldUp) Stat() (fs.FileInfo, error) {
	select {
	case <-h.ready:
		h.waiting <- struct{}{}
		<-h.released
	default:
	}
	return h.heldFile.Stat()
}

// While the work for a stream goes on, its client gets no other stream for it,
// even if it has given that one up. Ranges wait for their turn at the disk, and
// not after they were given up.
func TestHostileRapidResetsOnAStalledDisk(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(2*chunk, 1)
		h := &heldUp{heldFile: newSource(data), ready: make(chan struct{}), waiting: make(chan struct{}, 1000)}
		s := w.ready(data, serve.Config{Source: h})
		defer h.release()
		conn := w.attack(s.targets[0], 1, 0)
		io.ReadAll(send(t, conn, request(wire.StatRequest{}))) // opens it
		close(h.ready)
		var wg sync.WaitGroup
		storm := func(n int, ask []byte, patience time.Duration, want int) {
			for range n {
				wg.Go(func() {
					if st, err := hostile.Send(t.Context(), conn, ask); err == nil {
						st.CloseWrite()
						time.Sleep(patience)
						st.CancelRead(uint64(wire.StreamCancelled), transport.LeftUnknown)
					}
				})
			}
			time.Sleep(20 * time.Second)
			if got := len(h.waiting); got != want {
				t.Errorf("%d requests wait for the disk, want %d", got, want)
			}
		}
		storm(100, rangeOf(checksum(data), 0, 1), time.Second, rangeSlots)
		storm(1000, request(wire.ValuesRequest{Checksum: checksum(data), Count: 1}), 0, transport.DefaultMaxStreams)
		conn.Close(0, "")
		wg.Wait()
		h.release()
	})
}

// Stats of one connection are answered until its budget of wasted requests is
// used up.
func TestHostileStats(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, w *world) {
		data := file(8*chunk, 1)
		s := w.ready(data, serve.Config{})
		conn := w.attack(s.targets[0], 1, 0)
		n := 0
		for ; n < 2000; n++ {
			st, err := hostile.Send(t.Context(), conn, request(wire.StatRequest{Values: true}))
			if err != nil {
				break
			}
			st.CloseWrite()
			if _, err := io.ReadAll(st); err != nil {
				break
			}
		}
		// The last offer may leave before the connection is closed for
		// it.
		if n != admission.DefaultWasted && n != admission.DefaultWasted+1 {
			t.Errorf("%d stats were answered, want %d", n, admission.DefaultWasted)
		}
		wantClosed(t, conn, wire.CloseLimit)
		s.honest(data)
	})
}

// While the file is hashed, one stat of a connection waits, up to the indexing
// timeout. The others are told to come back.
func TestHostileStatsWhileIndexing(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		src := newSource(file(2*chunk, 1))
		src.indexing = func() error { src.block(); return nil }
		s := w.serve(src, 0, 1, serve.Config{Limits: serve.Limits{IndexingTimeout: time.Minute}})
		conn := w.attack(s.targets[0], 1, 0)
		began := time.Now()
		var streams []transport.Stream
		for range transport.DefaultMaxStreams {
			streams = append(streams, send(t, conn, request(wire.StatRequest{})))
		}
		var waited, busy int
		for _, st := range streams {
			h, err := wire.ReadHeader(st)
			for err == nil && h.Status == wire.StatusIndexing {
				waited++
				io.CopyN(io.Discard, st, int64(h.Length))
				h, err = wire.ReadHeader(st)
			}
			if err == nil {
				err = wire.ReadRefusal(st, h)
			}
			if refusal, ok := errors.AsType[*wire.Refusal](err); !ok || refusal.Status != wire.StatusBusy || refusal.Wait == 0 {
				t.Errorf("reply = %v, want that it is busy for some time", err)
			}
			busy++
		}
		if most := int(time.Minute/frameSpan) + 1; busy != len(streams) || waited > most {
			t.Errorf("%d busy, and %d words of indexing, want %d and at most %d", busy, waited, len(streams), most)
		}
		if took := time.Since(began); took < time.Minute || took > time.Minute+time.Second {
			t.Errorf("a stat waited for %v, want a minute", took)
		}
	})
}

// A panic of ours ends the connection that ran into it, and no other.
func TestHostilePanics(t *testing.T) {
	overBoth(t, func(t *testing.T, w *world) {
		data := file(8*chunk, 1)
		s := w.ready(data, serve.Config{})
		const trap = 12345
		s.src.onRange(func(p []byte, off int64) error {
			if off == trap {
				panic("a fault\x1b[31m" + strings.Repeat("!", 1000))
			}
			return nil
		})
		const panics = 3
		for range panics {
			conn := w.attack(s.targets[0], 1, 0)
			st := send(t, conn, rangeOf(checksum(data), trap, 1))
			time.Sleep(time.Second)
			io.ReadAll(st) // over TCP who reads learns of the end
			wantClosed(t, conn, wire.CloseInternal)
		}
		s.honest(data)
		told := serveEvents[serve.Panicked](s)
		if len(told) != panics || told[panics-1].Count != panics {
			t.Fatalf("%d were told, want %d: %+v", len(told), panics, told)
		}
		if v := told[0].Value; !strings.HasPrefix(v, `"a fault\x1b[31m`) || len(v) > 100 {
			t.Errorf("value = %s, want it quoted and short", v)
		}
		if !strings.Contains(told[0].Client.String(), "10.66.0.1:") || len(told[0].Stack) == 0 {
			t.Errorf("client %v, stack of %d bytes", told[0].Client, len(told[0].Stack))
		}
		if n := s.run.Status().Panics; n != panics {
			t.Errorf("%d are counted", n)
		}
		synctest.Wait()
		if got := s.run.Status().Requests; got != 0 {
			t.Errorf("%d requests are under way behind them", got)
		}
	})
}

// An address gets one share of a limited rate, however many connections and
// streams it has.
func TestHostileShareOfALimitedRate(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	for _, test := range []struct{ addresses, conns int }{{1, 1}, {1, 2}, {1, 8}, {3, 2}} {
		t.Run(fmt.Sprintf("%d addresses, %d connections of each", test.addresses, test.conns), func(t *testing.T) {
			overEither(t, func(t *testing.T, w *world) {
				const rate = 512 << 10
				data := file(16*chunk, 1)
				s := w.ready(data, serve.Config{Limit: rate})
				ask := rangeOf(checksum(data), 0, 16*chunk)
				for host := range test.addresses {
					for range test.conns {
						conn := w.attack(s.targets[0], byte(1+host), 0)
						for range min(100/test.conns, w.mostStreams()) {
							st, err := conn.OpenStream(t.Context(), transport.Patient)
							if err != nil {
								t.Fatal(err)
							}
							st.Write(ask)
							st.CloseWrite()
							go io.Copy(io.Discard, st)
						}
					}
				}
				time.Sleep(time.Second) // they are under way
				begun := time.Now()
				o := w.get(getConfig{Targets: s.targets, Connections: 1})
				o.has("data.bin", data)
				share := float64(o.Size) / time.Since(begun).Seconds() / rate
				want := 1 / float64(1+test.addresses)
				t.Logf("the honest client got %.3f of the rate, an even share is %.3f", share, want)
				if share < 0.9*want {
					t.Errorf("the honest client got %.3f of the rate, want %.3f", share, want)
				}
			})
		})
	}
}
