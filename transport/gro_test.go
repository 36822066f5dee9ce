package transport

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/ipv4"
)

// A run is what one read of a fake socket returns.
type run struct {
	data []byte
	size int // of its packets; 0: the kernel says none
	from netip.AddrPort
}

// fakeGRO returns a reader that returns these runs, then an error. The size of
// the packets is the first byte of the control messages, in hundreds of bytes.
func fakeGRO(runs ...run) *groReader {
	return newGROReader(func(b, oob []byte) (int, int, netip.AddrPort, error) {
		if len(runs) == 0 {
			return 0, 0, netip.AddrPort{}, errFake
		}
		r := runs[0]
		runs = runs[1:]
		return copy(b, r.data), copy(oob, []byte{byte(r.size / 100), 7, 8}), r.from, nil
	}, func(oob []byte) (int, []byte) { return int(oob[0]) * 100, oob[1:] })
}

var errFake = errors.New("no more runs")

// batch returns n messages as quic-go hands them to ReadBatch.
func batch(n int) []ipv4.Message {
	ms := make([]ipv4.Message, n)
	for i := range ms {
		ms[i] = ipv4.Message{Buffers: [][]byte{make([]byte, 1452)}, OOB: make([]byte, 128), N: -1, NN: -1}
	}
	return ms
}

// packets returns n packets of size bytes and one of rest bytes as one slice,
// each filled with its number.
func packets(n, size, rest int) (b []byte) {
	for i := range n {
		b = append(b, bytes.Repeat([]byte{byte(i)}, size)...)
	}
	return append(b, bytes.Repeat([]byte{byte(n)}, rest)...)
}

func TestGROSplit(t *testing.T) {
	a, b := netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("[2001:db8::1]:2")
	g := fakeGRO(
		run{packets(1, 1200, 0), 0, a},       // alone
		run{packets(9, 1400, 100), 1400, a},  // more than a batch, with a short last one
		run{nil, 0, a},                       // an empty datagram
		run{packets(7, 9000, 0), 9000, a},    // longer than quic-go's buffers
		run{packets(3, 100, 1), 100, b},      // of another size, from another address
		run{packets(1, 9000, 300), 9000, a},  // dropped, but for the last
		run{packets(45, 1400, 700), 1400, a}, // nearly 64 KiB
	)
	var got []int
	for {
		ms := batch(8)
		n, err := g.readBatch(ms, 0)
		if err != nil {
			if !errors.Is(err, errFake) || n != 0 {
				t.Fatalf("%d packets with the error %v", n, err)
			}
			break
		}
		if n == 0 {
			t.Fatal("an empty batch")
		}
		for _, m := range ms[:n] {
			p := m.Buffers[0][:m.N]
			if m.N == 0 || slices.Max(p) != slices.Min(p) {
				t.Fatalf("a packet of %d bytes is not whole", m.N)
			}
			if want := []byte{7, 8}; !bytes.Equal(m.OOB[:m.NN], want) {
				t.Errorf("control messages %v, want %v", m.OOB[:m.NN], want)
			}
			want := a
			if m.N == 100 && len(got) > 10 || m.N == 1 {
				want = b
			}
			if m.Addr.String() != want.String() {
				t.Errorf("a packet of %d bytes from %v, want %v", m.N, m.Addr, want)
			}
			got = append(got, m.N)
		}
	}
	want := slices.Concat([]int{1200}, slices.Repeat([]int{1400}, 9), []int{100, 100, 100, 100, 1, 300},
		slices.Repeat([]int{1400}, 45), []int{700})
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if n := g.oversize.Load(); n != 8 {
		t.Errorf("%d packets too long, want 8", n)
	}
	if n, p := g.runs.Load(), g.packets.Load(); n != 7 || int(p) != len(want) {
		t.Errorf("%d runs of %d packets, want 7 of %d", n, p, len(want))
	}
}

// The kernel may give any size for a packet.
func TestGROSizes(t *testing.T) {
	for _, size := range []int{-1, 0, 1 << 30} {
		g := newGROReader(func(b, _ []byte) (int, int, netip.AddrPort, error) {
			return 700, 0, netip.AddrPort{}, nil
		}, func(oob []byte) (int, []byte) { return size, nil })
		ms := batch(8)
		if n, err := g.readBatch(ms, 0); n != 1 || err != nil || ms[0].N != 700 || ms[0].NN != 0 {
			t.Errorf("size %d: %d packets, %v, the first of %d bytes; want one of 700", size, n, err, ms[0].N)
		}
	}
}

func endlessGRO() *groReader {
	data := packets(44, 1452, 100)
	return newGROReader(func(b, oob []byte) (int, int, netip.AddrPort, error) {
		return copy(b, data), 2, netip.MustParseAddrPort("10.0.0.1:1"), nil
	}, func(oob []byte) (int, []byte) { return 1452, oob })
}

func TestGROAllocations(t *testing.T) {
	g, ms := endlessGRO(), batch(8)
	if n := testing.AllocsPerRun(1000, func() { g.readBatch(ms, 0) }); n > 0 {
		t.Errorf("%v allocations a batch, want none", n)
	}
}

func BenchmarkGROSplit(b *testing.B) {
	g, ms := endlessGRO(), batch(8)
	b.ReportAllocs()
	bytes := int64(0)
	for b.Loop() {
		n, _ := g.readBatch(ms, 0)
		for _, m := range ms[:n] {
			bytes += int64(m.N)
		}
	}
	b.SetBytes(bytes / int64(b.N))
}

func TestPressure(t *testing.T) {
	for _, tt := range []struct {
		name  string
		ahead int
		every time.Duration // between two processed packets; 0: none is processed
		want  time.Duration
	}{
		{"not ahead", maxAhead, 0, 0},
		{"ahead", maxAhead + 10, time.Millisecond, 10 * time.Millisecond},
		{"standing still", maxAhead + 1, 0, aheadPatience},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := pressure{pause: time.Sleep}
				p.handed(10_000)
				p.wait() // nothing is known yet
				start := time.Now()
				p.follow(func() uint64 {
					if tt.every == 0 {
						return 1000
					}
					return 1000 + uint64(time.Since(start)/tt.every)
				})
				p.delivered = 1000 + uint64(tt.ahead)
				p.wait()
				if got := time.Since(start); got < tt.want || got > tt.want+aheadPause {
					t.Errorf("waited %v, want %v", got, tt.want)
				}
				p.wait()
				if got := time.Since(start); got > tt.want+aheadPause {
					t.Errorf("waited again, until %v", got)
				}
			})
		})
	}
}
