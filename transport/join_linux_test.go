package transport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A fakeSender replaces the calls of a joiner's socket. While it is slow, each
// write waits for release.
type fakeSender struct {
	slow   bool
	turn   chan struct{}
	closed chan struct{}

	mu      sync.Mutex
	waiting int
	results []error // of the next writes; then nil
	sent    []datagram
}

// A datagram is one write. The first byte of its control messages is the size
// of its packets in hundreds of bytes; without a byte, or 0, it is a single
// packet.
type datagram struct {
	b, oob []byte
	to     *net.UDPAddr
}

func fakeSegment(oob []byte) (size, begin, end int) {
	if len(oob) == 0 || oob[0] == 0 {
		return 0, 0, 0
	}
	return int(oob[0]) * 100, 0, 1
}

func newFakeSender(slow bool) (*fakeSender, *joiner) {
	s := &fakeSender{slow: slow, turn: make(chan struct{}), closed: make(chan struct{})}
	return s, makeJoiner(s.write, fakeSegment)
}

func (s *fakeSender) write(b, oob []byte, to *net.UDPAddr) (int, int, error) {
	s.mu.Lock()
	s.waiting++
	s.mu.Unlock()
	if s.slow {
		select {
		case <-s.turn:
		case <-s.closed:
			time.Sleep(time.Second) // outside of the lock
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting--
	select {
	case <-s.closed:
		return 0, 0, net.ErrClosed
	default:
	}
	if len(s.results) > 0 {
		err := s.results[0]
		s.results = s.results[1:]
		if err != nil {
			return 0, 0, err
		}
	}
	s.sent = append(s.sent, datagram{slices.Clone(b), slices.Clone(oob), to})
	return len(b), len(oob), nil
}

func (s *fakeSender) close() error { close(s.closed); return nil }

// release lets one write through, if one waits, and says whether it did.
func (s *fakeSender) release() bool {
	synctest.Wait()
	s.mu.Lock()
	waiting := s.waiting
	s.mu.Unlock()
	if waiting == 0 {
		return false
	}
	s.turn <- struct{}{}
	synctest.Wait()
	return true
}

// start begins a write and waits until it has returned or waits. The returned
// function says whether it has, and its error.
func (s *fakeSender) start(j *joiner, d datagram) func() (bool, error) {
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		var n, oobn int
		if n, oobn, err = j.writeMsg(d.b, d.oob, d.to); err == nil && (n != len(d.b) || oobn != len(d.oob)) {
			err = fmt.Errorf("wrote %d and %d bytes of %d and %d", n, oobn, len(d.b), len(d.oob))
		}
	}()
	synctest.Wait()
	return func() (bool, error) {
		select {
		case <-done:
			return true, err
		default:
			return false, nil
		}
	}
}

// finish has a write return and lets other writes through only if it waits.
func (s *fakeSender) finish(t *testing.T, j *joiner, d datagram) error {
	t.Helper()
	for ended := s.start(j, d); ; {
		if done, err := ended(); done {
			return err
		}
		if !s.release() {
			t.Fatal("a write waits for nothing")
		}
	}
}

var (
	remoteA = &net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1}
	remoteB = &net.UDPAddr{IP: net.ParseIP("2001:db8::1"), Port: 2}
)

// burst is one of n packets of size bytes and one of rest bytes.
func burst(n, size, rest int, more ...byte) datagram {
	return datagram{packets(n, size, rest), append([]byte{byte(size / 100)}, more...), remoteA}
}

func single(size int) datagram { return datagram{packets(1, size, 0), []byte{0, 2}, remoteA} }

