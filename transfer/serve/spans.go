package serve

import (
	"errors"
	"fmt"
	"io"

	"malcolm/transfer/localfile"
	"malcolm/wire"
)

// A position is a place within spans.
type position struct {
	span int
	done int64 // bytes of the span before it
}

// A spanReader reads the bytes of spans, each of any version that the index
// holds. It has one version acquired at a time. It belongs to one goroutine.
type spanReader struct {
	index catalog
	spans []wire.Span
	held  *version // nil: none
}

// release ends the use of the version that is held.
func (s *spanReader) release() {
	s.index.release(s.held)
	s.held = nil
}

// after returns the position n bytes behind another.
func (s *spanReader) after(at position, n int64) position {
	at.done += n
	for at.span < len(s.spans) && at.done >= s.spans[at.span].Length {
		at.done -= s.spans[at.span].Length
		at.span++
	}
	return at
}

// fill fills p with the bytes from a position on, of one span after the other,
// and has the system read the next ahead bytes. It returns how many bytes are
// good. They are fewer than len(p) if the next one's span fails or there is no
// next one; failure says why. The check behind each read ensures that no byte
// of another version is among them.
func (s *spanReader) fill(p []byte, at position, ahead int) (n int, failure *wire.Refusal) {
	for n < len(p) && at.span < len(s.spans) {
		span := s.spans[at.span]
		if failure := s.hold(span); failure != nil {
			return n, failure
		}
		part := p[n:]
		part = part[:min(int64(len(part)), span.Length-at.done)]
		if failure := s.read(part, span.Offset+at.done); failure != nil {
			return n, failure
		}
		n += len(part)
		at = s.after(at, int64(len(part)))
	}
	s.readAhead(at, int64(ahead))
	if s.held != nil && s.held.tree != nil { // other files need its place among the open ones
		s.release()
	}
	return n, nil
}

// hold acquires the version of a span unless it is held already.
func (s *spanReader) hold(span wire.Span) *wire.Refusal {
	if s.held == nil || s.held.offer.Checksum != span.Checksum {
		s.release()
		held, why := s.index.hold(span.Checksum)
		if held == nil {
			return why
		}
		s.held = held
	}
	switch {
	case span.Offset+span.Length > s.held.offer.Size:
		return &wire.Refusal{Status: wire.StatusOutOfRange, Text: fmt.Sprintf("the file has %d bytes", s.held.offer.Size)}
	}
	return nil
}

// read fills p with the bytes from an offset of the version that is held.
func (s *spanReader) read(p []byte, offset int64) *wire.Refusal {
	n, err := s.held.file.ReadAt(p, offset)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
	case !s.held.isIntact():
		s.index.changed(s.held)
		s.release() // another one may have the same bytes
		return &wire.Refusal{Status: wire.StatusChanged, Text: textChanged}
	case n == len(p):
		return nil
	}
	return &wire.Refusal{Status: wire.StatusUnreadable, Text: "the file cannot be read"}
}

// readAhead has the system read what comes next, if it is of the version that
// is held.
func (s *spanReader) readAhead(at position, n int64) {
	if s.held == nil || at.span == len(s.spans) || s.spans[at.span].Checksum != s.held.offer.Checksum {
		return
	}
	span := s.spans[at.span]
	if f, ok := s.held.file.(localfile.ReadAheader); ok {
		f.ReadAhead(span.Offset+at.done, min(n, span.Length-at.done))
	}
}
