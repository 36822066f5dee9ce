package fetch

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// tickTime is the time between two counts of what has arrived.
	tickTime = 100 * time.Millisecond
	// inboxSize bounds the closures that wait for the loop. post waits when
	// there are more.
	inboxSize = 256
)

// errEnded is the cause with which a finished run stops its helpers.
var errEnded = errors.New("the run has ended")

// A loop is the goroutine that owns all changing state of a session: the caller
// of the session's method. What runs beside it, in a [scope], owns an immutable
// job and posts what it found.
type loop struct {
	*scope // of the session
	inbox  chan func()
	ending *joiner
	tick   *time.Ticker
	timer  *time.Timer
	fatal  error

	sample func(now time.Time)      // called at each tick
	due    func() (time.Time, bool) // when until has to look again between ticks; false: never
}

func newLoop(ctx context.Context) *loop {
	l := &loop{
		inbox:  make(chan func(), inboxSize),
		ending: newJoiner(ctx),
		tick:   time.NewTicker(tickTime),
		timer:  time.NewTimer(0),
		sample: func(time.Time) {},
		due:    func() (at time.Time, ok bool) { return at, false },
	}
	l.scope = newScope(ctx, l.inbox, l.ending)
	return l
}

// close ends and joins everything that runs beside the loop.
func (l *loop) close() {
	l.halt()
	l.ending.end()
	l.tick.Stop()
	l.timer.Stop()
}

// until runs what is posted until done holds. Its error is fatal, or the cause
// with which the session's context ended.
func (l *loop) until(done func() bool) error {
	for {
		switch {
		case l.fatal != nil:
			return l.fatal
		case l.ctx.Err() != nil: // before done, which may hold only because of that
			return context.Cause(l.ctx)
		case done():
			return nil
		}
		select {
		case f := <-l.inbox:
			f()
		case now := <-l.tick.C:
			l.sample(now)
		case <-l.closing():
		case <-l.ctx.Done():
			return context.Cause(l.ctx)
		}
	}
}

// closing returns a channel that receives when due's time has come.
func (l *loop) closing() <-chan time.Time {
	at, ok := l.due()
	if !ok {
		return nil
	}
	l.timer.Reset(time.Until(at))
	return l.timer.C
}

// fail ends the run.
func (l *loop) fail(err error) {
	if l.fatal == nil {
		l.fatal = err
	}
}

// do runs f beside the loop, which goes on, and returns f's error. f's context
// ends with the session's, and when the run fails. Then f's result does not
// count, and the error says why the run ended. do returns when f has, or when f
// is left behind (see joiner).
func (l *loop) do(f func(context.Context) error) error {
	doing, cancel := context.WithCancelCause(l.ctx)
	defer cancel(errEnded)
	var err error
	returned := make(chan struct{})
	l.beside(func() {
		defer close(returned)
		err = f(doing)
	})
	finished := false
	l.beside(func() {
		<-returned
		l.post(func() { finished = true })
	})
	if ended := l.until(func() bool { return finished }); ended != nil {
		cancel(ended)
		l.ending.wait(returned)
		return ended
	}
	return err
}

// obtain is [loop.do] for an f with a result. It returns the result even when
// the run has ended meanwhile; if f was left behind, it returns the zero value.
func obtain[T any](l *loop, f func(context.Context) (T, error)) (result T, err error) {
	got := make(chan T, 1)
	err = l.do(func(ctx context.Context) error {
		v, err := f(ctx)
		got <- v
		return err
	})
	select {
	case result = <-got:
	default:
	}
	return result, err
}

// A scope is what runs beside the loop and ends together. Its goroutines use
// ctx and post; the rest belongs to the loop.
type scope struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	inbox  chan<- func()
	ending *joiner
	wg     sync.WaitGroup
	over   bool // the loop's: what is posted from now on is dropped
}

func newScope(ctx context.Context, inbox chan<- func(), ending *joiner) *scope {
	s := &scope{inbox: inbox, ending: ending}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	return s
}

// inner returns a scope that ends before this one, or with it.
func (s *scope) inner() *scope { return newScope(s.ctx, s.inbox, s.ending) }

// beside runs f in a goroutine of the scope.
func (s *scope) beside(f func()) { s.wg.Go(f) }

// post hands a closure to the loop, which drops it when the scope is over. Any
// goroutine may call it.
func (s *scope) post(f func()) {
	select {
	case s.inbox <- func() {
		if !s.over {
			f()
		}
	}:
	case <-s.ctx.Done():
	}
}

// halt ends and joins what runs in the scope.
func (s *scope) halt() {
	s.over = true
	s.cancel(errEnded)
	s.ending.run(s.wg.Wait)
}
