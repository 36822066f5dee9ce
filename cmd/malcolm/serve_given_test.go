package main

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"malcolm/cmd/malcolm/systemd"
)

// at is a socket at an address, which does nothing.
type at struct {
	net.PacketConn
	net.Listener
	addr net.Addr
}

func (a at) LocalAddr() net.Addr { return a.addr }
func (a at) Addr() net.Addr      { return a.addr }
func (a at) Close() error        { return nil }

// manually makes sockets of words NAME=KIND:ADDRESS:PORT.
func manually(t *testing.T, words string) (all []systemd.Socket) {
	t.Helper()
	for i, word := range strings.Fields(words) {
		name, rest, _ := strings.Cut(word, "=")
		kind, addr, _ := strings.Cut(rest, ":")
		s := systemd.Socket{Number: 3 + i, Name: name}
		to := netip.MustParseAddrPort(addr)
		if kind == "u" {
			s.UDP = at{addr: net.UDPAddrFromAddrPort(to)}
		} else {
			s.TCP = at{addr: net.TCPAddrFromAddrPort(to)}
		}
		all = append(all, s)
	}
	return all
}

// TestSortGiven: sockets are for what their names and kinds say, and TCP goes
// beside UDP at its address or port.
func TestSortGiven(t *testing.T) {
	for _, each := range []struct {
		words string
		want  string // tcp of each virtual server, http, metrics, bind
	}{
		{"", " - - -"},
		{"m.socket=u:[::]:1 m.socket=t:[::]:1", "[::]:1 - - -"},
		{"=u:10.0.0.1:1 =u:10.0.0.1:2 =t:10.0.0.1:2", "-,10.0.0.1:2 - - 10.0.0.1"},
		{"=u:10.0.0.1:1 =u:10.0.0.2:1 =t:10.0.0.2:1 =t:[::]:1", "[::]:1,10.0.0.2:1 - - -"},
		{"udp=u:[::ffff:10.0.0.1]:1 https=t:10.0.0.1:1 http=t:127.0.0.1:80 metrics=t:[::1]:9100", "10.0.0.1:1,https 127.0.0.1:80 [::1]:9100 10.0.0.1"},
		{"metrics=t:[::1]:9100", " - [::1]:9100 -"},
	} {
		g, err := sortGiven(manually(t, each.words))
		if err != nil {
			t.Errorf("%s: %v", each.words, err)
			continue
		}
		name := func(ln net.Listener) string {
			if ln == nil {
				return "-"
			}
			return ln.Addr().String()
		}
		var tcp []string
		for _, ln := range g.tcp {
			tcp = append(tcp, name(ln))
		}
		if g.https {
			tcp = append(tcp, "https")
		}
		bind := "-"
		if b := g.bind(); b.IsValid() {
			bind = b.String()
		}
		if got := strings.Join([]string{strings.Join(tcp, ","), name(g.http), name(g.metrics), bind}, " "); got != each.want {
			t.Errorf("%s: got %q, want %q", each.words, got, each.want)
		}
	}
	for _, each := range []struct{ words, want string }{
		{"udp=t:[::]:1", `socket 3, "udp": is for TCP: its unit needs ListenDatagram=`},
		{"x=u:[::]:1 https=u:[::]:2", `socket 4, "https": is for UDP: its unit needs ListenStream=`},
		{"metrics=u:[::]:1", "is for UDP"},
		{"x=u:[::]:1 x=u:[::]:1", "socket 4, \"x\": one before it is for the same"},
		{"http=t:[::]:1 http=t:[::]:2", "one before it is for the same"},
		{"=u:[::]:1 =t:[::]:2", "socket 4: is for TCP port 2, and no socket for UDP of that port is there for it"},
		{"=u:[::]:1 =t:[::]:1 =t:10.0.0.1:1", "socket 5: is for TCP port 1, and no socket for UDP"},
		{"metric=t:[::]:9100", "is for TCP port 9100"},
	} {
		if _, err := sortGiven(manually(t, each.words)); err == nil || !strings.Contains(err.Error(), each.want) || exitCode(err) != exitUsage {
			t.Errorf("%s: got %v, want %q", each.words, err, each.want)
		}
	}
}
