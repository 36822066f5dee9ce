package malcolm

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"malcolm/certs"
	"malcolm/transfer/source"
	"malcolm/transfer/source/sourcetest"
	"malcolm/transport"
)

// A try is one Connect of a server.
type try struct {
	source.Conn
	t     *testing.T
	err   error
	lasts time.Duration
}

func attempt(t *testing.T, s source.Source) try {
	t.Helper()
	begun := time.Now()
	c, err := s.Connect(t.Context())
	return try{c, t, err, time.Since(begun)}
}

// over fails the test unless there is a connection over a transport, which took
// a time to make.
func (a try) over(p transport.Protocol, lasts time.Duration) try {
	a.t.Helper()
	if a.err != nil {
		a.t.Fatal(a.err)
	}
	if got := a.Peer().Transport; got != p || a.lasts != lasts {
		a.t.Errorf("connected over %v after %v, want over %v after %v", got, a.lasts, p, lasts)
	}
	return a
}

const (
	tcpTime  = 2 * 2 * simDelay // of a connection and its handshake
	quicTime = 2 * simDelay
)

// Where QUIC answers, nobody dials TCP.
func TestQUICAnswers(t *testing.T) {
	simulate(t, func(t *testing.T, s *sim) {
		attempt(t, s.source(Trust{})).over(transport.QUIC, quicTime).Close()
		if n := s.tcp.Dialed(); n != 0 {
			t.Errorf("TCP was dialled %d times", n)
		}
	})
}

// Where UDP is eaten, TCP is tried after headStart. The connection says for how
// long UDP has been silent.
func TestUDPEaten(t *testing.T) {
	simulate(t, func(t *testing.T, s *sim) {
		s.hole.Store(true)
		c := attempt(t, s.source(Trust{})).over(transport.TCP, headStart+tcpTime)
		defer c.Close()
		stat(t, c)
		if got, want := c.Stats().Unanswered, headStart+tcpTime+2*simDelay; got != want {
			t.Errorf("UDP is unanswered for %v, want %v", got, want)
		}
		time.Sleep(DefaultConnectTimeout)
		if got := c.Stats(); got.Unanswered < DefaultConnectTimeout || got.Refused {
			t.Errorf("in the end UDP is unanswered for %v, refused %t", got.Unanswered, got.Refused)
		}
	})
}

// stat asks for the first offer, and accepts the server by that.
func stat(t *testing.T, c source.Conn) {
	t.Helper()
	if _, err := c.Stat(t.Context(), source.Ask{}, nil); err != nil && source.WhatOf(err) != source.Wrong {
		t.Fatal(err)
	}
}

// UDP is not silent before it had several times as long as TCP.
func TestUDPHasTime(t *testing.T) {
	simulate(t, func(t *testing.T, s *sim) {
		s.hole.Store(true)
		s.tcp.Set(func(p *sourcetest.TCPPath) { p.Delay = 100 * time.Millisecond })
		c := attempt(t, s.source(Trust{})).over(transport.TCP, headStart+400*time.Millisecond)
		defer c.Close()
		if got := c.Stats().Unanswered; got != 0 {
			t.Errorf("UDP is unanswered for %v; TCP took 400 ms", got)
		}
		time.Sleep(time.Second)
		if c.Stats().Unanswered == 0 {
			t.Error("UDP is not unanswered after more than a second")
		}
	})
}

// UDP that is only slower than TCP is not eaten.
func TestUDPLate(t *testing.T) {
	simulate(t, func(t *testing.T, s *sim) {
		s.hole.Store(true)
		c := attempt(t, s.source(Trust{})).over(transport.TCP, headStart+tcpTime)
		defer c.Close()
		s.hole.Store(false)
		time.Sleep(DefaultConnectTimeout)
		if got := c.Stats(); got.Unanswered != 0 || got.Refused {
			t.Errorf("UDP is unanswered for %v, refused %t; it answers", got.Unanswered, got.Refused)
		}
	})
}

// On a long path QUIC has three round trips.
func TestHeadStartOfALongPath(t *testing.T) {
	simulate(t, func(t *testing.T, s *sim) {
		src := s.source(Trust{})
		src.(*server).rtt.Store(int64(time.Second))
		s.hole.Store(true)
		attempt(t, src).over(transport.TCP, 3*time.Second+tcpTime).Close()
	})
}

// Where UDP is sent back, TCP is dialled at once.
func TestUDPRefused(t *testing.T) {
	simulate(t, func(t *testing.T, s *sim) {
		s.noUDP = &transport.NetworkError{Kind: transport.PortUnreachable}
		c := attempt(t, s.source(Trust{})).over(transport.TCP, tcpTime)
		defer c.Close()
		if got := c.Stats(); !got.Refused || got.Unanswered != 0 {
			t.Errorf("UDP refused %t, unanswered for %v", got.Refused, got.Unanswered)
		}
	})
}

