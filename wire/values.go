package wire

import "fmt"

// Values are the chunk values of one version of a file, in its order. They are
// a view of their own encoding and hold nothing else: 32 bytes a chunk, in
// memory as on the wire. Size and chunk size are not part of it: they follow
// from the file.
//
// The zero Values are those of an empty file. Several goroutines may read
// Values. They may also call Set at the same time for different chunks, but not
// while others read.
type Values struct{ b []byte }

// ValuesLen returns the length in bytes of the values of n chunks.
func ValuesLen(n int) int { return n * hashLen }

// NewValues returns the values of n chunks (0 to [MaxChunks]), which are zero
// until [Values.Set] fills them in. It panics if n is out of range: it comes
// from our own arithmetic.
func NewValues(n int) Values {
	if n < 0 || n > MaxChunks {
		panic("malcolm: internal error: values out of range")
	}
	return Values{make([]byte, ValuesLen(n))}
}

// ParseValues reads encoded values and keeps b, which the caller must not
// change afterwards. It checks only the length. The reader checks whether these
// are the values of its file: their number, and whether they merge to the
// checksum. Errors are [*MalformedError].
func ParseValues(b []byte) (Values, error) {
	switch {
	case len(b)%hashLen != 0:
		return Values{}, malformed("values", fmt.Sprintf("%d bytes are not a multiple of %d", len(b), hashLen))
	case len(b) > ValuesLen(MaxChunks):
		return Values{}, malformed("values", fmt.Sprintf("%d bytes, at most %d are allowed", len(b), ValuesLen(MaxChunks)))
	}
	return Values{b}, nil
}

// Len returns the number of chunks, 0 to [MaxChunks].
func (v Values) Len() int { return len(v.b) / hashLen }

// At returns the value of chunk i.
func (v Values) At(i int) [32]byte { return [32]byte(v.at(i)) }

// Set records the value of chunk i.
func (v Values) Set(i int, value [32]byte) { copy(v.at(i), value[:]) }

// Bytes returns the encoding, which the caller must not change.
func (v Values) Bytes() []byte { return v.b }

// Append appends the encoding to b.
func (v Values) Append(b []byte) []byte { return append(b, v.b...) }

func (v Values) at(i int) []byte { return v.b[i*hashLen:][:hashLen] }
