package transport

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/quic-go/quic-go/quicvarint"
)

const (
	// maxSegment is the largest length of a segment, in bytes.
	maxSegment = 1 << 18
	// ourSegment is the largest that we send, in bytes.
	ourSegment = 128 << 10
	// leastSegment is the largest that we send to a peer that has just made
	// us wait: what waits for it is in memory.
	leastSegment = 16 << 10
	// joinedSegment is the largest whose bytes are put behind its length
	// in one TLS record. Longer ones have a record for the length, so that
	// the peer reads the bytes to where they belong.
	joinedSegment = 2 << 10
	// segmentHead holds the longest control segment: 0, kind, code, length
	// and text.
	segmentHead = 512
)

// A segmentKind says what a segment of length zero means.
type segmentKind uint64

const (
	segmentEnd segmentKind = iota
	segmentReset
	segmentClose
)

var (
	errSegmentLong    = errors.New("segment is too long")
	errSegmentVarint  = errors.New("integer is not in its shortest form")
	errSegmentKind    = errors.New("segment of unknown kind")
	errSegmentText    = errors.New("text of a close is too long")
	errUnaskedBytes   = errors.New("bytes that nobody asked for")
	errTooManyAhead   = errors.New("more than one request ahead")
	errEndlessRequest = errors.New("request does not end")
)

// misbehaved says that the peer broke the rules of segments.
func misbehaved(err error) error { return &PeerError{Kind: PeerProtocol, Err: err} }

// A segmentReader reads the messages of one direction. It belongs to one
// goroutine at a time. Its errors are not classified, but for those of the
// peer's making: *PeerError. After a deadline one may read on.
type segmentReader struct {
	pipe *pipe
	br   *bufio.Reader
	left int // bytes of the segment that are not read
}

func newSegmentReader(p *pipe, c *tls.Conn) segmentReader {
	return segmentReader{pipe: p, br: bufio.NewReaderSize(c, segmentHead)}
}

// next waits until bytes of the message are there. At its end it returns
// io.EOF, a reset or the peer's close.
func (r *segmentReader) next() error {
	if r.left > 0 {
		_, err := r.br.Peek(1)
		return cutOff(err)
	}
	n, size, err := r.varint(0)
	switch {
	case err != nil:
		return err
	case n > maxSegment:
		return misbehaved(fmt.Errorf("%w: %d bytes", errSegmentLong, n))
	case n > 0:
		r.br.Discard(size)
		r.left = int(n)
		return r.next()
	}
	return r.control(size)
}

// control reads what follows a length of zero, which took size bytes. Nothing
// is consumed before all of it is there.
func (r *segmentReader) control(size int) error {
	kind, n, err := r.varint(size)
	if err != nil {
		return err
	}
	size += n
	if kind == uint64(segmentEnd) {
		r.br.Discard(size)
		return io.EOF
	}
	if kind != uint64(segmentReset) && kind != uint64(segmentClose) {
		return misbehaved(fmt.Errorf("%w: %d", errSegmentKind, kind))
	}
	code, n, err := r.varint(size)
	if err != nil {
		return err
	}
	size += n
	if kind == uint64(segmentReset) {
		r.br.Discard(size)
		return &PeerError{Kind: PeerReset, Code: code}
	}
	length, n, err := r.varint(size)
	if err != nil {
		return err
	}
	size += n
	if length > maxText {
		return misbehaved(fmt.Errorf("%w: %d bytes", errSegmentText, length))
	}
	b, err := r.br.Peek(size + int(length))
	if err != nil {
		return cutOff(err)
	}
	return &PeerError{Kind: PeerClosed, Code: code, Text: string(b[size:])}
}

// varint reads the integer at an offset without consuming it, and returns its
// size.
func (r *segmentReader) varint(at int) (v uint64, size int, err error) {
	b, err := r.br.Peek(at + 1)
	if err != nil {
		return 0, 0, cutOff(err)
	}
	size = 1 << (b[at] >> 6)
	if b, err = r.br.Peek(at + size); err != nil {
		return 0, 0, cutOff(err)
	}
	v, _, err = quicvarint.Parse(b[at:])
	if err != nil || quicvarint.Len(v) != size {
		return 0, 0, misbehaved(errSegmentVarint)
	}
	return v, size, nil
}

// cutOff is for the end of a connection: a message ends otherwise.
func cutOff(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// read waits for bytes of the message, and fills p with what is there.
func (r *segmentReader) read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := r.next(); err != nil {
		return 0, err
	}
	r.pipe.nowait = true
	defer func() { r.pipe.nowait = false }()
	for n < len(p) {
		if r.left == 0 {
			// An end that is there already is for the next call.
			if b, err := r.br.Peek(1); err != nil || b[0] == 0 || r.next() != nil {
				break
			}
		}
		k, err := r.br.Read(p[n : n+min(len(p)-n, r.left)])
		n += k
		r.left -= k
		if err != nil {
			break // it comes again
		}
	}
	return n, nil
}

// A segmentWriter writes the messages of one direction.
type segmentWriter struct {
	pipe *pipe
	tls  *tls.Conn
	turn chan struct{} // has a place; who has put a token into it writes
	step int           // largest segment for this peer now, of the writer
}

func newSegmentWriter(p *pipe, c *tls.Conn) segmentWriter {
	return segmentWriter{pipe: p, tls: c, turn: make(chan struct{}, 1), step: leastSegment}
}

// lock waits for the turn to write; false: limit or over came first.
func (w *segmentWriter) lock(limit, over <-chan struct{}) bool {
	select {
	case w.turn <- struct{}{}:
		return true
	default:
	}
	select {
	case w.turn <- struct{}{}:
		return true
	case <-limit:
	case <-over:
	}
	return false
}

func (w *segmentWriter) unlock() { <-w.turn }

// write sends p. After an error the first n bytes are taken, and after a
// deadline one may write on behind them: a segment begins only when those
// before it are in the socket. The caller has the turn.
func (w *segmentWriter) write(p []byte) (n int, err error) {
	for {
		if err := w.pipe.flush(); err != nil {
			if w.step = leastSegment; n == len(p) && errors.Is(err, os.ErrDeadlineExceeded) {
				return n, nil
			}
			return n, err
		}
		if n == len(p) {
			return n, nil
		}
		k := min(len(p)-n, w.step)
		if err := w.put(p[n : n+k]); err != nil {
			return n, err
		}
		n += k
		w.step = min(2*w.step, ourSegment)
	}
}

// put writes one segment into memory.
func (w *segmentWriter) put(p []byte) error {
	var head [8 + joinedSegment]byte
	b := quicvarint.Append(head[:0], uint64(len(p)))
	if len(p) <= joinedSegment {
		_, err := w.tls.Write(append(b, p...))
		return err
	}
	if _, err := w.tls.Write(b); err != nil {
		return err
	}
	_, err := w.tls.Write(p)
	return err
}

// control writes a control segment into memory.
func (w *segmentWriter) control(kind segmentKind, code uint64, text string) error {
	b := quicvarint.Append([]byte{0}, uint64(kind))
	if kind != segmentEnd {
		b = quicvarint.Append(b, code)
	}
	if kind == segmentClose {
		text = bounded(text)
		b = append(quicvarint.Append(b, uint64(len(text))), text...)
	}
	_, err := w.tls.Write(b)
	return err
}
