package main

import (
	"math"
	"os"
	"runtime/debug"
	"sync"

	"malcolm/cmd/malcolm/flags"
	"malcolm/transfer/admission"
	"malcolm/transfer/manifest"
	"malcolm/transfer/serve"
)

// LimitFlags bound what clients of serve may use. Each has a finite default and
// bounds; no value means "without a limit". Defaults that are not given here
// depend on the memory.
type LimitFlags struct {
	MaxClients       flags.Count   `group:"Limits" placeholder:"N" help:"Connections of all clients together, unfinished ones included. When they run out, idle clients are sent away. Default: an eighth of the memory, at 128 KiB each, from 256 to 16,384."`
	MaxHeld          flags.Size    `group:"Limits" placeholder:"SIZE" help:"Bytes that clients may make serve hold: buffers, requests, and what is sent but not acknowledged. Default: a quarter of the memory, at most 256M."`
	MaxStreams       flags.Count   `group:"Limits" default:"64" placeholder:"N" help:"Requests under way on one connection. Default ${default}."`
	MaxWasted        flags.Count   `group:"Limits" default:"256" placeholder:"N" help:"Requests that a connection may waste (malformed, refused, abandoned) beyond those completed. An address has the same budget, refilled in 16 seconds. Default ${default}."`
	HandshakeRate    flags.Count   `group:"Limits" default:"64" placeholder:"N" help:"Handshakes begun each second: by all clients that have not proved their address, and by one address with a proof. Default ${default}."`
	HandshakeTimeout flags.Timeout `group:"Limits" default:"10" placeholder:"SECONDS" help:"Time for a handshake. Default ${default}."`
	OpenTimeout      flags.Timeout `group:"Limits" default:"10" placeholder:"SECONDS" help:"Time from the handshake until a client has opened its connection. Default ${default}."`
	RequestTimeout   flags.Timeout `group:"Limits" default:"10" placeholder:"SECONDS" help:"Time for a client to send one request. Default ${default}."`
	StallTimeout     flags.Timeout `group:"Limits" default:"30" placeholder:"SECONDS" help:"How long a client may take no byte of a reply. Default ${default}."`
	IdleTimeout      flags.Timeout `group:"Limits" default:"30m" placeholder:"TIME" help:"How long a connection may have no reply under way. Default ${default}."`
	Drain            flags.Timeout `group:"Limits" default:"5" placeholder:"SECONDS" help:"Time for requests under way to finish when serve stops. Default ${default}."`
	IndexingTimeout  flags.Timeout `group:"Limits" default:"1h" placeholder:"TIME" help:"How long a client may wait for the file to be hashed. Then it is told to come back later. Default ${default}."`
}

// limits returns the limits on a machine with memory bytes of memory; 0: not
// known.
func (f *LimitFlags) limits(memory int64) serve.Limits {
	l := serve.Limits{
		Places: int(f.MaxClients), Bytes: int64(f.MaxHeld), Streams: int(f.MaxStreams),
		Wasted: int(f.MaxWasted), HandshakeRate: int(f.HandshakeRate),
		HandshakeTimeout: f.HandshakeTimeout.Duration(), OpenTimeout: f.OpenTimeout.Duration(),
		RequestTimeout: f.RequestTimeout.Duration(), StallTimeout: f.StallTimeout.Duration(),
		IdleTimeout: f.IdleTimeout.Duration(), IndexingTimeout: f.IndexingTimeout.Duration(),
		DrainTime: f.Drain.Duration(),
	}
	if l.Places == 0 {
		l.Places = admission.PlacesOf(memory)
	}
	if l.Bytes == 0 {
		l.Bytes = admission.BytesOf(memory)
	}
	return l
}

// memoryLeast is what serve needs without clients, in bytes. memoryOfChunk is
// what it needs for each chunk of its file: the values of three versions.
// memoryOfTree is enough for a directory of any size while it is scanned anew.
const (
	memoryLeast   = 24 << 20
	memoryOfChunk = 3 * 32
	memoryOfTree  = 1 << 30
)

// memoryOf returns what serve needs without clients for a file of size bytes.
func memoryOf(size int64) int64 { return memoryLeast + memoryOfChunk*int64(manifest.Count(size)) }

// A memoryLimit is the garbage collector's. It is below the memory limit of the
// process, above which it would be killed. It is no higher than what serve, its
// file and its clients need. Any goroutine may call its methods.
type memoryLimit struct {
	most int64 // 0: GOMEMLIMIT is set, and holds

	mu      sync.Mutex
	least   int64 // what is needed without clients, in bytes
	granted int64 // what clients may take, in bytes
}

// newMemoryLimit returns that of a serve which needs least bytes without
// clients.
func newMemoryLimit(least int64) *memoryLimit {
	m := &memoryLimit{least: least, most: math.MaxInt64}
	limit, group := serve.MemoryLimit()
	switch {
	case os.Getenv("GOMEMLIMIT") != "":
		m.most = 0
	case group:
		m.most = limit / 5 * 4
	}
	return m
}

// grant says how many bytes clients may take.
func (m *memoryLimit) grant(bytes int64) { m.change(func() { m.granted = bytes }) }

// need says what another file needs. A smaller one takes nothing away: clients
// still read the one before.
func (m *memoryLimit) need(least int64) { m.change(func() { m.least = max(m.least, least) }) }

func (m *memoryLimit) change(do func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	do()
	if m.most > 0 {
		debug.SetMemoryLimit(min(m.least+m.granted, m.most))
	}
}

// treeGCPercent is how much memory may grow between two collections while a
// directory is read for the first time, and from then on if it has manyEntries.
// They are cheap: what is held of its entries has no pointers. For 2^20 of them
// serve needs 183 MiB, with 100 it needs 256 and no less of the processors.
const (
	treeGCPercent = 30
	manyEntries   = 100_000
)

// collectOften sets how often the garbage collector runs for a directory, until
// end is called. It learns the size of the directory from the server's events,
// and passes them on to told.
func collectOften(t *terminal, tree *serve.Tree, told ...func(serve.Event)) (event func(serve.Event), end func()) {
	tell := func(e serve.Event) {
		for _, of := range told {
			of(e)
		}
	}
	if tree == nil || t.getenv("GOGC") != "" {
		return tell, func() {}
	}
	before := debug.SetGCPercent(treeGCPercent)
	return func(e serve.Event) {
		tell(e)
		ready, ok := e.(serve.Ready)
		if !ok || ready.Tree == nil {
			return
		}
		percent := before
		if n := ready.Tree; n.Files+n.Directories+n.Links >= manyEntries {
			percent = treeGCPercent
		}
		debug.SetGCPercent(percent)
	}, func() { debug.SetGCPercent(before) }
}
