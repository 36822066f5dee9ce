package metrics

import (
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"malcolm/transfer/serve"
	"malcolm/wire"
)

var (
	serveSent      = counter("serve_sent_bytes_total", "Bytes of the file that were sent.", "port", "transport")
	serveAsked     = counter("serve_range_requests_total", "Requests for ranges.", "port")
	serveRanges    = gauge("serve_ranges", "Requests for ranges that are being answered.", "port")
	serveConns     = gauge("serve_connections", "Connections whose handshake is complete.", "port", "transport")
	serveListening = gauge("serve_listening", "Whether the socket listens.", "port", "transport")
	servePackets   = counter("serve_sent_packets_total", "Packets that were sent, repetitions included.", "port")
	serveLost      = counter("serve_lost_packets_total", "Packets that were sent and lost.", "port")

	serveBegun   = counter("serve_handshakes_begun_total", "Handshakes of connections that got a place.")
	serveShaken  = counter("serve_handshakes_total", "Handshakes that were completed.")
	serveOpened  = counter("serve_opened_total", "Connections that were opened: the client proved the token, if one is needed.")
	serveProofs  = counter("serve_address_proofs_total", "Packets whose sender had to prove its address first.")
	serveDelayed = counter("serve_delayed_connections_total", "Connections whose first answer was delayed.")
	serveRefused = counter("serve_refusals_total", "What clients were refused: connections (no_place) and requests.", "reason")
	serveClosed  = counter("serve_evictions_total", "Connections that serve closed against their clients' will.", "reason")
	serveWasted  = counter("serve_wasted_requests_total", "Requests that came to nothing.")
	servePanics  = counter("serve_panics_total", "Bugs that clients hit; each closed one connection.")

	serveClients  = gauge("serve_clients", "Addresses (IPv6: /64) with a connection.")
	serveRequests = gauge("serve_requests", "Requests that are being read or answered.")
	servePlaces   = gauge("serve_places_used", "Places that connections take, unfinished handshakes included.")
	serveHeld     = gauge("serve_held_bytes", "Memory that clients make serve hold.")

	serveTrips = histogram("serve_round_trip_seconds", "Smoothed round trips, one for each request for ranges.")
	serveReads = histogram("serve_disk_read_seconds", "Reads of up to 128 KiB of the file, also from the system's cache.")

	serveIndexed   = gauge("serve_indexed", "Whether a version is hashed and offered.")
	serveIndexes   = counter("serve_indexes_total", "Times that the file or directory was hashed, or found unchanged.")
	serveIndexTime = counter("serve_index_seconds_total", "Time spent on hashing.")
	serveSize      = gauge("serve_index_bytes", "Bytes to hash, of the version that is or was hashed last.")
	serveHashed    = gauge("serve_index_done_bytes", "Of these, bytes hashed.")
	serveFiles     = gauge("serve_index_files", "Files to hash, of a directory.")
	serveFilesDone = gauge("serve_index_done_files", "Of these, files hashed.")
)

// closings are the values of reason in serve_evictions_total.
var closings = [serve.Closings]string{
	serve.ClosedUnopened: "unopened", serve.ClosedIdle: "idle", serve.ClosedWasteful: "wasteful", serve.ClosedStalled: "stalled",
}

// A server collects what a server of files does.
type server struct {
	status func() serve.Status

	mu    sync.Mutex
	ports names
	lost  map[string]int64 // by port: the most so far, since the server's number may fall
}

func newServer(status func() serve.Status) *server {
	return &server{status: status, ports: make(names), lost: make(map[string]int64)}
}

func (*server) Describe(ch chan<- *prometheus.Desc) { describe(ch, "serve_") }

