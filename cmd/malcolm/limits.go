package main

import (
	"fmt"
	"strconv"

	"github.com/alecthomas/kong"

	"malcolm/transfer"
)

// LimitFlags are what serve grants its clients. Each has a finite default and
// bounds; nothing means "without a limit".
type LimitFlags struct {
	MaxClients           Count   `group:"Limits" default:"1024" placeholder:"N" help:"Connections of all clients together, those that are not complete included. Default ${default}."`
	MaxClientsPerAddress Count   `group:"Limits" default:"128" placeholder:"N" help:"Connections from one IP address (IPv6: one /64) to one virtual server. Default ${default}."`
	MaxStreams           Count   `group:"Limits" default:"64" placeholder:"N" help:"Requests that a connection may have under way. Default ${default}."`
	MaxVain              Count   `group:"Limits" default:"256" placeholder:"N" help:"How many more requests of a connection, or in 16 seconds of an address, may come to nothing than were answered in full. Default ${default}."`
	MaxBuffers           Count   `group:"Limits" default:"128" placeholder:"N" help:"Buffers of 1 MiB for what is being sent to all clients together. Default ${default}."`
	HandshakeRate        Count   `group:"Limits" default:"64" placeholder:"N" help:"Handshakes a second that may begin before the client has proved its address, and with a proof, from one address. Default ${default}."`
	GuessRate            Count   `group:"Limits" default:"60" placeholder:"N" help:"With --token: how often in a minute an address may come without the right one, after the first five times. Default ${default}."`
	HandshakeTimeout     Timeout `group:"Limits" default:"10" placeholder:"SECONDS" help:"How long a handshake may take. Default ${default}."`
	HelloTimeout         Timeout `group:"Limits" default:"30" placeholder:"SECONDS" help:"How long a client may take from the handshake to its first request. Default ${default}."`
	RequestTimeout       Timeout `group:"Limits" default:"10" placeholder:"SECONDS" help:"How long a client may take to send one request. Default ${default}."`
	StallTimeout         Timeout `group:"Limits" default:"30" placeholder:"SECONDS" help:"How long a reply may go without the client taking a byte. Default ${default}."`
	IdleTimeout          Timeout `group:"Limits" default:"30m" placeholder:"TIME" help:"How long a connection may have no request under way. Default ${default}."`
	IndexingTimeout      Timeout `group:"Limits" default:"1h" placeholder:"TIME" help:"How long a client may wait until the file is hashed; then it is told to come back later. Default ${default}."`
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

// maxCount bounds what a [Count] may be: more would be no limit for any machine.
const maxCount = 1 << 20

// A Count is a limit, 1 to 1,048,576. Its zero value is not a valid one; flags
// give it a default.
type Count int

// Decode implements [kong.MapperValue].
func (c *Count) Decode(ctx *kong.DecodeContext) error {
	text, err := popValue(ctx, "a number")
	if err != nil {
		return err
	}
	n, err := ParseCount(text)
	if err != nil {
		return err
	}
	*c = n
	return nil
}

// ParseCount reads a limit. It returns an error in words for anything that is no
// whole number from 1 to 1,048,576.
func ParseCount(s string) (Count, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	switch {
	case looksNegative(s):
		return 0, fmt.Errorf("%s is negative: from 1 to %s are possible", quotePeer(s), comma(maxCount))
	case err == nil && n == 0:
		return 0, fmt.Errorf("0 would be no limit: from 1 to %s are possible", comma(maxCount))
	case err != nil || n > maxCount:
		return 0, fmt.Errorf("%s is not a whole number from 1 to %s", quotePeer(s), comma(maxCount))
	}
	return Count(n), nil
}
