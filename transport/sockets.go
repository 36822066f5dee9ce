package transport

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/net/ipv4"
)

// ListenUDP opens the socket of a virtual server on bind and port. bind may be
// empty, which means all addresses, IPv4 and IPv6 on one socket. An IPv4 or
// IPv6 address, even the unspecified one, means that address and family only. A
// host name means its first address. Port 0 lets the system choose. The error
// wraps the system's; see [InUse].
func ListenUDP(bind string, port uint16) (net.PacketConn, error) {
	hostPort := net.JoinHostPort(bind, strconv.Itoa(int(port)))
	network := "udp"
	if a, err := netip.ParseAddr(bind); err == nil {
		network = "udp6"
		if a.Unmap().Is4() {
			network = "udp4"
		}
	}
	local, err := net.ResolveUDPAddr(network, hostPort)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", hostPort, err)
	}
	pc, err := net.ListenUDP(network, local)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", hostPort, err)
	}
	return pc, nil
}

// InUse reports whether err says that another socket has the port.
func InUse(err error) bool { return isErrno(err, errnoInUse) }

// DialUDP opens a UDP socket that is connected to remote, from the address
// local; if that is the zero Addr, the system chooses. It sends nothing. A
// [*NetworkError] says that there is no way to remote. The result is meant for
// [Dial] and gives quic-go all that a *net.UDPConn gives it.
func DialUDP(local netip.Addr, remote netip.AddrPort) (net.PacketConn, error) {
	remote = netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())
	var from *net.UDPAddr
	if local.IsValid() {
		from = net.UDPAddrFromAddrPort(netip.AddrPortFrom(local.Unmap(), 0))
	}
	inner, err := net.DialUDP("udp", from, net.UDPAddrFromAddrPort(remote))
	if isErrno(err, errnoNoWay) {
		err = &NetworkError{Kind: Prohibited, Err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("open a socket to %s: %w", remote, classify(err))
	}
	enableRefusals(inner)
	c := &udpConn{
		UDPConn:  inner,
		faults:   newSocketFaults(),
		gro:      newGRO(inner),
		pressure: pressure{pause: time.Sleep},
		readFrom: inner.ReadFrom,
		writeMsg: func(b, oob []byte) (int, int, error) {
			return inner.WriteMsgUDP(b, oob, nil)
		},
	}
	if c.gro != nil {
		c.readBatch = c.gro.readBatch
	} else {
		c.readBatch = ipv4.NewPacketConn(inner).ReadBatch
	}
	c.watch = newWatch(func() { inner.SetReadDeadline(time.Unix(1, 0)) }, c.sendProbe)
	return c, nil
}
