package main

import (
	"math"
	"os"
	"runtime/debug"

	"malcolm/cmd/malcolm/flags"
	"malcolm/transfer/admission"
	"malcolm/transfer/manifest"
	"malcolm/transfer/serve"
)

// LimitFlags are what serve grants its clients. Each has a finite default and
// bounds; no value means "without a limit". Where no default is given here, it
// depends on the memory.
type LimitFlags struct {
	MaxClients       flags.Count   `group:"Limits" placeholder:"N" help:"Connections of all clients together, unfinished ones included. When they run out, idle clients have to go. Default: an eighth of the memory, at 128 KiB each, from 256 to 16,384."`
	MaxHeld          flags.Size    `group:"Limits" placeholder:"SIZE" help:"Bytes that clients may make serve hold: buffers, requests, and what is sent but not acknowledged. Default: a quarter of the memory, at most 256M."`
	MaxStreams       flags.Count   `group:"Limits" default:"64" placeholder:"N" help:"Requests under way on one connection. Default ${default}."`
	MaxWasted        flags.Count   `group:"Limits" default:"256" placeholder:"N" help:"Requests that a connection may waste (malformed, refused, abandoned) beyond those completed. An address has the same budget, refilled in 16 seconds. Default ${default}."`
	HandshakeRate    flags.Count   `group:"Limits" default:"64" placeholder:"N" help:"Handshakes begun each second: by all clients that have not proved their address, and by one address with a proof. Default ${default}."`
	HandshakeTimeout flags.Timeout `group:"Limits" default:"10" placeholder:"SECONDS" help:"Time for a handshake. Default ${default}."`
	OpenTimeout      flags.Timeout `group:"Limits" default:"10" placeholder:"SECONDS" help:"Time from the handshake until a client has opened its connection. Default ${default}."`
	RequestTimeout   flags.Timeout `group:"Limits" default:"10" placeholder:"SECONDS" help:"Time for a client to send one request. Default ${default}."`
	StallTimeout     flags.Timeout `group:"Limits" default:"30" placeholder:"SECONDS" help:"How long a client may take no byte of a reply. Default ${default}."`
	IdleTimeout      flags.Timeout `group:"Limits" default:"30m" placeholder:"TIME" help:"How long a connection may have no reply under way. Default ${default}."`
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

// keepMemory returns a function that sets the garbage collector's limit: below
// the memory limit of the process, above which it would be killed, and no
// higher than serve, its file of size bytes and its clients need. It is nil
// when GOMEMLIMIT is set.
func keepMemory(size int64) func(granted int64) {
	return keepMemoryOf(memoryLeast + memoryOfChunk*int64(manifest.Count(size)))
}

// keepMemoryOf is keepMemory for what needs least bytes without clients.
func keepMemoryOf(least int64) func(granted int64) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	most := int64(math.MaxInt64)
	if limit, group := serve.MemoryLimit(); group {
		most = limit / 5 * 4
	}
	return func(granted int64) { debug.SetMemoryLimit(min(least+granted, most)) }
}
