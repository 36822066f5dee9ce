package transport

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

var errServerOpens = errors.New("a server opens no stream")

// A tcpSender is our side of a stream over TCP.
type tcpSender struct {
	ctx   context.Context // ends with our side
	stop  context.CancelCauseFunc
	limit waitLimit // of writing

	writing sync.Mutex // held while a segment of the stream is written
	shut    bool       // under writing: our side was ended by us

	mu          sync.Mutex
	interrupted bool // a Write that is pending is to end
}

// write runs do, unless our side has ended.
func (s *tcpSender) write(do func() (int, error)) (n int, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if why := context.Cause(s.ctx); why != nil {
		return 0, why
	}
	n, err = do()
	if s.isInterrupted() {
		return n, &LocalError{Kind: LocalCanceled}
	}
	return n, err
}

func (s *tcpSender) isInterrupted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.interrupted
}

// interrupt makes pending and later writes fail.
func (s *tcpSender) interrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.interrupted = true
	s.limit.set(past)
}

// finish ends our side by do. Calls after the first return the reason of the
// end, or nil after a CloseWrite.
func (s *tcpSender) finish(kind segmentKind, do func() error) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	why := &LocalError{Kind: LocalClosed, Err: net.ErrClosed}
	if kind == segmentReset {
		why = &LocalError{Kind: LocalCanceled}
	}
	if s.shut {
		if ended := context.Cause(s.ctx); kind == segmentEnd && !isLocal(ended, LocalClosed) {
			return ended
		}
		return nil
	}
	if err := context.Cause(s.ctx); err != nil {
		return err
	}
	s.shut = true
	err := do()
	s.stop(why)
	return err
}

func (s *tcpSender) SetWriteDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.interrupted {
		s.limit.set(t)
	}
	return nil
}

func (s *tcpSender) Done() <-chan struct{} { return s.ctx.Done() }

func (s *tcpSender) AfterDone(f func()) (stop func() bool) { return context.AfterFunc(s.ctx, f) }
