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
// bounds; nothing means "without a limit". Those without a default here have one that
// depends on the memory.
type LimitFlags struct {
	MaxClients       flags.Count   `group:"Limits" placeholder:"N" help:"Connections of all clients together, those that are not complete included; then who idles has to go. Default: an eighth of the memory, at 128 KiB each, from 256 to 16,384."`
	MaxHeld          flags.Size    `group:"Limits" placeholder:"SIZE" help:"Bytes that clients may make serve hold: buffers, requests, and what is sent and not acknowledged. Default: a quarter of the memory, at most 256M."`
	MaxStreams       flags.Count   `group:"Limits" default:"64" placeholder:"N" help:"Requests that a connection may have under way. Default ${default}."`
	MaxWasted        flags.Count   `group:"Limits" default:"256" placeholder:"N" help:"Requests that a connection may waste (malformed, refused or abandoned) beyond those answered in full, and an address in 16 seconds. Default ${default}."`
	HandshakeRate    flags.Count   `group:"Limits" default:"64" placeholder:"N" help:"Handshakes a second that may begin before the client has proved its address, and with a proof, from one address. Default ${default}."`
	HandshakeTimeout flags.Timeout `group:"Limits" default:"10" placeholder:"SECONDS" help:"How long a handshake may take. Default ${default}."`
	HelloTimeout     flags.Timeout `group:"Limits" default:"10" placeholder:"SECONDS" help:"How long a client may take from the handshake until a first request of it is accepted. Default ${default}."`
	RequestTimeout   flags.Timeout `group:"Limits" default:"10" placeholder:"SECONDS" help:"How long a client may take to send one request. Default ${default}."`
	StallTimeout     flags.Timeout `group:"Limits" default:"30" placeholder:"SECONDS" help:"How long a reply may go without the client taking a byte. Default ${default}."`
	IdleTimeout      flags.Timeout `group:"Limits" default:"30m" placeholder:"TIME" help:"How long a connection may have no reply under way. Default ${default}."`
	IndexingTimeout  flags.Timeout `group:"Limits" default:"1h" placeholder:"TIME" help:"How long a client may wait until the file is hashed; then it is told to come back later. Default ${default}."`
}

// limits returns the limits on a machine with so many bytes of memory; 0 means that it
// is not known.
func (f *LimitFlags) limits(memory int64) serve.Limits {
	l := serve.Limits{
		Places: int(f.MaxClients), Bytes: int64(f.MaxHeld), Streams: int(f.MaxStreams),
		Wasted: int(f.MaxWasted), HandshakeRate: int(f.HandshakeRate),
		HandshakeTimeout: f.HandshakeTimeout.Duration(), HelloTimeout: f.HelloTimeout.Duration(),
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

// memoryLeast is what serve needs without clients, in bytes, and memoryOfChunk what it
// needs for each chunk of its file: the values of three versions.
const (
	memoryLeast   = 24 << 20
	memoryOfChunk = 3 * 48
)

// keepMemory returns what has the collector of garbage keep serve, which has a file of
// size bytes, within what its clients may take, and below the limit of memory of the
// process, above which it would be killed. It is nil when the environment says how.
func keepMemory(size int64) func(granted int64) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	least := memoryLeast + memoryOfChunk*int64(manifest.Count(size))
	most := int64(math.MaxInt64)
	if limit, group := serve.MemoryLimit(); group {
		most = limit / 5 * 4
	}
	return func(granted int64) { debug.SetMemoryLimit(min(least+granted, most)) }
}
