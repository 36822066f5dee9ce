package wire

import (
	"errors"
	"fmt"
	"io"
)

// Values are the chunk values of one file. They are a view of their own
// encoding and hold nothing else: 32 bytes a chunk in memory as on the wire.
//
// The zero Values are those of an empty file. Several goroutines may read them.
// They may also call Set at the same time for different chunks, but not while
// others read.
type Values struct{ b []byte }

// ValuesLen returns the length in bytes of the values of n chunks.
func ValuesLen(n int) int { return n * ValueLen }

// NewValues returns n values (0 to [MaxChunks]) that are zero until
// [Values.Set] fills them. It panics if n is outside its range: it comes from
// our own arithmetic.
func NewValues(n int) Values {
	if n < 0 || n > MaxChunks {
		panic("malcolm: internal error: number of values out of range")
	}
	return Values{b: make([]byte, n*ValueLen)}
}

// ParseValues reads encoded values and keeps b, which the caller must not
// change afterwards. Whether they merge to a checksum is for the caller to
// check. Errors are [*MalformedError].
func ParseValues(b []byte) (Values, error) {
	if len(b)%ValueLen != 0 || len(b) > MaxChunks*ValueLen {
		return Values{}, malformed("values", fmt.Sprintf("%d bytes, want a multiple of %d, at most %d", len(b), ValueLen, MaxChunks*ValueLen))
	}
	return Values{b: b}, nil
}

// Len returns the number of values, 0 to [MaxChunks].
func (v Values) Len() int { return len(v.b) / ValueLen }

// At returns the value of chunk i.
func (v Values) At(i int) [32]byte { return [32]byte(v.b[i*ValueLen : (i+1)*ValueLen]) }

// Set records the value of chunk i.
func (v Values) Set(i int, value [32]byte) { copy(v.b[i*ValueLen:(i+1)*ValueLen], value[:]) }

// Bytes returns the encoding, which the caller must not change.
func (v Values) Bytes() []byte { return v.b }

// AppendFrames appends the frames that carry the values first to first+count-1
// to b.
func (v Values) AppendFrames(b []byte, first, count int) []byte {
	rest := v.b[first*ValueLen : (first+count)*ValueLen]
	for len(rest) > 0 {
		n := min(len(rest), MaxFrameLen)
		b = Header{Status: StatusOK, Length: n}.Append(b)
		b = append(b, rest[:n]...)
		rest = rest[n:]
	}
	return b
}

// ReadValues reads the frames that carry count values (1 to [MaxChunks]). A
// refusal is returned as a [*Refusal]. Other errors are [*MalformedError],
// [io.ErrUnexpectedEOF] or r's own.
func ReadValues(r io.Reader, count int) (Values, error) {
	frames := valueFrames{r: r, left: count * ValueLen}
	b, err := readBody(&frames, count*ValueLen)
	if err != nil {
		return Values{}, err
	}
	return Values{b: b}, nil
}

// valueFrames reads the bodies of frames that carry values.
type valueFrames struct {
	r     io.Reader
	left  int // bytes of all frames
	frame int // bytes of this one
}

func (f *valueFrames) Read(p []byte) (int, error) {
	if f.frame == 0 {
		if err := f.next(); err != nil {
			return 0, err
		}
	}
	n, err := f.r.Read(p[:min(len(p), f.frame)])
	f.frame -= n
	f.left -= n
	if n > 0 {
		err = nil
	}
	return n, err
}

func (f *valueFrames) next() error {
	h, err := ReadHeader(f.r)
	switch want := min(f.left, MaxFrameLen); {
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	case err != nil:
		return err
	case h.Status != StatusOK:
		return ReadRefusal(f.r, h)
	case h.Length != want:
		return malformed("values", fmt.Sprintf("frame of %d bytes, want %d", h.Length, want))
	}
	f.frame = h.Length
	return nil
}
