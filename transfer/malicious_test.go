package transfer

import (
	"net"
	"net/netip"
	"testing"

	"malcolm/transfer/hostile"
	"malcolm/transfer/source"
	"malcolm/transport"
)

// malicious starts a malicious server under an identity of testIDs. It offers
// data and its values inline; prepare may change that.
func (w *world) malicious(data []byte, id int, prepare func(m *hostile.Server)) *hostile.Server {
	w.t.Helper()
	m := &hostile.Server{Target: w.nextTargets(1)[0]}
	must(w.t, m.Hold(data))
	w.link(m.Target)
	if prepare != nil {
		prepare(m)
	}
	if w.tcp.only {
		must(w.t, m.StartTCP(w.listenTCP(addrOf(m.Target).AddrPort()), testIDs[id]))
	} else {
		must(w.t, m.Start(w.socket(addrOf(m.Target)), testIDs[id]))
	}
	w.hostiles = append(w.hostiles, m)
	return m
}

// addrOf returns the address of a target of the world.
func addrOf(t source.Target) *net.UDPAddr {
	return net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(t.Host), t.Port))
}

func attackerHost(host byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 66, 0, host}) }

// attackerSocket returns a socket at an attacker's address, 10.66.0.host, on a
// port of its own.
func (w *world) attackerSocket(host byte) net.PacketConn {
	w.mu.Lock()
	w.port++
	from := netip.AddrPortFrom(attackerHost(host), uint16(w.port))
	w.mu.Unlock()
	return w.socket(net.UDPAddrFromAddrPort(from))
}

// attacker returns an attacker at 10.66.0.host whose target is t.
func (w *world) attacker(t source.Target, host byte) *hostile.Attacker {
	return &hostile.Attacker{
		Server: addrOf(t), Open: func() (net.PacketConn, error) { return w.attackerSocket(host), nil },
		Dial: w.dialer(t, attackerHost(host)),
	}
}

// attack connects to a server from an attacker's address, 10.66.0.host. The
// window is in bytes; 0 is transport's default.
func (w *world) attack(t source.Target, host byte, window int64) transport.Conn {
	w.t.Helper()
	a := w.attacker(t, host)
	a.Window = window
	return w.connect(a)
}

// connect makes a connection that is closed at the end of the world.
func (w *world) connect(a *hostile.Attacker) transport.Conn {
	w.t.Helper()
	conn, err := a.Connect(w.t.Context())
	must(w.t, err)
	w.t.Cleanup(func() { conn.Close(0, "") })
	return conn
}

// A malicious server without hooks is an honest one, so that what a test sees
// is due to its hooks.
func TestMaliciousServerIsHonestWithoutHooks(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(3*chunk+5, 1)
		m := w.malicious(data, 0, nil)
		o := w.get(getConfig{Targets: []source.Target{m.Target}})
		o.has("data.bin", data)
	})
}