// The kernel is slow: it has one run at a time, and takes the next only when
// the writer waits. sizes are the bytes of each call.
func TestJoin(t *testing.T) {
	t.Parallel()
	full := burst(14, 1400, 0)
	for _, tt := range []struct {
		name  string
		write []datagram
		sizes []int
	}{
		{"one burst", []datagram{full}, []int{19600}},
		{"up to 64 KiB", slices.Repeat([]datagram{full}, 6), []int{19600, 3 * 19600, 2 * 19600}},
		{"up to 64 packets", slices.Repeat([]datagram{burst(16, 100, 0)}, 7), []int{1600, 6400, 3200}},
		{"a packet too many", []datagram{full, burst(16, 100, 0), burst(16, 100, 0), burst(33, 100, 0)}, []int{19600, 3200, 3300}},
		{"a short packet ends a run", []datagram{full, burst(13, 1400, 1), full, full}, []int{19600, 13*1400 + 1, 2 * 19600}},
		{"a short packet is added", []datagram{full, full, burst(13, 1400, 1)}, []int{19600, 19600 + 13*1400 + 1}},
		{"a short packet alone", []datagram{burst(0, 1400, 9)}, []int{9}},
		{"another size", []datagram{full, full, burst(14, 1300, 0), full}, []int{19600, 19600, 14 * 1300, 19600}},
		{"another mark of ECN", []datagram{full, full, burst(14, 1400, 0, 1), burst(14, 1400, 0, 2)}, []int{19600, 19600, 19600, 19600}},
		{"a single packet waits", []datagram{full, full, full, single(50), full}, []int{19600, 2 * 19600, 50, 19600}},
		{"a single packet", []datagram{single(50), single(60)}, []int{50, 60}},
		{"longer than a run", []datagram{full, full, burst(50, 1400, 0), full}, []int{19600, 19600, 50 * 1400, 19600}},
		{"more packets than a run has", []datagram{full, burst(65, 100, 0), full}, []int{19600, 6500, 19600}},
		{"empty", []datagram{{nil, []byte{14}, remoteA}, {nil, nil, remoteA}}, []int{0, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, j := newFakeSender(true)
				for i, d := range tt.write {
					if err := s.finish(t, j, d); err != nil {
						t.Errorf("write %d: %v", i, err)
					}
				}
				for s.release() {
				}
				var sizes []int
				var got, want []byte
				for _, d := range s.sent {
					sizes, got = append(sizes, len(d.b)), append(got, d.b...)
				}
				for _, d := range tt.write {
					want = append(want, d.b...)
				}
				if !slices.Equal(sizes, tt.sizes) {
					t.Errorf("runs of %d bytes, want %d", sizes, tt.sizes)
				}
				if !slices.Equal(got, want) {
					t.Error("what was sent is not what was written, in that order")
				}
				wantNothingLeft(t, j)
			})
		})
	}
}

func wantNothingLeft(t *testing.T, j *joiner) {
	t.Helper()
	synctest.Wait()
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.remotes) != 0 || len(j.turns) != 0 || j.busy {
		t.Errorf("%d remotes and %d runs are left, a goroutine sends: %v", len(j.remotes), len(j.turns), j.busy)
	}
}

// The control messages of a run are those of its bursts, though quic-go uses
// their memory again.
func TestJoinKeepsMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, j := newFakeSender(true)
		d := burst(14, 1400, 0, 1)
		for _, mark := range []byte{1, 1, 2, 2, 3} {
			d.oob[1] = mark
			if err := s.finish(t, j, d); err != nil {
				t.Fatal(err)
			}
			d.oob[1] = 99
		}
		for s.release() {
		}
		var got []byte
		for _, d := range s.sent {
			got = append(got, d.oob...)
		}
		// The first burst is with the kernel when the second comes.
		if want := []byte{14, 1, 14, 1, 14, 2, 14, 3}; !slices.Equal(got, want) {
			t.Errorf("control messages %v, want %v", got, want)
		}
	})
}

// A full run holds up its writer, and nobody else.
func TestJoinWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, j := newFakeSender(true)
		full := burst(14, 1400, 0)
		for range 4 {
			if done, err := s.start(j, full)(); !done || err != nil {
				t.Fatalf("a burst with room for it: %v, %v", done, err)
			}
		}
		fifth, ack := s.start(j, full), s.start(j, single(50))
		other := full
		other.to = remoteB
		if done, err := s.start(j, other)(); !done || err != nil {
			t.Errorf("a burst to another remote: %v, %v", done, err)
		}
		ackB := s.start(j, datagram{packets(1, 60, 0), nil, &net.UDPAddr{IP: net.IPv4(10, 0, 0, 3), Port: 3}})
		s.mu.Lock()
		if s.waiting != 2 {
			t.Errorf("%d writes in the kernel, want the first run and the other remote's packet", s.waiting)
		}
		s.mu.Unlock()
		for _, ended := range []func() (bool, error){fifth, ack} {
			if done, _ := ended(); done {
				t.Error("a write did not wait for its turn")
			}
		}
		for s.release() {
			acked, _ := ack()
			if blocked, _ := fifth(); acked && !blocked {
				t.Error("a burst waits longer than for its turn")
			}
		}
		for _, ended := range []func() (bool, error){fifth, ack, ackB} {
			if done, err := ended(); !done || err != nil {
				t.Errorf("ended %v, %v", done, err)
			}
		}
		// The runs take turns: A's first, A's second, B's, A's third.
		var runs []*net.UDPAddr
		for _, d := range s.sent {
			if len(d.b) > 100 {
				runs = append(runs, d.to)
			}
		}
		if want := []*net.UDPAddr{remoteA, remoteA, remoteB, remoteA}; !slices.Equal(runs, want) {
			t.Errorf("runs to %v, want %v", runs, want)
		}
		wantNothingLeft(t, j)
	})
}

