package wire

import (
	"bytes"
	"io"
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
	head := func(typ, n uint64) []byte { return quicvarint.Append(quicvarint.Append(nil, typ), n) }
	readOpen := func(r io.Reader) error { _, err := ReadOpen(r); return err }
	readRequest := func(r io.Reader) error { _, err := ReadRequest(r); return err }
	readRefusal := func(r io.Reader) error { _, err := readRefusalFrame(r); return err }
	readSpan := func(r io.Reader) error { _, err := readFailedSpanFrame(r); return err }
	readOpened := func(n int) func(io.Reader) error {
		return func(r io.Reader) error { _, err := ReadOpened(r, Header{Length: n}); return err }
	}
	readIndexing := func(n int) func(io.Reader) error {
		return func(r io.Reader) error { _, err := ReadIndexing(r, Header{Length: n}); return err }
	}
	readReport := func(n int) func(io.Reader) error {
		return func(r io.Reader) error { _, err := ReadPathReport(r, Header{Length: n}); return err }
	}
	readOffer := func(n int) func(io.Reader) error {
		return func(r io.Reader) error { _, err := ReadOffer(r, Header{Length: n}); return err }
	}
	readValues := func(count int) func(io.Reader) error {
		return func(r io.Reader) error { _, err := ReadValues(r, count); return err }
	}
	return []claim{
		{"open of 4 GiB", head(typeOpen, fourGiB), readOpen},
		{"open of the maximum", head(typeOpen, MaxRequestLen), readOpen},
		{"request of 4 GiB", head(typeStat, fourGiB), readRequest},
		{"request of the maximum", head(typeStat, MaxRequestLen), readRequest},
		{"unknown request of 4 GiB", head(9, fourGiB), readRequest},
		{"unknown request of the maximum", head(9, MaxRequestLen), readRequest},
		{"refusal of 4 GiB", head(uint64(StatusBusy), fourGiB), readRefusal},
		{"refusal of the largest frame", head(uint64(StatusBusy), MaxFrameLen), readRefusal},
		{"refusal of the maximum", head(uint64(StatusBusy), maxRefusalLen), readRefusal},
		{"failed span of the largest frame", head(uint64(StatusFailedSpan), MaxFrameLen), readSpan},
		{"failed span of the maximum", head(uint64(StatusFailedSpan), 2+8+maxRefusalLen), readSpan},
		{"opened of the largest frame", nil, readOpened(MaxFrameLen)},
		{"opened of the maximum", nil, readOpened(MaxOpenedLen)},
		{"indexing of the largest frame", nil, readIndexing(MaxFrameLen)},
		{"path report of the largest frame", nil, readReport(MaxFrameLen)},
		{"path report of the maximum", nil, readReport(MaxReportLen)},
		{"offer of the largest frame", nil, readOffer(MaxFrameLen)},
		{"offer of the maximum", nil, readOffer(MaxOfferLen)},
		{"values of 4 GiB", head(uint64(StatusOK), fourGiB), readValues(MaxChunks)},
		{"values of the maximum", head(uint64(StatusOK), MaxFrameLen), readValues(MaxChunks)},
		{"values that are refused at length", head(uint64(StatusBusy), MaxFrameLen), readValues(MaxChunks)},
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

// TestMemoryFollowsArrival: the memory for the values of the largest file grows
// with what came, not with what was announced.
func TestMemoryFollowsArrival(t *testing.T) {
	sent := NewValues(MaxChunks).AppendFrames(nil, 0, MaxChunks)
	for _, arrived := range []int{5, 64 << 10, 64<<10 + 6, 1 << 20} {
		r := bytes.NewReader(sent[:arrived])
		var err error
		got := allocated(func() { _, err = ReadValues(r, MaxChunks) })
		if err != io.ErrUnexpectedEOF {
			t.Errorf("%d bytes of %d: got %v, want %v", arrived, len(sent), err, io.ErrUnexpectedEOF)
		}
		if limit := uint64(4*arrived + maxForSilence); got > limit {
			t.Errorf("%d bytes of %d: allocated %d bytes, want at most %d", arrived, len(sent), got, limit)
		}
	}
}

// TestNumbersCostNothing: a number alone never makes room for what it counts.
func TestNumbersCostNothing(t *testing.T) {
	for _, n := range []int{3, 1 << 16, 1 << 20, 1<<20 + 1, 1<<31 - 1} {
		for name, parse := range map[string]func() error{
			"entries":     func() error { _, err := ParseListing(body(listingMagic, n, text(8))); return err },
			"times":       func() error { _, err := ParseTimes(body(timesMagic, n, text(5)), n); return err },
			"directories": func() error { _, err := ParseTimes(body(timesMagic, 0, n, text(5)), 0); return err },
			"spans":       func() error { _, err := parseRanges(body(n, text(34))); return err },
			"listing": func() error {
				o := body(1, n, 0, 0, sum, 0, sum, 0)
				_, err := ParseValuesFile(body(valuesMagic, len(o), o, n, text(2)))
				return err
			},
		} {
			var err error
			got := allocated(func() { err = parse() })
			if !isMalformed(err) || got > maxForSilence {
				t.Errorf("%d %s: allocated %d bytes, %v", n, name, got, err)
			}
		}
	}
}
