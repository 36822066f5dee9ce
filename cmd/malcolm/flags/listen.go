package flags

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/alecthomas/kong"

	"malcolm/cmd/malcolm/human"
)

// A Listen is an address to listen on for programs that watch: this machine's
// own unless the user names another. It is typed as a port (9100 or :9100) or
// as an IP address and a port (0.0.0.0:9100, [::1]:9100); localhost is
// 127.0.0.1. Port 0 is any free one. The zero value is no address.
type Listen struct{ netip.AddrPort }

// Decode implements [kong.MapperValue].
func (l *Listen) Decode(ctx *kong.DecodeContext) error {
	return decode(ctx, l, "an address", ParseListen)
}

// IsLoopback reports whether only this machine reaches the address.
func (l Listen) IsLoopback() bool { return l.Addr().Unmap().IsLoopback() }

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// ParseListen reads an address to listen on. The error says in words why s is
// not one.
func ParseListen(s string) (Listen, error) {
	if s == "" {
		return Listen{}, errors.New("the value is empty: give a port, as 9100, or an address, as 0.0.0.0:9100")
	}
	host, number := "", s
	if !isDigits(s) {
		var err error
		if host, number, err = net.SplitHostPort(s); err != nil {
			return Listen{}, fmt.Errorf("%s is no address to listen on: give a port, as 9100, or an address, as 0.0.0.0:9100 or [::1]:9100", human.Quote(s))
		}
	}
	port, err := strconv.ParseUint(number, 10, 16)
	if err != nil || !isDigits(number) {
		return Listen{}, fmt.Errorf("%s: ports are 0 to 65535", human.Quote(s))
	}
	addr := loopback
	if host != "" && host != "localhost" {
		if addr, err = netip.ParseAddr(host); err != nil {
			return Listen{}, fmt.Errorf("%s: only an IP address can be listened on", human.Quote(s))
		}
	}
	return Listen{netip.AddrPortFrom(addr, uint16(port))}, nil
}
