package main

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"malcolm/cmd/malcolm/human"
	"malcolm/cmd/malcolm/systemd"
	"malcolm/cmd/malcolm/view"
	"malcolm/transfer/serve"
)

const (
	// statusEvery is the time between two looks at what the manager is
	// told.
	statusEvery = time.Second
	// startingTime is how long the manager is asked to wait while a file is
	// hashed. It is asked again each statusEvery.
	startingTime = time.Minute
	// deafTime is how long a server may not look after its connections
	// before its manager is told no more that it lives.
	deafTime = 10 * time.Second
)

// A service is a run of serve, for who manages it: a manager is told how it is,
// and SIGHUP has it read its settings again.
type service struct {
	manager *systemd.Manager // nil: nobody is told
	hangups <-chan struct{}  // nil: SIGHUP ends the run
	release func()           // of hangups
	reload  reloading        // set by begin
	ready   atomic.Bool
	failed  atomic.Bool // the last reload
}

// A reloading reads the settings again, and has the server do what they say.
// anew: what is offered is looked for anew, even if the settings name the same.
type reloading func(anew bool) error

// newService finds the manager, if there is one. Without a controlling terminal
// SIGHUP is not the end of one.
func (t *terminal) newService(ctx context.Context) *service {
	manager, err := systemd.Find(t.getenv, os.Getpid())
	if err != nil {
		t.Warn("the service manager is not told how serve is: %s", err)
	}
	s := &service{manager: manager, release: func() {}}
	if manager != nil || !hasTerminal() {
		s.hangups, s.release = hangupsOf(ctx).take()
	}
	return s
}

// event tells the manager what happened.
func (s *service) event(e serve.Event) {
	switch e := e.(type) {
	case serve.Ready:
		s.failed.Store(false)
		s.ready.Store(true)
		s.manager.Ready()
	case serve.Unreadable:
		s.failed.Store(e.Kept)
	case serve.Stopping:
		s.manager.Stopping()
	}
}

// begin tells the manager how a server is, and reloads it when SIGHUP asks for
// that, until the function that it returns is called.
func (s *service) begin(t *terminal, server *serve.Server, reload reloading) (end func()) {
	s.reload = reload
	over, done := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { s.reloads(t, over.Done()) })
	if s.manager != nil {
		wg.Go(func() { s.watch(server, over.Done()) })
	}
	return func() {
		s.release()
		done()
		wg.Wait()
		s.manager.Close()
	}
}

// watch tells the manager what the server does, and that it is alive.
func (s *service) watch(server *serve.Server, over <-chan struct{}) {
	status := time.NewTicker(statusEvery)
	defer status.Stop()
	var alive <-chan time.Time
	if every := s.manager.Watchdog(); every > 0 {
		t := time.NewTicker(every)
		defer t.Stop()
		alive = t.C
	}
	var said string
	var before serve.Status
	for {
		select {
		case <-status.C:
			now := server.Brief()
			text := statusOf(now, sentBy(now)-sentBy(before), s.failed.Load())
			before = now
			if !s.ready.Load() {
				s.manager.Starting(text, startingTime)
			} else if text != said {
				s.manager.Status(text)
			}
			said = text
		case <-alive:
			if server.Silent() < deafTime {
				s.manager.Alive()
			}
		case <-over:
			return
		}
	}
}

// sentBy returns the bytes that all virtual servers have sent.
func sentBy(st serve.Status) (sent int64) {
	for _, v := range st.Servers {
		sent += v.Sent
	}
	return sent
}

// statusOf says in a line what a server does. lately are the bytes it sent in
// statusEvery. failed: the last reload came to nothing.
func statusOf(st serve.Status, lately int64, failed bool) string {
	var words []string
	if !st.Indexed {
		words = append(words, fmt.Sprintf("hashing: %s of %s", human.Percent(st.Indexing.Done, st.Indexing.Total), human.Bytes(st.Indexing.Total)))
	} else {
		words = append(words, "offered")
	}
	rate := float64(lately) / statusEvery.Seconds()
	words = append(words, human.Plural(st.Present, "client", "clients"), human.Rate(rate), human.Bytes(sentBy(st))+" sent")
	if failed {
		words = append(words, "the last reload failed: see the log")
	}
	return strings.Join(words, ", ")
}

// reloads reloads the server each time that SIGHUP asks for it.
func (s *service) reloads(t *terminal, over <-chan struct{}) {
	for {
		select {
		case <-s.hangups:
		case <-over:
			return
		}
		s.manager.Reloading()
		// Hashing may fail before reload returns: that stays.
		err := s.reload(s.failed.Swap(false))
		if err != nil {
			s.failed.Store(true)
			t.Warn("not reloaded, all stays as it was: %s", describe(err))
			for _, h := range hints(err) {
				t.WarnHint(h)
			}
		} else {
			t.Say("reloaded")
		}
		if s.ready.Load() {
			s.manager.Ready() // the reload is over
		}
	}
}

// running is what a reload changes.
type running struct {
	server *serve.Server
	show   *view.Serve
	memory *memoryLimit
}

// reload reads the settings again, and has the server offer and allow what they
// say. An error leaves all as it was. anew: what they named last is not what is
// offered.
func (c *serveCmd) reload(t *terminal, args []string, on running, anew bool) error {
	cmd, err := t.reread(args)
	if err != nil {
		return err
	}
	again, ok := cmd.(*serveCmd)
	if !ok {
		return usage("the command is another one")
	}
	memory, _ := serve.MemoryLimit()
	change := serve.Change{Limit: int64(again.Limit), Limits: again.limits(memory)}
	if change.Tokens, err = t.readTokensAgain(again.Tokens); err != nil {
		return err
	}
	if anew || !c.offersSame(again) {
		what, err := again.offered()
		if err != nil {
			return err
		}
		change.Source, change.Tree, change.Name = what.file, what.tree, what.name
		on.memory.need(what.memory)
		on.show.Next(what.shown)
	}
	if err := on.server.Reload(change); err != nil {
		on.show.Next("")
		return err
	}
	c.Files, c.TreeFlags, c.Rehash = again.Files, again.TreeFlags, again.Rehash
	return nil
}

// offersSame reports whether two commands name the same files.
func (c *serveCmd) offersSame(o *serveCmd) bool {
	return c.Rehash == o.Rehash && reflect.DeepEqual(c.Files, o.Files) && reflect.DeepEqual(c.TreeFlags, o.TreeFlags)
}
