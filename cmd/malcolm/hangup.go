package main

import (
	"context"
	"os"
	"sync"
	"syscall"
)

// hangups says which commands take SIGHUP as a request, not as the end. In a
// nil hangups no command does. Any goroutine may call its methods.
type hangups struct {
	mu sync.Mutex
	to chan struct{} // nil: nobody; never closed
}

type hangupsKey struct{}

// hangupsOf returns those of a context that withSignals made; nil: it did not.
func hangupsOf(ctx context.Context) *hangups {
	h, _ := ctx.Value(hangupsKey{}).(*hangups)
	return h
}

// take returns what receives at each SIGHUP from now on, until release is
// called. Several while one is waiting are one.
func (h *hangups) take() (asked <-chan struct{}, release func()) {
	if h == nil {
		return nil, func() {}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.to = make(chan struct{}, 1)
	return h.to, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.to = nil
	}
}

// pass hands a signal to the command that takes it; false: no command does.
func (h *hangups) pass(s os.Signal) bool {
	if h == nil || s != syscall.SIGHUP {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.to == nil {
		return false
	}
	select {
	case h.to <- struct{}{}:
	default:
	}
	return true
}
