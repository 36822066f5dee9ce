package serve

import (
	"time"

	"malcolm/transfer/admission"
)

const (
	// firstBytes is the first read size of a reply. See [readSize.adapt].
	firstBytes = 16 << 10
	// growBytes must be taken in a row, each piece within quickTake, before
	// the read size grows for a client that was slow.
	growBytes = 64 << 10
	quickTake = 100 * time.Millisecond
	slowTake  = 500 * time.Millisecond
	// pieceTime is how long a buffer is held for a client that does not
	// take it all; then less is read. The smallest one is held for
	// StallTimeout.
	pieceTime = time.Second
)

// A readSize is how much is read at once for a reply with ranges. It grows for
// a quick client and shrinks for a slow one. So buffers are soon free, and
// little is read beyond what a client that gives up has taken.
type readSize struct {
	bytes  int // a power of two
	streak int // bytes in a row that were taken quickly
}

// grown returns the next larger size in bytes.
func (s *readSize) grown() int { return min(2*s.bytes, admission.MostBuffer) }

// adapt sets the size after the client took sent of n bytes. It doubles when
// growBytes in a row were each taken within quickTake, and halves when a piece
// took more than slowTake.
func (s *readSize) adapt(sent, n int, took time.Duration) {
	if sent == n && took < quickTake {
		if s.streak += sent; s.streak >= growBytes {
			s.bytes = s.grown()
		}
		return
	}
	s.streak = 0
	switch {
	case sent < n:
		s.bytes = bufferSize(min(max(sent, 1), s.bytes/2))
	case took > slowTake:
		s.bytes = max(s.bytes/2, admission.LeastBuffer)
	}
}