// Without GSO nothing is lost: the packets of the run go out one by one, and
// quic-go is told with the next burst.
func TestJoinWithoutGSO(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, j := newFakeSender(true)
		s.results = []error{nil, sysErr("sendmsg", errnoTooLarge[1])}
		full := burst(14, 1400, 0, 2)
		for range 3 {
			if err := s.finish(t, j, full); err != nil {
				t.Fatal(err)
			}
		}
		for s.release() {
		}
		if len(s.sent) != 1+28 {
			t.Fatalf("%d writes, want a run and 28 packets", len(s.sent))
		}
		for i, d := range s.sent[1:] {
			if !slices.Equal(d.b, full.b[i%14*1400:][:1400]) || !slices.Equal(d.oob, []byte{2}) || d.to != remoteA {
				t.Errorf("packet %d: %d bytes, %v, to %v", i, len(d.b), d.oob, d.to)
			}
		}
		// quic-go would send a single packet without end after EIO.
		if err := s.finish(t, j, single(50)); err != nil {
			t.Errorf("a single packet: %v", err)
		}
		if err := s.finish(t, j, full); !isErrno(err, errnoNoGSO) {
			t.Errorf("the next burst: %v, want that GSO is missing", err)
		}
		if got := len(s.sent); got != 1+28+1 {
			t.Errorf("%d writes: the burst that failed was sent", got)
		}
		if err := s.finish(t, j, full); err != nil {
			t.Errorf("a burst after that: %v", err)
		}
		for s.release() {
		}
		wantNothingLeft(t, j)
	})
}

// Errors of runs that are for nobody, and those that the next burst learns.
func TestJoinErrors(t *testing.T) {
	t.Parallel()
	full := burst(14, 1400, 0)
	for _, tt := range []struct {
		name   string
		run    error   // of the run
		single []error // of its packets
		sent   int     // writes that do not fail, of a run and the burst behind it
		next   error   // of that burst
	}{
		{"too large", sysErr("sendmsg", errnoTooLarge[0]), nil, 1, nil},
		{"no route", sysErr("sendmsg", errnoUnreachable[0]), nil, 1, nil},
		{"no memory", sysErr("sendmsg", syscall.ENOBUFS), nil, 14 + 1, nil},
		{"no memory at all", sysErr("sendmsg", syscall.ENOMEM), []error{syscall.ENOMEM, syscall.EIO, syscall.EMSGSIZE}, 11 + 1, nil},
		{"deadline", os.ErrDeadlineExceeded, nil, 0, os.ErrDeadlineExceeded},
		{"deadline between packets", syscall.ENOBUFS, []error{nil, os.ErrDeadlineExceeded}, 1, os.ErrDeadlineExceeded},
		{"without gso", syscall.EIO, []error{nil, nil, syscall.ENOBUFS}, 13, syscall.EIO},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, j := newFakeSender(false)
				s.results = append([]error{tt.run}, tt.single...)
				if err := s.finish(t, j, full); err != nil {
					t.Errorf("the burst: %v", err)
				}
				other := full
				other.to = remoteB
				if err := s.finish(t, j, full); !errors.Is(err, tt.next) {
					t.Errorf("the next burst: %v, want %v", err, tt.next)
				}
				if err := s.finish(t, j, other); err != nil {
					t.Errorf("a burst to another remote: %v", err)
				}
				synctest.Wait()
				if got := len(s.sent) - 1; got != tt.sent {
					t.Errorf("%d writes, want %d", got, tt.sent)
				}
			})
		})
	}
	t.Run("a probe of the path's MTU", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, j := newFakeSender(true)
			c := &listenUDPConn{writeMsg: j.writeMsg}
			s.finish(t, j, full)
			s.results = []error{nil, syscall.EMSGSIZE}
			var err error
			go func() { _, _, err = c.WriteMsgUDP(packets(1, 1450, 0), nil, remoteA) }()
			for s.release() {
			}
			if !errors.Is(err, syscall.EMSGSIZE) {
				t.Errorf("a probe that is too large: %v", err)
			}
		})
	})
}

