package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"testing"

	"malcolm/certs"
	"malcolm/transport"
	"malcolm/wire"
)

// TestRealSockets: on one port number a client has all over UDP and over TCP,
// several at once, and a server that stops says so over both.
func TestRealSockets(t *testing.T) {
	pc, err := transport.ListenUDP("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := transport.OpenTCP("127.0.0.1", uint16(pc.LocalAddr().(*net.UDPAddr).Port))
	if err != nil {
		pc.Close()
		t.Skip("the TCP port of the same number is taken: ", err)
	}
	id, err := certs.Generate()
	if err != nil {
		t.Fatal(err)
	}
	data := numbers(5<<20, 1)
	events := make(chan Event, 16)
	s, err := NewServer(Config{
		Source: newMemFile(data), Name: "data", Identity: id, Conns: []net.PacketConn{pc}, TCP: TCP{Sockets: []net.Listener{ln}},
		Events: func(e Event) { events <- e },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	if e, ok := (<-events).(Listening); !ok || len(e.Addrs) != 1 || len(e.TCP) != 1 || e.TCP[0].String() != e.Addrs[0].String() {
		t.Errorf("event %+v, want one address of each", e)
	}

	options := transport.DialOptions{TLS: certs.ClientTLS(wire.ALPN, nil)}
	udp := pc.LocalAddr().(*net.UDPAddr)
	var conns []transport.Conn
	for range 3 {
		client, err := transport.DialUDP(udp.AddrPort().Addr(), udp.AddrPort())
		if err != nil {
			t.Fatal(err)
		}
		conn, err := transport.Dial(t.Context(), client, udp, options)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		dial := transport.DialSocket(nil, ln.Addr().String())
		if conn, err = transport.DialTCP(t.Context(), dial, ln.Addr(), options); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	var all sync.WaitGroup
	for _, conn := range conns {
		all.Go(func() {
			if err := fetch(t.Context(), conn, data); err != nil {
				t.Errorf("over %v: %v", conn.Protocol(), err)
			}
		})
	}
	all.Wait()
	st := s.Status()
	if v := st.Servers[0]; v.Clients != len(conns) || v.Sent != int64(len(conns)*len(data)) || st.Load.Conns != len(conns) {
		t.Errorf("status = %+v, want %d clients that got all", st, len(conns))
	}
	stop()
	for _, conn := range conns {
		<-conn.Done()
		if e, ok := errors.AsType[*transport.PeerError](conn.Err()); !ok || e.Kind != transport.PeerClosed || e.Code != uint64(wire.CloseStopping) {
			t.Errorf("over %v ended by %v, want the code of a server that stops", conn.Protocol(), conn.Err())
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestHostileTCPSockets: real sockets that send nothing, or no TLS, are let in
// as far as one address may take places, and cost nobody else.
func TestHostileTCPSockets(t *testing.T) {
	const places = 256
	pc, err := transport.ListenUDP("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := transport.OpenTCP("", 0)
	if err != nil {
		t.Fatal(err)
	}
	data := numbers(1<<20, 1)
	s := runServer(t, data, Config{
		Conns: []net.PacketConn{pc}, TCP: TCP{Sockets: []net.Listener{ln}}, Limits: Limits{Places: places},
	})
	port := ln.Addr().(*net.TCPAddr).Port
	attacker := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 7)}}
	to := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	for i := range 2 * places {
		c, err := attacker.DialContext(t.Context(), "tcp", to.String())
		if err != nil {
			t.Skip("no second address on this machine: ", err)
		}
		open = append(open, c)
		if i%2 == 1 {
			c.Write([]byte("GET / HTTP/1.0\r\n\r\n"))
		}
	}
	conn, err := transport.DialTCP(t.Context(), transport.DialSocket(net.IPv4(127, 0, 0, 8), to.String()), to,
		transport.DialOptions{TLS: &tls.Config{NextProtos: []string{wire.ALPN}, InsecureSkipVerify: true, VerifyConnection: func(tls.ConnectionState) error { return nil }}})
	if err != nil {
		t.Fatal(err)
	}
	fetchAll(t, conn, data)
	if st := s.Status(); st.Load.Conns > places/4+1 || st.Counts.Refused == 0 {
		t.Errorf("%d have a place, %d are refused", st.Load.Conns, st.Counts.Refused)
	}
	conn.Close(uint64(wire.CloseDone), "")
}
