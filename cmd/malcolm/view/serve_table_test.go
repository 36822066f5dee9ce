package view

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"malcolm/transfer/serve"
	"malcolm/wire"
)

// serving is a status of n virtual servers and c clients.
func serving(n, c int) serveFrame {
	f := serveFrame{size: 200 * miB, clients: make(map[netip.Addr]float64)}
	f.s.Indexed = true
	for i := range n {
		f.s.Servers = append(f.s.Servers, serve.VirtualStatus{
			Addr: &net.UDPAddr{Port: 10001 + i}, State: serve.StateServing, Clients: c, Ranges: 2 * c, Sent: 20 * miB, Lost: int64(i),
		})
		f.rates = append(f.rates, 2.5*miB)
	}
	for i := range c {
		addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
		f.s.Clients = append(f.s.Clients, serve.ClientStatus{Addr: addr, Conns: n, Ranges: 2 * n, Sent: 100 * miB})
		f.clients[addr] = 5 * miB
	}
	return f
}

func TestServeLines(t *testing.T) {
	golden(t, "80 columns", shows.serveLines(serving(3, 2), 80, 24), `
UDP port  state      clients  ranges         rate       sent  packets lost
10001     serving          2       4    2.5 MiB/s   20.0 MiB             0
10002     serving          2       4    2.5 MiB/s   20.0 MiB             1
10003     serving          2       4    2.5 MiB/s   20.0 MiB             2
total                      6      12    7.5 MiB/s   60.0 MiB             3

client    connections  ranges         rate       sent  of the file
10.0.0.0            3       6    5.0 MiB/s  100.0 MiB       50.0 %  █████░░░░░
10.0.0.1            3       6    5.0 MiB/s  100.0 MiB       50.0 %  █████░░░░░
`)
	both := serving(4, 0)
	for i := range both.s.Servers {
		both.s.Servers[i].UDP, both.s.Servers[i].TCP = i != 2, i > 0
	}
	both.s.Servers[3].UDP, both.s.Servers[3].TCP, both.s.Servers[3].State = false, false, serve.StateStopped
	golden(t, "UDP and TCP", shows.serveLines(both, 80, 24), `
UDP and TCP  state      clients  ranges         rate       sent  packets lost
10001 UDP    serving          0       0    2.5 MiB/s   20.0 MiB             0
10002        serving          0       0    2.5 MiB/s   20.0 MiB             1
10003 TCP    serving          0       0    2.5 MiB/s   20.0 MiB             2
10004        stopped          0       0        0 B/s   20.0 MiB             3
total                         0       0    7.5 MiB/s   80.0 MiB             6
`)
	golden(t, "many", shows.serveLines(serving(50, 40), 120, 18), `
UDP port     state      clients  ranges         rate       sent  packets lost
10001        serving         40      80    2.5 MiB/s   20.0 MiB             0
10002        serving         40      80    2.5 MiB/s   20.0 MiB             1
10003        serving         40      80    2.5 MiB/s   20.0 MiB             2
10004        serving         40      80    2.5 MiB/s   20.0 MiB             3
and 46 more               1,840   3,680  115.0 MiB/s  920.0 MiB         1,219
total                     2,000   4,000  125.0 MiB/s   1000 MiB         1,225

client       connections  ranges         rate       sent  of the file
10.0.0.0              50     100    5.0 MiB/s  100.0 MiB       50.0 %  ███████████████░░░░░░░░░░░░░░░
10.0.0.1              50     100    5.0 MiB/s  100.0 MiB       50.0 %  ███████████████░░░░░░░░░░░░░░░
10.0.0.2              50     100    5.0 MiB/s  100.0 MiB       50.0 %  ███████████████░░░░░░░░░░░░░░░
and 37 more
`)
	golden(t, "narrow", shows.serveLines(serving(3, 2), 39, 24), `
6 clients  60.0 MiB sent  7.5 MiB/s
`)
}

func TestServeLinesFit(t *testing.T) {
	hashing := serving(4, 0)
	hashing.s.Indexed, hashing.hashing, hashing.rate = false, true, 1e9
	hashing.s.Indexing = wire.Indexing{Done: 1 << 30, Total: 3 << 30}
	everySize(func(width, height int) {
		for _, n := range []int{1, 4, 50} {
			for _, c := range []int{0, 1, 32} {
				fits(t, fmt.Sprintf("%d servers, %d clients", n, c), shows.serveLines(serving(n, c), width, height), width, height)
			}
		}
		fits(t, "hashing", shows.serveLines(hashing, width, height), width, height)
	})
}

// TestServeTableMeasures: rates are of the last seconds. Hashing gets a bar
// when it takes over a second; so does hashing that begins again.
func TestServeTableMeasures(t *testing.T) {
	table := &serveTable{}
	now := time.Now()
	client := netip.MustParseAddr("10.0.0.1")
	step := func(done, sent int64, indexed bool) {
		now = now.Add(500 * time.Millisecond)
		st := serve.Status{Indexed: indexed, Servers: []serve.VirtualStatus{{Sent: sent}}, Clients: []serve.ClientStatus{{Addr: client, Sent: sent}}}
		st.Indexing = wire.Indexing{Done: done, Total: 100}
		table.status(st, now)
	}
	var bars []bool
	for i := range int64(6) {
		step(10*i, 0, false)
		bars = append(bars, table.f.hashing)
	}
	step(5, 0, false)
	bars = append(bars, table.f.hashing)
	if got, want := fmt.Sprint(bars), "[false false false true true true false]"; got != want {
		t.Errorf("the bar of hashing is shown: %s, want %s", got, want)
	}
	for i := range int64(40) {
		step(100, i*50, true)
	}
	for name, got := range map[string]float64{"virtual server": table.f.rates[0], "client": table.f.clients[client]} {
		if got < 99 || got > 101 {
			t.Errorf("rate of the %s = %v, want 100", name, got)
		}
	}
	step(100, 10, true) // it went, and came again
	if got := table.f.clients[client]; got != 0 {
		t.Errorf("rate of a client that came again = %v, want 0", got)
	}
}
