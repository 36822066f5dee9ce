package transport

import (
	"sync"
	"time"
)

// A waitLimit is a deadline that can be moved while somebody waits for it. Any
// goroutine may call its methods.
type waitLimit struct {
	mu    sync.Mutex
	timer *time.Timer
	over  chan struct{}         // closed when the deadline has passed; nil: nobody has waited yet
	at    time.Time             // zero: never
	apply func(time.Time) error // sets a socket's deadline; nil: none is concerned
}

// attach keeps a socket's deadline equal to this one until detach.
func (l *waitLimit) attach(apply func(time.Time) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.apply = apply
	_ = apply(l.at) // a socket that is closed says so when it is used
}

func (l *waitLimit) detach() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.apply = nil
}

// passed returns a channel that is closed when the deadline passes.
func (l *waitLimit) passed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over == nil {
		l.over = make(chan struct{})
		l.arm()
	}
	return l.over
}

// set moves the deadline; the zero time: never.
func (l *waitLimit) set(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	l.at = at
	if l.apply != nil {
		_ = l.apply(at)
	}
	if l.over == nil {
		return
	}
	select {
	case <-l.over:
		l.over = make(chan struct{})
	default:
	}
	l.arm()
}

// arm has over be closed in time. The caller holds mu.
func (l *waitLimit) arm() {
	if l.at.IsZero() {
		return
	}
	over, left := l.over, time.Until(l.at)
	if left <= 0 {
		close(over)
		return
	}
	l.timer = time.AfterFunc(left, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.over != over || l.at.IsZero() || time.Until(l.at) > 0 {
			return // it was moved
		}
		select {
		case <-over:
		default:
			close(over)
		}
	})
}
