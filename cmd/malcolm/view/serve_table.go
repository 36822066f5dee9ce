package view

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"malcolm/cmd/malcolm/human"
	"malcolm/cmd/malcolm/screen"
	"malcolm/transfer/pace"
	"malcolm/transfer/serve"
)

// rateTime is the time constant of the rates in serve's table: about a plain
// average over three seconds.
const rateTime = 1500 * time.Millisecond

// A serveFrame is what the table of serve shows.
type serveFrame struct {
	s       serve.Status
	size    int64 // of the file; 0: not known yet
	rates   []float64
	clients map[netip.Addr]float64 // their rates
	hashing bool                   // hashing has lasted long enough for a bar
	rate    float64                // of the hashing
}

// tableColumns are the columns of the virtual servers; bothColumns are those if
// one of them listens on TCP.
var tableColumns, bothColumns = columnsOf("UDP port"), columnsOf("UDP and TCP")

func columnsOf(ports string) []screen.Column {
	return []screen.Column{
		{Title: ports},
		{Title: "state", Least: len("listening"), Drop: 3},
		{Title: "clients", Right: true, Drop: 4},
		{Title: "ranges", Right: true, Drop: 5},
		{Title: "rate", Right: true, Least: len("999.9 MiB/s"), Drop: 1},
		{Title: "sent", Right: true, Least: len("999.9 MiB"), Drop: 2},
		{Title: "packets lost", Right: true, Drop: 6},
	}
}

// clientColumns are the columns of the clients beneath. The bar comes last and
// gets the remaining width.
var clientColumns = []screen.Column{
	{Title: "client"},
	{Title: "connections", Right: true, Drop: 5},
	{Title: "ranges", Right: true, Drop: 4},
	{Title: "rate", Right: true, Least: len("999.9 MiB/s"), Drop: 2},
	{Title: "sent", Right: true, Least: len("999.9 MiB"), Drop: 1},
	{Title: "of the file", Right: true, Drop: 3},
	{Title: "", Drop: 6},
}

// serveLines draws the table: the virtual servers, their total, the clients.
func (l painter) serveLines(f serveFrame, width, height int) []string {
	width--
	if width < narrow || height < spareRows {
		return []string{l.serveTotal(f, width)}
	}
	// The servers have the terminal except spareRows, the titles and the
	// total. Clients, if any, may have a part of it.
	rows := height - spareRows - 2
	clients := min(len(f.s.Clients), max(rows/3, rows-len(f.s.Servers)-3))
	if len(f.s.Clients) > 0 {
		rows -= max(clients, 0) + 3
	}
	var lines []string
	if f.hashing {
		lines = append(lines, l.hashingLine(f, width))
		rows--
	}
	if rows < 1 {
		return append(lines, l.serveTotal(f, width))
	}
	columns := tableColumns
	if anyTCP(f.s) {
		columns = bothColumns
	}
	lines = append(lines, screen.Table(l.Palette, width, columns, l.virtualRows(f, rows))...)
	if clients > 0 {
		lines = append(lines, "")
		lines = append(lines, screen.Table(l.Palette, width, clientColumns, l.clientRows(f, clients, width))...)
	}
	return lines
}

// anyTCP reports whether a virtual server listens on TCP.
func anyTCP(s serve.Status) bool {
	return slices.ContainsFunc(s.Servers, func(v serve.VirtualStatus) bool { return v.TCP })
}

// portCell is a virtual server's port. If others listen on UDP and TCP, it says
// which of them alone this one has.
func portCell(v serve.VirtualStatus, tcp bool) string {
	switch port := portOf(v.Addr); {
	case v.Web:
		return port + " HTTP"
	case !tcp || v.UDP == v.TCP:
		return port
	case v.UDP:
		return port + " UDP"
	default:
		return port + " TCP"
	}
}

func (l painter) hashingLine(f serveFrame, width int) string {
	i := f.s.Indexing
	g := gauge{label: "hashing", done: i.Done, total: i.Total, rate: f.rate}
	if f.rate > 0 {
		g.after = human.Left(i.Total-i.Done, f.rate) + " left"
	}
	return l.line(width, g)
}

// serveTotal is all that fits on a small terminal.
func (l painter) serveTotal(f serveFrame, width int) string {
	var clients int
	var sent int64
	var rate float64
	for i, v := range f.s.Servers {
		clients, sent, rate = clients+v.Clients, sent+v.Sent, rate+f.rates[i]
	}
	return screen.CutEnd(fmt.Sprintf("%s  %s sent  %s", human.Plural(clients, "client", "clients"), human.Bytes(sent), human.Rate(rate)), width)
}

// virtualRows has at most most rows, and the total.
func (l painter) virtualRows(f serveFrame, most int) (rows [][]screen.Cell) {
	shown := len(f.s.Servers)
	if shown > most {
		shown = most - 1
	}
	if shown == 0 { // the total says the same
		most = 0
	}
	var sum, rest serve.VirtualStatus
	var rate, restRate float64
	tcp := anyTCP(f.s)
	for i, v := range f.s.Servers {
		add(&sum, v)
		if v.State != serve.StateStopped {
			rate += f.rates[i]
		}
		if i < shown {
			rows = append(rows, l.virtualRow(portCell(v, tcp), stateOf(l.Palette, v.State), v, f.rates[i]))
			continue
		}
		add(&rest, v)
		restRate += f.rates[i]
	}
	if hidden := len(f.s.Servers) - shown; hidden > 0 && most > 0 {
		rows = append(rows, l.virtualRow(fmt.Sprintf("and %d more", hidden), screen.Cell{}, rest, restRate))
	}
	total := l.virtualRow("total", screen.Cell{}, sum, rate)
	for i := range total {
		total[i].Paint = l.Bold
	}
	return append(rows, total)
}

