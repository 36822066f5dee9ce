package transport

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
)

// TestRoundTripsAtFirst: before the first sample they are zero, whatever
// quic-go makes up, and then what they are.
func TestRoundTripsAtFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		tr := &quic.Transport{Conn: n.conn(1, 1)}
		defer tr.Close()
		l, err := tr.ListenEarly(serverTLS(), nil)
		if err != nil {
			t.Fatal(err)
		}
		dialed := make(chan Conn)
		go func() { dialed <- mustDial(t, n.conn(2, 2), l.Addr(), DialOptions{}) }()
		qc, err := l.Accept(t.Context()) // it has heard nothing but a hello
		if err != nil {
			t.Fatal(err)
		}
		server := &quicConn{qc: qc}
		if s := qc.ConnectionStats(); s.MinRTT != assumedRTT || s.MeanDeviation != 0 {
			t.Errorf("quic-go says %+v before the first sample, want %v and no deviation", s, assumedRTT)
		}
		if s := server.Stats(); s.MinRTT != 0 || s.SmoothedRTT != 0 || s.LatestRTT != 0 || s.Window == 0 {
			t.Errorf("at first: %+v, want no round trips, and a window", s)
		}
		client := <-dialed
		time.Sleep(time.Second)
		for name, s := range map[string]Stats{"server": server.Stats(), "client": client.Stats()} {
			if s.MinRTT != testRTT || s.SmoothedRTT < testRTT || s.LatestRTT < testRTT {
				t.Errorf("%s: %+v, want round trips of %v", name, s, testRTT)
			}
		}
		qc.CloseWithError(0, "")
	})
}

// TestRoundTripsOfAssumed: round trips that are all equal to the one that
// quic-go makes up are measured all the same.
func TestRoundTripsOfAssumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		n.rtt = assumedRTT
		l := serve(t, n.conn(1, 1), ListenOptions{})
		client := mustDial(t, n.conn(2, 2), l.Addr(), DialOptions{})
		server := mustAccept(t, l)
		c, s := streams(t, client, server)
		one := []byte{1}
		for range 100 {
			c.Write(one)
			io.ReadFull(s, one)
			s.Write(one)
			io.ReadFull(c, one)
			time.Sleep(time.Second)
		}
		for name, conn := range map[string]Conn{"server": server, "client": client} {
			raw := conn.(*quicConn).qc.ConnectionStats()
			if got := conn.Stats(); got.MinRTT != assumedRTT || got.SmoothedRTT != raw.SmoothedRTT || got.LatestRTT != raw.LatestRTT {
				t.Errorf("%s: got %+v, want what quic-go says: %+v", name, got, raw)
			}
			t.Logf("%s: %v, deviation %v", name, raw.MinRTT, raw.MeanDeviation)
		}
	})
}

func TestIsMeasured(t *testing.T) {
	here, there := &net.UDPAddr{Port: 1}, &net.UDPAddr{Port: 1}
	const ms = time.Millisecond
	for _, tt := range []struct {
		name           string
		least, dev     time.Duration
		smoothed       time.Duration
		addr, measured *net.UDPAddr
		want           bool
	}{
		{"made up", 100 * ms, 0, 100 * ms, here, nil, false},
		{"made up, round trip of a token", 100 * ms, 0, 0, here, nil, false},
		{"made up again, since the address has changed", 100 * ms, 0, 100 * ms, there, here, false},
		{"first sample", 20 * ms, 10 * ms, 20 * ms, here, nil, true},
		{"first sample of 100 ms", 100 * ms, 50 * ms, 100 * ms, here, nil, true},
		{"equal samples", 20 * ms, 0, 20 * ms, here, nil, true},
		{"equal samples of 100 ms", 100 * ms, 0, 100 * ms, here, here, true},
	} {
		s := quic.ConnectionStats{MinRTT: tt.least, SmoothedRTT: tt.smoothed, LatestRTT: tt.smoothed, MeanDeviation: tt.dev}
		if got := isMeasured(s, tt.addr, tt.measured); got != tt.want {
			t.Errorf("%s: measured: %t, want %t", tt.name, got, tt.want)
		}
	}
}
