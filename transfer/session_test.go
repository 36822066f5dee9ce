package transfer

import (
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/localfile"
	"malcolm/transfer/partfile"
	"malcolm/transfer/paths"
	"malcolm/transfer/source"
	"malcolm/transfer/source/malcolm"
	"malcolm/transport"
	"malcolm/wire"
)

// Times and rates of the packages under test. Tests that look from outside
// repeat them.
const (
	tickTime       = 100 * time.Millisecond
	hedgeTime      = 2 * time.Second
	slowTime       = 10 * time.Second
	valuesTime     = 20 * time.Second
	checkpointTime = 2 * time.Second
	longestPause   = 15 * time.Second
	indexingRate   = 4 // a second
)

// hidden reports whether a character does not show as itself.
func hidden(r rune) bool { return !strconv.IsPrint(r) }

// isLate reports whether an error says that a server missed the deadline for
// what it was asked.
func isLate(err error, what source.What, after time.Duration) bool {
	return source.WhatOf(err) == what && strings.HasSuffix(err.Error(), " "+after.String())
}

// streamCode returns the code with which the peer reset a stream; 0 for other
// errors.
func streamCode(err error) wire.StreamCode {
	if peer, ok := errors.AsType[*transport.PeerError](err); ok && peer.Kind == transport.PeerReset {
		return wire.StreamCode(peer.Code)
	}
	return 0
}

// as reports whether an error is, or wraps, one of a type.
func as[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// A getConfig is what a test sets for one run of a session.
type getConfig struct {
	Targets        []source.Target
	AllAddresses   bool
	Network        malcolm.Network
	Trust          malcolm.Trust
	ConnectTimeout time.Duration
	Transport      transport.Protocol
	QLog           *transport.QLog
	Connections    int
	Limit          int64
	Patience       time.Duration
	Paths          *paths.Memory

	Checksum *[32]byte
	Quorum   int
	MaxSize  int64

	Dir, Name                       string
	Resume, Force                   bool
	SkipPreallocate, SkipSpaceCheck bool
	SplitLinks, Recheck, RemoteTime bool
	SHA256                          *[32]byte
	open                            func(*os.Root) partfile.FS
	read                            func(localfile.File) localfile.File // of repair and verify

	Interval time.Duration // between two progress events; 0: none
	Events   func(fetch.Event)
	Map      bool
}

// A progress is a snapshot as an event.
type progress struct {
	fetch.Finishing // makes it an event
	fetch.Snapshot
}

// ballot, output and mend are the parts of a run.
func (c getConfig) ballot() fetch.Ballot {
	return fetch.Ballot{Checksum: c.Checksum, Quorum: c.Quorum, MaxSize: c.MaxSize}
}

func (c getConfig) disk() fetch.Disk {
	return fetch.Disk{
		SkipPreallocate: c.SkipPreallocate, SkipSpaceCheck: c.SkipSpaceCheck, Recheck: c.Recheck, SHA256: c.SHA256,
		RemoteTime: c.RemoteTime, FS: c.open,
	}
}

func (c getConfig) output() fetch.Output {
	return fetch.Output{Dir: c.Dir, Name: c.Name, Resume: c.Resume, Force: c.Force, Disk: c.disk()}
}

// mostVotes returns how many votes the servers of a run can have.
func mostVotes(c getConfig) int {
	return fetch.MostVotes(malcolm.Voters(c.Trust, c.Targets, c.AllAddresses))
}

// session opens a session, and closes it when f has returned. Meanwhile events
// and progress are told one at a time.
func session[T any](ctx context.Context, c getConfig, f func(*fetch.Session) (T, error)) (none T, err error) {
	sources, err := malcolm.Sources(ctx, malcolm.Config{
		Trust: c.Trust, Network: c.Network, ConnectTimeout: c.ConnectTimeout, Limit: c.Limit, QLog: c.QLog,
		Transport: c.Transport, Paths: c.Paths,
	}, c.Targets, c.AllAddresses)
	if err != nil {
		return none, err
	}
	turn := make(chan struct{}, 1) // unlike of a mutex, time passes while one waits for it
	tell := func(e fetch.Event) {
		if c.Events != nil {
			turn <- struct{}{}
			defer func() { <-turn }()
			c.Events(e)
		}
	}
	s := fetch.Open(ctx, fetch.Servers{
		Sources: sources, Paths: c.Paths, Connections: c.Connections, Limit: c.Limit, Patience: c.Patience,
		CPUFree: func() bool { return true }, // virtual time says nothing of real processors
	}, fetch.Watch{Events: tell, Map: c.Map})
	defer s.Close()
	if c.Interval > 0 {
		stop := make(chan struct{})
		var reporting sync.WaitGroup
		reporting.Go(func() {
			ticker := time.NewTicker(c.Interval)
			defer ticker.Stop()
			var last time.Time
			for {
				select {
				case <-ticker.C:
					if now := s.Snapshot(); !now.Taken.Equal(last) {
						last = now.Taken
						tell(progress{Snapshot: now})
					}
				case <-stop:
					return
				}
			}
		})
		defer reporting.Wait()
		defer close(stop)
	}
	return f(s)
}

// Get, Stream, Repair, Verify, Info and DryRun are one run each of a session of
// its own.
func Get(ctx context.Context, c getConfig) (*fetch.Result, error) {
	return session(ctx, c, func(s *fetch.Session) (*fetch.Result, error) { return s.Get(c.ballot(), c.output()) })
}

func Stream(ctx context.Context, c getConfig, out io.Writer, window int64) (*fetch.Result, error) {
	return session(ctx, c, func(s *fetch.Session) (*fetch.Result, error) {
		return s.Stream(c.ballot(), fetch.Stream{Out: out, Window: window, SHA256: c.SHA256})
	})
}

func Repair(ctx context.Context, c getConfig, path string) (*fetch.Result, error) {
	return session(ctx, c, func(s *fetch.Session) (*fetch.Result, error) {
		return s.Repair(c.ballot(), fetch.Local{Path: path, Read: c.read}, fetch.Mend{SplitLinks: c.SplitLinks, Disk: c.disk()})
	})
}

func Verify(ctx context.Context, c getConfig, path string) (*fetch.VerifyResult, error) {
	return session(ctx, c, func(s *fetch.Session) (*fetch.VerifyResult, error) {
		return s.Verify(c.ballot(), fetch.Local{Path: path, Read: c.read})
	})
}

func Info(ctx context.Context, c getConfig) (*fetch.InfoResult, error) {
	c.Trust.ReadOnly = true
	return session(ctx, c, func(s *fetch.Session) (*fetch.InfoResult, error) { return s.Info(c.ballot()) })
}

func DryRun(ctx context.Context, c getConfig) (*fetch.Plan, error) {
	c.Trust.ReadOnly = true
	return session(ctx, c, func(s *fetch.Session) (*fetch.Plan, error) { return s.Plan(c.ballot(), c.output()) })
}
