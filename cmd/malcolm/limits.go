package main

import (
	"malcolm/cmd/malcolm/flags"
	"malcolm/transfer"
)

// LimitFlags are what serve grants its clients. Each has a finite default and
// bounds; nothing means "without a limit".
type LimitFlags struct {
	MaxClients           flags.Count   `group:"Limits" default:"1024" placeholder:"N" help:"Connections of all clients together, those that are not complete included. Default ${default}."`
	MaxClientsPerAddress flags.Count   `group:"Limits" default:"128" placeholder:"N" help:"Connections from one IP address (IPv6: one /64) to one virtual server. Default ${default}."`
	MaxStreams           flags.Count   `group:"Limits" default:"64" placeholder:"N" help:"Requests that a connection may have under way. Default ${default}."`
	MaxVain              flags.Count   `group:"Limits" default:"256" placeholder:"N" help:"How many more requests of a connection, or in 16 seconds of an address, may come to nothing than were answered in full. Default ${default}."`
	MaxBuffers           flags.Count   `group:"Limits" default:"128" placeholder:"N" help:"Buffers of 1 MiB for what is being sent to all clients together. Default ${default}."`
	HandshakeRate        flags.Count   `group:"Limits" default:"64" placeholder:"N" help:"Handshakes a second that may begin before the client has proved its address, and with a proof, from one address. Default ${default}."`
	GuessRate            flags.Count   `group:"Limits" default:"60" placeholder:"N" help:"With --token: how often in a minute an address may come without the right one, after the first five times. Default ${default}."`
	HandshakeTimeout     flags.Timeout `group:"Limits" default:"10" placeholder:"SECONDS" help:"How long a handshake may take. Default ${default}."`
	HelloTimeout         flags.Timeout `group:"Limits" default:"30" placeholder:"SECONDS" help:"How long a client may take from the handshake to its first request. Default ${default}."`
	RequestTimeout       flags.Timeout `group:"Limits" default:"10" placeholder:"SECONDS" help:"How long a client may take to send one request. Default ${default}."`
	StallTimeout         flags.Timeout `group:"Limits" default:"30" placeholder:"SECONDS" help:"How long a reply may go without the client taking a byte. Default ${default}."`
	IdleTimeout          flags.Timeout `group:"Limits" default:"30m" placeholder:"TIME" help:"How long a connection may have no request under way. Default ${default}."`
	IndexingTimeout      flags.Timeout `group:"Limits" default:"1h" placeholder:"TIME" help:"How long a client may wait until the file is hashed; then it is told to come back later. Default ${default}."`
}

func (f *LimitFlags) limits() transfer.ServeLimits {
	return transfer.ServeLimits{
		Clients: int(f.MaxClients), ClientsPerAddr: int(f.MaxClientsPerAddress), Streams: int(f.MaxStreams),
		Vain: int(f.MaxVain), Buffers: int(f.MaxBuffers), HandshakeRate: int(f.HandshakeRate), Guesses: int(f.GuessRate),
		HandshakeTimeout: f.HandshakeTimeout.Duration(), HelloTimeout: f.HelloTimeout.Duration(),
		RequestTimeout: f.RequestTimeout.Duration(), StallTimeout: f.StallTimeout.Duration(),
		IdleTimeout: f.IdleTimeout.Duration(), IndexingTimeout: f.IndexingTimeout.Duration(),
	}
}
