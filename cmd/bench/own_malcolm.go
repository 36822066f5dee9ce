package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"malcolm/certs"
	"malcolm/transfer/fetch"
	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest/cache"
	"malcolm/transfer/serve"
	"malcolm/transfer/source"
	"malcolm/transfer/source/malcolm"
	"malcolm/transport"
)

// malcolmServeCmd is `malcolm serve` for figures that the real one does not
// give: it counts its allocations, and can withhold the end of the file.
type malcolmServeCmd struct {
	Bind   string `required:""`
	Number int    `default:"1"`
	Keep   int64  `help:"Bytes at the end of the file that are never sent."`
	File   string `arg:""`
}

// Run serves until ctx ends.
func (c *malcolmServeCmd) Run(ctx context.Context, s *streams) error {
	state, err := certs.StateDir()
	if err != nil {
		return err
	}
	identity, err := certs.LoadOrCreate(state)
	if err != nil {
		return err
	}
	cacheDir, err := certs.CacheDir()
	if err != nil {
		return err
	}
	var conns []net.PacketConn
	var ports []string
	for range c.Number {
		pc, err := transport.ListenUDP(c.Bind, 0)
		if err != nil {
			return err
		}
		conns = append(conns, pc)
		ports = append(ports, strconv.Itoa(pc.LocalAddr().(*net.UDPAddr).Port))
	}
	source := &endless{Source: localfile.Named(c.File), keep: c.Keep, ctx: ctx}
	var count allocations
	err = serve.Serve(ctx, serve.Config{
		Source: source, Name: fileName, Identity: identity, Conns: conns, Hashes: serve.Hashes{Cache: &cache.Cache{Dir: cacheDir}},
		Events: func(e serve.Event) {
			if _, ok := e.(serve.Ready); ok {
				source.hashed.Store(true)
				count.begin()
				fmt.Fprintf(s.err, "listening on UDP %s\n", strings.Join(ports, " "))
			}
		},
	})
	count.end(s.err)
	return err
}

// An endless file withholds its last keep bytes once it has been hashed:
// reading those waits until ctx ends.
type endless struct {
	localfile.Source
	keep   int64
	ctx    context.Context
	hashed atomic.Bool
}

// Open opens the file behind it.
func (e *endless) Open() (localfile.File, error) {
	f, err := e.Source.Open()
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &endlessFile{File: f, endless: e, kept: info.Size() - e.keep}, nil
}

type endlessFile struct {
	localfile.File
	*endless
	kept int64 // where the withheld bytes begin
}

// ReadAt implements [io.ReaderAt].
func (f *endlessFile) ReadAt(p []byte, off int64) (int, error) {
	if f.keep > 0 && f.hashed.Load() && off+int64(len(p)) > f.kept {
		<-f.ctx.Done()
		return 0, f.ctx.Err()
	}
	return f.File.ReadAt(p, off)
}

// malcolmGetCmd is `malcolm get` for such figures: it counts its allocations,
// and can end early.
type malcolmGetCmd struct {
	Output  string   `required:""`
	Until   int64    `help:"Good bytes after which to stop; 0: all."`
	Targets []string `arg:""`
}

// endPoll is the time between two looks at the progress.
const endPoll = 20 * time.Millisecond

var errUntil = errors.New("stopped early")

// Run copies the file, or the beginning of it.
func (c *malcolmGetCmd) Run(ctx context.Context, s *streams) error {
	var targets []source.Target
	for _, target := range c.Targets {
		host, digits, err := net.SplitHostPort(target)
		if err != nil {
			return err
		}
		port, err := strconv.ParseUint(digits, 10, 16)
		if err != nil {
			return err
		}
		targets = append(targets, source.Target{Host: host, Port: uint16(port)})
	}
	sources, err := malcolm.Sources(ctx, malcolm.Config{}, targets, false)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	session := fetch.Open(ctx, fetch.Servers{Sources: sources}, fetch.Watch{})
	defer session.Close()
	if c.Until > 0 {
		go func() {
			for session.Snapshot().Good < c.Until && ctx.Err() == nil {
				time.Sleep(endPoll)
			}
			stop(errUntil)
		}()
	}
	var count allocations
	count.begin()
	_, err = session.Get(fetch.Ballot{}, fetch.Output{Dir: c.Output})
	count.end(s.err)
	if errors.Is(err, errUntil) {
		return nil
	}
	return err
}

// allocations counts what the process allocates.
type allocations struct{ before uint64 }

func (a *allocations) begin() { a.before = mallocs() }

func (a *allocations) end(w io.Writer) {
	fmt.Fprintf(w, "allocations: %d\n", mallocs()-a.before)
}

// mallocs returns the number of objects allocated so far.
func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}