// A TCP port that is another program's ends that way only.
func TestTCPIsAnotherProgram(t *testing.T) {
	simulate(t, func(t *testing.T, s *sim) {
		s.tcp.Handle(func(c net.Conn) {
			defer c.Close()
			io.WriteString(c, "SSH-2.0-OpenSSH_9.6\r\n")
			io.Copy(io.Discard, c)
		})
		s.hole.Store(true)
		time.AfterFunc(time.Second, func() { s.hole.Store(false) })
		a := attempt(t, s.source(Trust{}))
		if a.err != nil || a.Peer().Transport != transport.QUIC {
			t.Fatalf("%v, want QUIC once UDP comes through", a.err)
		}
		a.Close()
		if s.tcp.Dialed() == 0 {
			t.Error("TCP was not tried")
		}

		s.hole.Store(true)
		a = attempt(t, s.source(Trust{}))
		want := "no answer in 5s over QUIC (UDP), and another program than malcolm answers on this port over TCP"
		if a.err == nil || a.err.Error() != want || source.WhatOf(a.err) != source.NoAnswer {
			t.Errorf("error %v of kind %d, want %q", a.err, source.WhatOf(a.err), want)
		}
	})
}

// Over another transport than before, a server has to prove the same ID.
func TestTCPProvesAnotherID(t *testing.T) {
	liar, err := certs.Generate()
	if err != nil {
		t.Fatal(err)
	}
	simulateWith(t, liar, func(t *testing.T, s *sim) {
		src := s.source(Trust{})
		src.(*server).id.Store(new(s.id.ID()))
		s.hole.Store(true)
		time.AfterFunc(time.Second, func() { s.hole.Store(false) })
		a := attempt(t, src)
		if a.err != nil || a.Peer().Transport != transport.QUIC || a.Peer().ID != s.id.ID() {
			t.Fatalf("error %v, want the server over QUIC", a.err)
		}
		if got := a.Peer().Other; got != liar.ID() {
			t.Errorf("the other ID is %v, want the liar's", got)
		}
		a.Close()

		s.hole.Store(true) // nobody else is there: the caller decides
		a = attempt(t, src)
		if a.err != nil || a.Peer().ID != liar.ID() {
			t.Fatalf("error %v, want the only one who is there", a.err)
		}
		a.Close()
	})
}

// With one transport allowed, no other is used.
func TestOnlyTheChosenTransportIsUsed(t *testing.T) {
	simulate(t, func(t *testing.T, s *sim) {
		s.only = transport.TCP
		attempt(t, s.source(Trust{})).over(transport.TCP, tcpTime).Close()
		if n := s.sent.Load(); n != 0 {
			t.Errorf("%d packets over UDP, want none", n)
		}
		dialed := s.tcp.Dialed()
		s.only = transport.QUIC
		s.hole.Store(true)
		a := attempt(t, s.source(Trust{}))
		if a.err == nil || a.err.Error() != "no answer in 5s" {
			t.Errorf("error %v", a.err)
		}
		if n := s.tcp.Dialed() - dialed; n != 0 {
			t.Errorf("TCP was dialled %d times", n)
		}
	})
}

// More of the same is over the same transport. What takes the place of a
// useless connection is tried over the other one first.
func TestMoreOfTheSameUsesTheSameTransport(t *testing.T) {
	simulate(t, func(t *testing.T, s *sim) {
		again := func(c source.Conn, which source.Another) try {
			t.Helper()
			begun := time.Now()
			more, err := c.Again(t.Context(), which)
			return try{more, t, err, time.Since(begun)}
		}
		quic := attempt(t, s.source(Trust{})).over(transport.QUIC, quicTime)
		defer quic.Close()
		again(quic, source.More).over(transport.QUIC, quicTime).Close()
		tcp := again(quic, source.Instead).over(transport.TCP, tcpTime)
		defer tcp.Close()
		again(tcp, source.More).over(transport.TCP, tcpTime).Close()
		again(tcp, source.Instead).over(transport.QUIC, quicTime).Close()

		s.tcp.Set(func(p *sourcetest.TCPPath) { p.Hole = true })
		again(quic, source.Instead).over(transport.QUIC, headStart+quicTime).Close()
		s.hole.Store(true)
		if a := again(quic, source.Instead); a.err == nil || strings.Contains(a.err.Error(), "over") {
			t.Errorf("error %v, want one for both", a.err)
		}
	})
}