// However many remotes there are, runs and errors are bounded, and nothing is
// left of a remote that has nothing to send.
func TestJoinForgets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, j := newFakeSender(true)
		remote := func(i int) *net.UDPAddr { return &net.UDPAddr{IP: net.IPv4(10, 1, byte(i>>8), byte(i)), Port: 9} }
		const remotes = 1000
		var ended []func() (bool, error)
		for i := range remotes {
			d := burst(14, 1400, 0)
			d.to = remote(i)
			ended = append(ended, s.start(j, d))
		}
		if len(j.turns) != maxRuns || len(j.remotes) > maxRuns+1 {
			t.Errorf("%d runs of %d remotes, want %d", len(j.turns), len(j.remotes), maxRuns)
		}
		for s.release() {
		}
		for i, ended := range ended {
			if done, err := ended(); !done || err != nil {
				t.Fatalf("remote %d: %v, %v", i, done, err)
			}
		}
		if len(s.sent) != remotes {
			t.Errorf("%d sent, want %d", len(s.sent), remotes)
		}
		wantNothingLeft(t, j)

		s.slow = false
		for i := range remotes {
			s.results = []error{os.ErrDeadlineExceeded}
			d := burst(14, 1400, 0)
			d.to = remote(i)
			s.finish(t, j, d)
			synctest.Wait()
		}
		if len(j.errors) > maxRunErrors {
			t.Errorf("%d errors are kept, want at most %d", len(j.errors), maxRunErrors)
		}
		for i := range 100_000 { // as retries and resets to spoofed addresses
			j.writeMsg([]byte{1}, nil, remote(i))
		}
		wantNothingLeft(t, j)
	})
}

func TestJoinClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, j := newFakeSender(true)
		full := burst(14, 1400, 0)
		var ended []func() (bool, error)
		for range 6 {
			ended = append(ended, s.start(j, full))
		}
		ended = append(ended, s.start(j, single(50)))
		if done, _ := ended[5](); done {
			t.Error("the last burst did not wait")
		}
		if err := j.close(s.close); err != nil {
			t.Error(err)
		}
		j.mu.Lock()
		if j.busy {
			t.Error("close returns while a goroutine sends")
		}
		j.mu.Unlock()
		time.Sleep(time.Minute) // of the writes that fail
		wantNothingLeft(t, j)
		for i, ended := range ended {
			// The first four were taken into runs.
			if done, err := ended(); !done || (err != nil) != (i > 3) {
				t.Errorf("write %d ended: %v, with %v", i, done, err)
			}
		}
		for range 2 { // the error of a run, and its own
			if _, _, err := j.writeMsg(full.b, full.oob, full.to); !errors.Is(err, net.ErrClosed) {
				t.Errorf("a burst on a closed socket: %v", err)
			}
		}
		if len(s.sent) != 0 {
			t.Errorf("%d runs were sent", len(s.sent))
		}
	})
}

// Many write at the same time to few remotes; what one sends to one remote
// arrives in its order.
func TestJoinAtTheSameTime(t *testing.T) {
	t.Parallel()
	s, j := newFakeSender(false)
	const writers, writes = 20, 300
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(w)))
			to := &net.UDPAddr{IP: net.IPv4(10, 0, 0, byte(w%7)), Port: 1}
			for i := range writes {
				d := datagram{slices.Repeat([]byte{byte(w), byte(i >> 8), byte(i)}, 100*(1+random.IntN(3))), nil, to}
				if random.IntN(4) > 0 {
					d.oob = []byte{3}
				}
				if _, _, err := j.writeMsg(d.b, d.oob, d.to); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := j.close(func() error { return nil }); err != nil {
		t.Error(err)
	}
	var next [writers]int
	for _, d := range s.sent {
		for p := range slices.Chunk(d.b, 3) {
			w, i := p[0], int(p[1])<<8|int(p[2])
			if i < next[w] || i > next[w]+1 || d.to.IP[15] != w%7 {
				t.Fatalf("writer %d: number %d after %d, to %v", w, i, next[w], d.to)
			}
			next[w] = i
		}
	}
	for w, i := range next {
		if i != writes-1 {
			t.Errorf("writer %d: the last number is %d, want %d", w, i, writes-1)
		}
	}
}
