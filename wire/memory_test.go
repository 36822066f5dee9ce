package wire

import (
	"bytes"
	"io"
	"math"
	"runtime"
	"testing"

	"github.com/quic-go/quic-go/quicvarint"
)

// maxForSilence bounds what a peer may make malcolm allocate by an announcement
// alone, in bytes.
const maxForSilence = 128 << 10

const fourGiB = 4 << 30

// A claim is bytes that announce a body which never comes.
type claim struct {
	name string
	sent []byte
	read func(r io.Reader) error
}

func claims() []claim {
	request := func(typ, n uint64) []byte { return quicvarint.Append(quicvarint.Append(nil, typ), n) }
	readRequest := func(r io.Reader) error { _, err := ReadRequest(r); return err }
	readRefusal := func(r io.Reader) error { _, err := readRefusalFrame(r); return err }
	readOffer := func(n uint64) func(io.Reader) error {
		return func(r io.Reader) error { _, err := ReadOffer(r, Header{Length: n}); return err }
	}
	readValues := func(n uint64, want int) func(io.Reader) error {
		return func(r io.Reader) error { _, err := ReadValues(r, Header{Length: n}, want); return err }
	}
	largest := ValuesLen(MaxChunks)
	return []claim{
		{"request of 4 GiB", request(typeHello, fourGiB), readRequest},
		{"request of the maximum", request(typeHello, MaxRequestLen), readRequest},
		{"unknown request of 4 GiB", request(9, fourGiB), readRequest},
		{"unknown request of the maximum", request(9, MaxRequestLen), readRequest},
		{"refusal of 4 GiB", request(uint64(StatusBusy), fourGiB), readRefusal},
		{"refusal of the maximum", request(uint64(StatusBusy), MaxTextLen), readRefusal},
		{"offer of 4 GiB", nil, readOffer(fourGiB)},
		{"offer of the maximum", nil, readOffer(MaxOfferLen)},
		{"values of 4 GiB", nil, readValues(fourGiB, largest)},
		{"values of the maximum", nil, readValues(uint64(largest), largest)},
		{"values of 2 GiB that are wanted", nil, readValues(math.MaxInt32, math.MaxInt32)},
	}
}

// allocated returns the bytes that f makes the whole process allocate. No test
// of this package runs in parallel with another.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestSilenceCostsNothing(t *testing.T) {
	for _, tt := range claims() {
		t.Run(tt.name, func(t *testing.T) {
			var err error
			r := bytes.NewReader(tt.sent)
			got := allocated(func() { err = tt.read(r) })
			if err != io.ErrUnexpectedEOF && !isMalformed(err) {
				t.Errorf("got %v, want an end or a *MalformedError", err)
			}
			if got > maxForSilence {
				t.Errorf("allocated %d bytes, want at most %d", got, maxForSilence)
			}
		})
	}
}

// A silentReader gives what it has and then blocks until it is released.
type silentReader struct {
	r       bytes.Reader
	silent  chan struct{} // receives once the reader has nothing left
	release chan struct{} // closed by the test
}

func (s *silentReader) Read(p []byte) (int, error) {
	if s.r.Len() > 0 {
		return s.r.Read(p)
	}
	s.silent <- struct{}{}
	<-s.release
	return 0, io.EOF
}

// TestSilenceHoldsNothing measures while the peer is silent and its stream
// open, not afterwards.
func TestSilenceHoldsNothing(t *testing.T) {
	for _, tt := range claims() {
		t.Run(tt.name, func(t *testing.T) {
			r := &silentReader{r: *bytes.NewReader(tt.sent), silent: make(chan struct{}), release: make(chan struct{})}
			result := make(chan error)
			var err error
			got := allocated(func() {
				go func() { result <- tt.read(r) }()
				select {
				case <-r.silent:
				case err = <-result: // refused before it had to wait
				}
			})
			close(r.release)
			if err == nil {
				err = <-result
			}
			if err != io.ErrUnexpectedEOF && !isMalformed(err) {
				t.Errorf("got %v, want an end or a *MalformedError", err)
			}
			if got > maxForSilence {
				t.Errorf("allocated %d bytes, want at most %d", got, maxForSilence)
			}
		})
	}
}

// TestMemoryFollowsArrival: the memory for many values grows with what
// came, not with what was announced.
func TestMemoryFollowsArrival(t *testing.T) {
	want := ValuesLen(MaxChunks)
	for _, arrived := range []int{1, 64 << 10, 64<<10 + 1, 1 << 20} {
		r := bytes.NewReader(make([]byte, arrived))
		var err error
		got := allocated(func() { _, err = ReadValues(r, Header{Length: uint64(want)}, want) })
		if err != io.ErrUnexpectedEOF {
			t.Errorf("%d bytes of %d: got %v, want %v", arrived, want, err, io.ErrUnexpectedEOF)
		}
		if limit := uint64(4*arrived + maxForSilence); got > limit {
			t.Errorf("%d bytes of %d: allocated %d bytes, want at most %d", arrived, want, got, limit)
		}
	}
}
