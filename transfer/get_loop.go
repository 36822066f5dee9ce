package transfer

import (
	"context"
	"time"

	"malcolm/transfer/vote"
)

// post hands a closure to the loop. It is dropped when the loop has ended.
func (g *getting) post(f func()) {
	select {
	case g.inbox <- f:
	case <-g.stopped:
	}
}

// do runs f beside the loop, which goes on, and returns f's error. The context
// of f ends when ctx does, and when the run has failed; then what f has found
// does not count, whatever that is, and the error is why it ended. Then do
// returns when f has, or when f is left behind (see joiner).
func (g *getting) do(ctx context.Context, t *clocks, f func(context.Context) error) error {
	doing, cancel := context.WithCancelCause(ctx)
	defer cancel(errEnded)
	var err error
	returned := make(chan struct{})
	g.wg.Go(func() {
		defer close(returned)
		err = f(doing)
	})
	finished := false
	g.wg.Go(func() {
		<-returned
		g.post(func() { finished = true })
	})
	if ended := g.loop(ctx, t, func() bool { return finished }); ended != nil {
		cancel(ended)
		g.ending.wait(returned)
		return ended
	}
	return err
}

// loop runs what is posted until done holds. The error is fatal's or ctx's
// cause.
func (g *getting) loop(ctx context.Context, t *clocks, done func() bool) error {
	for {
		switch {
		case g.fatal != nil:
			return g.fatal
		case ctx.Err() != nil: // before done, which may hold because of that
			return context.Cause(ctx)
		case done():
			return nil
		}
		select {
		case f := <-g.inbox:
			f()
		case now := <-t.tick.C:
			g.sample(now)
		case <-t.report:
			g.emitProgress()
		case <-t.closing(g.ballot):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (g *getting) emit(e GetEvent) {
	if g.cfg.Events != nil {
		g.cfg.Events(e)
	}
}

// clocks are the timers of the loop.
type clocks struct {
	tick     *time.Ticker
	reporter *time.Ticker
	report   <-chan time.Time
	vote     *time.Timer
}

func (g *getting) startClocks() *clocks {
	t := &clocks{tick: time.NewTicker(tickTime), vote: time.NewTimer(0)}
	if g.cfg.Interval > 0 {
		t.reporter = time.NewTicker(g.cfg.Interval)
		t.report = t.reporter.C
	}
	return t
}

// closing returns a channel that receives when the vote closes by itself; nil
// when there is no such time.
func (t *clocks) closing(b *vote.Ballot) <-chan time.Time {
	if b == nil {
		return nil
	}
	at, ok := b.CloseAt()
	if !ok {
		return nil
	}
	t.vote.Reset(time.Until(at))
	return t.vote.C
}

func (t *clocks) stop() {
	t.tick.Stop()
	t.vote.Stop()
	if t.reporter != nil {
		t.reporter.Stop()
	}
}