func (s *server) Collect(ch chan<- prometheus.Metric) {
	st, e := s.status(), emitter(ch)
	s.collectPorts(e, st.Servers)
	e.count(serveBegun, st.Passed.Begun)
	e.count(serveShaken, st.Passed.Shaken)
	e.count(serveOpened, st.Passed.Opened)
	e.count(serveProofs, st.Counts.Retried)
	e.count(serveDelayed, st.Counts.Delayed)
	e.count(serveWasted, st.Counts.Wasted)
	e.count(servePanics, st.Panics)
	e.count(serveRefused, st.Counts.Refused, "no_place")
	for status, n := range st.Refused {
		switch s := wire.Status(status); s {
		case wire.StatusOK, wire.StatusIndexing, wire.StatusFailedSpan:
		default:
			e.count(serveRefused, n, strings.ReplaceAll(s.String(), " ", "_"))
		}
	}
	e.count(serveClosed, st.Counts.Evicted-st.Passed.Overdue, "place")
	e.count(serveClosed, st.Passed.Overdue, "memory")
	for why, n := range st.Closed {
		e.count(serveClosed, n, closings[why])
	}
	e.count(serveClients, int64(st.Present))
	e.count(serveRequests, int64(st.Requests))
	e.count(servePlaces, int64(st.Load.Conns))
	e.count(serveHeld, st.Load.Held)
	e.spread(serveTrips, st.Trips)
	e.spread(serveReads, st.Reads)
	e.flag(serveIndexed, st.Indexed)
	e.count(serveIndexes, st.Made)
	e.of(serveIndexTime, st.Took.Seconds())
	e.count(serveSize, st.Indexing.Total)
	e.count(serveHashed, st.Indexing.Done)
	e.count(serveFiles, st.TotalFiles)
	e.count(serveFilesDone, st.Files)
}

// A port has the numbers of one port, or the sums of several that have no label
// of their own.
type port struct {
	sent, conns       [3]int64 // see transports
	listens, has      [3]bool
	asked, ranges     int64
	packets, lostMost int64
}

// transports are the labels of what a port has over UDP, over TCP, and of HTTP.
var transports = [3]string{"quic", "tcp", "http"}

func (s *server) collectPorts(e emitter, servers []serve.VirtualStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var order []string
	ports := make(map[string]*port)
	for i := range servers {
		v := &servers[i]
		number := portOf(v.Addr)
		s.lost[number] = max(s.lost[number], v.Lost)
		name := s.ports.of(number)
		p := ports[name]
		if p == nil {
			p = new(port)
			ports[name] = p
			order = append(order, name)
		}
		p.add(v, s.lost[number])
	}
	for _, name := range order {
		p := ports[name]
		for i, transport := range transports {
			e.count(serveSent, p.sent[i], name, transport)
			e.count(serveConns, p.conns[i], name, transport)
			if p.has[i] {
				e.flag(serveListening, p.listens[i], name, transport)
			}
		}
		e.count(serveAsked, p.asked, name)
		e.count(serveRanges, p.ranges, name)
		e.count(servePackets, p.packets, name)
		e.count(serveLost, p.lostMost, name)
	}
}

func (p *port) add(v *serve.VirtualStatus, lost int64) {
	p.sent[0] += v.Sent - v.OverTCP.Sent
	p.sent[1] += v.OverTCP.Sent - v.HTTP.Sent
	p.sent[2] += v.HTTP.Sent
	p.conns[0] += int64(v.Clients - v.OverTCP.Clients)
	p.conns[1] += int64(v.OverTCP.Clients - v.HTTP.Clients)
	p.conns[2] += int64(v.HTTP.Clients)
	for i, listens := range [...]bool{v.UDP && !v.Web, v.TCP && !v.Web, v.Web && v.TCP} {
		p.listens[i] = p.listens[i] || listens
		p.has[i] = p.has[i] || v.Web == (i == 2)
	}
	p.asked += v.Asked
	p.ranges += int64(v.Ranges)
	p.packets += v.Packets
	p.lostMost += lost
}

// portOf returns the number of an address's port.
func portOf(a net.Addr) string {
	switch a := a.(type) {
	case *net.UDPAddr:
		return strconv.Itoa(a.Port)
	case *net.TCPAddr:
		return strconv.Itoa(a.Port)
	}
	return others
}