func add(sum *serve.VirtualStatus, v serve.VirtualStatus) {
	sum.Clients += v.Clients
	sum.HTTP.Clients += v.HTTP.Clients
	sum.Ranges += v.Ranges
	sum.Sent += v.Sent
	sum.Lost += v.Lost
}

func (l painter) virtualRow(name string, state screen.Cell, v serve.VirtualStatus, rate float64) []screen.Cell {
	if v.State == serve.StateStopped {
		rate = 0
	}
	clients := human.Comma(int64(v.Clients))
	if v.HTTP.Clients > 0 && !v.Web {
		clients += ", " + human.Comma(int64(v.HTTP.Clients)) + " HTTP"
	}
	return []screen.Cell{
		{Text: name}, state, {Text: clients}, {Text: human.Comma(int64(v.Ranges))},
		{Text: human.Rate(rate)}, {Text: human.Bytes(v.Sent)}, {Text: human.Comma(v.Lost)},
	}
}

func stateOf(p screen.Palette, s serve.State) screen.Cell {
	switch s {
	case serve.StateServing:
		return screen.Cell{Text: s.String(), Paint: p.Green}
	case serve.StateIndexing:
		return screen.Cell{Text: "hashing", Paint: p.Yellow}
	}
	return screen.Cell{Text: s.String(), Paint: p.Dim}
}

// clientRows has at most most rows.
func (l painter) clientRows(f serveFrame, most, width int) (rows [][]screen.Cell) {
	shown, hidden := f.s.Clients, f.s.MoreClients
	if hidden > 0 || len(shown) > most {
		kept := max(most-1, 0)
		hidden += len(shown) - min(kept, len(shown))
		shown = shown[:min(kept, len(shown))]
	}
	bar := min(max(width-77, barLeast), barMost/2)
	for _, c := range shown {
		part := min(c.Sent, f.size)
		text := strings.Repeat(".", bar) // for its width
		rows = append(rows, []screen.Cell{
			{Text: c.Addr.Unmap().String()}, {Text: human.Comma(int64(c.Conns))}, {Text: human.Comma(int64(c.Ranges))},
			{Text: human.Rate(f.clients[c.Addr])}, {Text: human.Bytes(c.Sent)}, {Text: human.Percent(part, max(f.size, 1))},
			{Text: text, Paint: func(string) string { return l.Bar(bar, part, 0, f.size) }},
		})
	}
	if hidden > 0 {
		row := make([]screen.Cell, len(clientColumns))
		row[0].Text = fmt.Sprintf("and %s more", human.Comma(int64(hidden)))
		rows = append(rows, row)
	}
	return rows
}

// A serveTable draws what Serve does.
type serveTable struct {
	on   Terminal
	stop func() // ends the drawing; nil: it has not begun

	mu      sync.Mutex // between the run and the screen
	f       serveFrame
	has     bool // f.s is set
	hashing pace.Meter
	hashed  int64 // bytes, at the last status
	since   time.Time
	meters  []pace.Meter
	sent    []int64
	clients map[netip.Addr]*clientMeter
}

// A clientMeter measures one client.
type clientMeter struct {
	pace.Meter
	sent int64
}

func (s *serveTable) event(e serve.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e := e.(type) {
	case serve.Listening:
		s.stop = s.on.Draw(s.frame)
	case serve.Ready:
		s.f.size = e.Size
	}
}

func (s *serveTable) status(st serve.Status, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.meters == nil {
		s.meters, s.sent, s.f.rates = make([]pace.Meter, len(st.Servers)), make([]int64, len(st.Servers)), make([]float64, len(st.Servers))
		for i := range s.meters {
			s.meters[i].Start(rateTime, now)
		}
	}
	for i, v := range st.Servers {
		s.meters[i].Add(v.Sent-s.sent[i], now)
		s.sent[i], s.f.rates[i] = v.Sent, s.meters[i].Rate()
	}
	s.measureClients(st.Clients, now)
	switch {
	case st.Indexed:
		s.since = time.Time{}
	case s.since.IsZero() || st.Indexing.Done < s.hashed: // hashing begins again
		s.since = now
		s.hashing.Start(rateTime, now)
		s.hashed = st.Indexing.Done
	default:
		s.hashing.Add(st.Indexing.Done-s.hashed, now)
		s.hashed = st.Indexing.Done
	}
	s.f.rate = s.hashing.Rate()
	s.f.hashing = !st.Indexed && now.Sub(s.since) > slowTime
	s.f.s, s.has = st, true
}

// measureClients measures what the clients of a status were sent, and forgets
// all others.
func (s *serveTable) measureClients(clients []serve.ClientStatus, now time.Time) {
	before := s.clients
	s.clients, s.f.clients = make(map[netip.Addr]*clientMeter, len(clients)), make(map[netip.Addr]float64, len(clients))
	for _, c := range clients {
		m := before[c.Addr]
		if m == nil || c.Sent < m.sent {
			m = &clientMeter{sent: c.Sent}
			m.Start(rateTime, now)
		}
		m.Add(c.Sent-m.sent, now)
		m.sent = c.Sent
		s.clients[c.Addr], s.f.clients[c.Addr] = m, m.Rate()
	}
}

func (s *serveTable) frame(width, height int) screen.Frame {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.has {
		return screen.Frame{}
	}
	f := screen.Frame{Lines: s.on.painter().serveLines(s.f, width, height)}
	if s.f.hashing {
		f.Tab = screen.TabOf(s.f.s.Indexing.Done, s.f.s.Indexing.Total)
	}
	return f
}

// ended leaves the last table on the screen.
func (s *serveTable) ended() {
	s.mu.Lock()
	began := s.stop != nil
	s.mu.Unlock()
	if began {
		s.stop()
	}
}
