package malcolm

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"malcolm/transfer/source"
	"malcolm/transport"
	"malcolm/wire"
)

// Whatever goes wrong with a server is sorted once, and has words.
func TestFault(t *testing.T) {
	closed := func(code wire.CloseCode) error {
		return &transport.PeerError{Kind: transport.PeerClosed, Code: uint64(code), Text: "words of the peer\x1b"}
	}
	tests := []struct {
		err  error
		want string
	}{
		{closed(wire.CloseStopping), "the server is stopping"},
		{closed(wire.CloseLimit), "the server says that a limit is reached"},
		{closed(wire.CloseProtocol), "the server says that we broke the protocol"},
		{closed(wire.CloseInternal), "the server says that it has an internal error"},
		{closed(99), `peer closed the connection with code 99: "words of the peer\x1b"`},
		{&transport.PeerError{Kind: transport.PeerReset, Code: uint64(wire.StreamUnreadable)}, "the server cannot read its file"},
		{&transport.PeerError{Kind: transport.PeerReset, Code: 99}, "the server ended a range"},
		{&transport.PeerError{Kind: transport.PeerTLS, Code: 40}, "the encrypted connection could not be made (TLS alert 40)"},
		{&transport.LocalError{Kind: transport.LocalDeadline}, "no answer in time"},
		{&wire.Refusal{Status: wire.StatusStopping, Text: "x"}, "the server is stopping"},
		{&transport.PeerError{Kind: transport.PeerNoALPN}, "another program than malcolm answers on this port"},
		{&transport.PeerError{Kind: transport.PeerVersion}, "another program than malcolm answers on this port"},
		{&transport.PeerError{Kind: transport.PeerRestarted}, "the server has forgotten the connection, as after a restart"},
		{&transport.PeerError{Kind: transport.PeerRefused}, "the server takes no more connections"},
		{&transport.NetworkError{Kind: transport.PortUnreachable}, "connection refused"},
		{&transport.NetworkError{Kind: transport.IdleTimeout}, "the connection died: nothing came for too long"},
		{&transport.NetworkError{Kind: transport.HostUnreachable}, "host unreachable"},
		{&wire.Refusal{Status: wire.StatusBusy, Text: "a\nb"}, `refused: busy: "a\nb"`},
		{lateFault(source.NoAnswer, 5*time.Second), "no answer in 5s"},
		{lateFault(source.SlowAnswer, 5*time.Second), "no complete answer in 5s"},
		{&transport.NetworkError{Kind: transport.Prohibited}, "the routes or the firewall of this machine forbid it"},
		{&transport.NetworkError{Kind: transport.NoLocalAddress}, "no interface of this machine has the address to send from"},
		{source.ResolveFault("x", &net.DNSError{Err: "no such host", Name: "x", Server: "10.0.0.1:53", IsNotFound: true}), `host "x" is not known`},
		{source.ResolveFault("x", &net.DNSError{Err: "i/o timeout", Name: "x", IsTimeout: true}), `host "x": the name server does not answer`},
		{source.ResolveFault("x", &net.DNSError{Err: "server misbehaving", Name: "x"}), `host "x": the name server has no answer: server misbehaving`},
		{source.ResolveFault("::1", &source.FamilyError{Is4: true}), `host "::1" has no IPv4 address`},
		{errors.New("odd"), "odd"},
	}
	for _, test := range tests {
		if got := fault(test.err).Error(); got != test.want {
			t.Errorf("%#v: got %q, want %q", test.err, got, test.want)
		}
		if got := fault(fmt.Errorf("dial: %w", test.err)).Error(); strings.Contains(got, "\x1b") {
			t.Errorf("%#v: %q has an escape sequence of the peer", test.err, got)
		}
	}
}

func TestIsFull(t *testing.T) {
	for _, test := range []struct {
		err  error
		want bool
	}{
		{&transport.PeerError{Kind: transport.PeerRefused}, true},
		{&transport.PeerError{Kind: transport.PeerClosed, Code: uint64(wire.CloseLimit)}, true},
		{&transport.PeerError{Kind: transport.PeerClosed, Code: uint64(wire.CloseDone)}, false},
		{&transport.PeerError{Kind: transport.PeerReset, Code: uint64(wire.CloseLimit)}, false},
		{&wire.Refusal{Status: wire.StatusBusy}, true},
		{&wire.Refusal{Status: wire.StatusUnreadable}, false},
		{&transport.NetworkError{Kind: transport.PortUnreachable}, false},
		{errors.New("other"), false},
	} {
		if got := source.IsFull(fault(test.err)); got != test.want {
			t.Errorf("%v: %t, want %t", test.err, got, test.want)
		}
	}
}
