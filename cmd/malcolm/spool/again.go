package spool

import (
	"errors"
	"io"
	"syscall"
	"time"
)

// againTime is the pause before a write is tried again.
const againTime = 10 * time.Millisecond

// Again returns a writer that waits while w takes nothing (EAGAIN). Outputs are
// shared with other programs, and one of them may have made them non-blocking.
func Again(w io.Writer) io.Writer { return againWriter{w} }

type againWriter struct{ io.Writer }

func (w againWriter) Write(p []byte) (written int, err error) {
	for {
		n, err := w.Writer.Write(p[written:])
		written += n
		if err == nil || !errors.Is(err, syscall.EAGAIN) {
			return written, err
		}
		time.Sleep(againTime)
	}
}
