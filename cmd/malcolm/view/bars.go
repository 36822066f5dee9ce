package view

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"malcolm/cmd/malcolm/human"
	"malcolm/cmd/malcolm/screen"
	"malcolm/transfer/fetch"
)

const (
	// narrow is the width of a terminal below which only the total is
	// shown.
	narrow = 40
	// barLeast and barMost bound the width of a bar, in columns.
	barLeast, barMost = 10, 60
	// spareRows is the number of a terminal's rows that the table of
	// servers does not use.
	spareRows = 4
)

// A gauge is one bar and what stands beside it.
type gauge struct {
	label string // what is done; empty: copying
	done  int64  // bytes
	kept  int64  // of these, from an earlier run
	total int64
	rate  float64 // bytes a second; negative: not shown
	files string  // of a directory: how many are done
	after string  // the time left, or taken
}

// line draws a gauge in at most width columns.
func (l painter) line(width int, g gauge) string {
	bytes := human.Bytes(g.done) + " of " + human.Bytes(g.total)
	pieces := []struct {
		text string
		drop int // pieces with a higher number are left out first
	}{
		{g.label, 1},
		{screen.CutEnd(fmt.Sprintf("%7s", human.Percent(g.done, g.total)), width), 0},
		{"", 0}, // the bar
		{fmt.Sprintf("%*s", 2*screen.Columns("1023 KiB")+screen.Columns(" of "), bytes), 4},
		{"", 3},
		{g.files, 5},
		{g.after, 2},
	}
	const bar = 2
	if g.rate >= 0 {
		pieces[4].text = fmt.Sprintf("%10s", human.Rate(g.rate))
	}
	if g.after != "" {
		pieces[6].text = fmt.Sprintf("%-10s", g.after)
	}
	room := func() int {
		rest := width
		for i, p := range pieces {
			if i != bar && p.text != "" {
				rest -= screen.Columns(p.text) + screen.ColumnGap
			}
		}
		return rest
	}
	for drop := 5; drop > 0 && room() < barLeast; drop-- {
		for i := range pieces {
			if pieces[i].drop == drop {
				pieces[i].text = ""
			}
		}
	}
	pieces[bar].text = l.Bar(min(room(), barMost), g.done, g.kept, g.total)
	var shown []string
	for i, p := range pieces {
		switch {
		case p.text == "":
		case i == 1:
			shown = append(shown, l.Bold(p.text))
		default:
			shown = append(shown, p.text)
		}
	}
	return strings.TrimRight(strings.Join(shown, strings.Repeat(" ", screen.ColumnGap)), " ")
}

// A getFrame is what the bars of a run of Get show.
type getFrame struct {
	p       fetch.Snapshot // without its map
	cells   fetch.ChunkMap // nil: no map is shown
	local   bool           // what was kept is from a local file
	check   bool           // checking what is there has a bar of its own
	waiting time.Duration  // no server is left: time until the run gives up; 0: one is
	took    time.Duration  // by a whole run that has ended well; else 0
}

// getLines draws a frame: the map, the servers, the total at the bottom.
func (l painter) getLines(f getFrame, width, height int) []string {
	width-- // a full line moves the cursor on some terminals
	total := l.totalLine(f, width)
	if width < narrow || height < spareRows {
		return []string{total}
	}
	var lines []string
	rows := height - spareRows
	if f.cells != nil {
		cells := l.mapLines(f.cells, len(f.p.Servers), width, min(max((height-2*spareRows)/2, 1), mapRows))
		if rows -= len(cells); rows > 0 {
			lines = cells
		}
	}
	if rows > 1 {
		lines = append(lines, l.serverLines(f, width, rows)...)
	}
	if f.check {
		lines = append(lines, l.line(width, f.checkGauge()))
	}
	return append(lines, total)
}

// checkGauge is the bar for checking what an earlier run left, or for copying
// from a local file.
func (f getFrame) checkGauge() gauge {
	label := "checking what is there"
	if f.local && f.p.Phase >= fetch.PhaseFetching {
		label = "copying what is right"
	}
	return gauge{label: label, done: f.p.Checked, total: f.p.Check, rate: -1}
}

func (l painter) totalLine(f getFrame, width int) string {
	p := f.p
	g := gauge{done: p.Good, kept: p.Resumed, total: p.Size, rate: p.Rate, files: filesColumn(p.Tree)}
	switch {
	case f.took > 0:
		g.after = "in " + human.Duration(f.took)
		return l.line(width, g)
	case p.Phase == fetch.PhaseAsking:
		return screen.CutEnd(askingLine(p), width)
	case p.Phase == fetch.PhasePreparing && p.Check > 0:
		return l.line(width, f.checkGauge())
	case isListing(p):
		return l.line(width, gauge{label: "listing", done: p.Good, total: p.Size, rate: p.Rate})
	case p.Phase == fetch.PhasePreparing:
		return screen.CutEnd("asking for the chunk values", width)
	case p.Phase == fetch.PhaseReserving:
		return l.line(width, gauge{label: "reserving space", done: p.Reserved, total: p.Size, rate: -1})
	case p.Phase == fetch.PhaseReadingBack:
		return l.line(width, gauge{label: "reading back", done: p.Checked, total: p.Check, rate: -1})
	case p.Phase == fetch.PhaseFinishing:
		g.rate, g.after = -1, "making it durable"
		return l.line(width, g)
	}
	switch {
	case f.waiting > 0:
		g.rate, g.after = -1, "no server, giving up in "+human.WholeSeconds(f.waiting)
	case p.Left >= 0:
		g.after = human.Left(int64(p.Left.Seconds()*p.Rate), p.Rate) + " left"
	}
	return l.line(width, g)
}

// askingLine shows the progress of the vote.
func askingLine(p fetch.Snapshot) string {
	answered, indexing, full, mirrors := 0, 0, 0, 0
	for _, s := range p.Servers {
		switch s.State {
		case fetch.StateConnecting, fetch.StateNotReached:
			if s.Target.IsMirror() {
				mirrors++
			}
		case fetch.StateAnswered, fetch.StateServing:
			answered++
		case fetch.StateIndexing:
			indexing++
		case fetch.StateFull:
			full++
		}
	}
	text := fmt.Sprintf("asking %s: %d answered", plural(len(p.Servers), mirrors), answered)
	if indexing > 0 {
		text += fmt.Sprintf(", %d still hashing the file", indexing)
	}
	if full > 0 {
		text += fmt.Sprintf(", %d full", full)
	}
	return text
}

// serverColumns are those of the servers' table.
var serverColumns = []screen.Column{
	{Title: "server"},
	{Title: "state", Least: len("not reached"), Drop: 3},
	{Title: "share", Right: true, Drop: 1},
	{Title: "received", Right: true, Least: len("999.9 MiB"), Drop: 7},
	{Title: "rate", Right: true, Least: len("999.9 MiB/s"), Drop: 2},
	{Title: "round trip", Right: true, Drop: 5},
	{Title: "conns", Right: true, Drop: 6},
	{Title: "over", Least: len("quic"), Drop: 8},
	{Title: "wrong", Right: true, Drop: 4},
}

// serverLines is the table of the servers: the titles, and at most most rows.
func (l painter) serverLines(f getFrame, width, most int) []string {
	order := make([]int, len(f.p.Servers))
	for i := range order {
		order[i] = i
	}
	// If not all fit, those that take part come first.
	if len(order) > most {
		slices.SortStableFunc(order, func(a, b int) int { return rank(f.p.Servers[a].State) - rank(f.p.Servers[b].State) })
	}
	shown := order
	if len(order) > most {
		shown = order[:most-1]
	}
	fetched := f.p.Good - f.p.Resumed
	var rows [][]screen.Cell
	for _, i := range shown {
		s := f.p.Servers[i]
		r := l.serverRow(s.Target.String(), stateCell(l.Palette, s), s, fetched)
		if f.cells != nil {
			r[0].Text = "  " + r[0].Text
			swatch, plain := l.swatch(i, len(f.p.Servers)), r[0].Paint
			r[0].Paint = func(text string) string {
				rest := strings.TrimPrefix(text, "  ")
				if plain != nil {
					rest = plain(rest)
				}
				return swatch + " " + rest
			}
		}
		rows = append(rows, r)
	}
	if hidden := order[len(shown):]; len(hidden) > 0 {
		sum, state := sumOf(f.p.Servers, hidden)
		rows = append(rows, l.serverRow(fmt.Sprintf("and %d more", len(hidden)), state, sum, fetched))
	}
	return screen.Table(l.Palette, width, serverColumns, rows)
}

// rank orders servers by whether they are of use.
func rank(s fetch.State) int {
	switch s {
	case fetch.StateServing, fetch.StateAnswered, fetch.StateIndexing, fetch.StateFull, fetch.StateConnecting:
		return 0
	}
	return 1
}

func (l painter) serverRow(name string, state screen.Cell, s fetch.ServerReport, fetched int64) []screen.Cell {
	wrong := screen.Cell{Text: fmt.Sprint(s.BadChunks)}
	if s.BadChunks > 0 {
		wrong.Paint = l.Red
	}
	row := []screen.Cell{
		{Text: name}, state, {Text: share(s.Bytes, fetched)}, {Text: human.Bytes(s.Bytes)},
		{}, {}, {}, {Text: overTo(s.Target, s.Transport)}, wrong,
	}
	if s.State == fetch.StateServing || s.Conns > 0 {
		row[4].Text = human.Rate(s.Rate)
		row[6].Text = fmt.Sprint(s.Conns)
	}
	if s.RTT > 0 {
		row[5].Text = formatTrip(s.RTT)
	}
	return row
}

// formatTrip writes a round trip: "0.4 ms", "87 ms", "1.2 s".
func formatTrip(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms < 9.95:
		return fmt.Sprintf("%.1f ms", ms)
	case ms < 999.5:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.1f s", ms/1000)
}

func stateCell(p screen.Palette, s fetch.ServerReport) screen.Cell {
	switch s.State {
	case fetch.StateServing:
		return screen.Cell{Text: s.State.String(), Paint: p.Green}
	case fetch.StateIndexing:
		return screen.Cell{Text: fmt.Sprintf("hashing %.0f %%", s.Indexing*100), Paint: p.Yellow}
	case fetch.StateConnecting, fetch.StateAnswered, fetch.StateDuplicate:
		return screen.Cell{Text: s.State.String(), Paint: p.Dim}
	case fetch.StateWrong, fetch.StateRefused:
		return screen.Cell{Text: s.State.String(), Paint: p.Red}
	}
	return screen.Cell{Text: s.State.String(), Paint: p.Yellow}
}

// sumOf adds servers up. state says how many of them serve.
func sumOf(servers []fetch.ServerReport, which []int) (sum fetch.ServerReport, state screen.Cell) {
	serving := 0
	for _, i := range which {
		s := servers[i]
		sum.Bytes += s.Bytes
		sum.BadChunks += s.BadChunks
		sum.Rate += s.Rate
		sum.Conns += s.Conns
		if s.State == fetch.StateServing {
			serving++
		}
	}
	if serving > 0 {
		sum.State = fetch.StateServing
	}
	return sum, screen.Cell{Text: fmt.Sprintf("%d serving", serving)}
}
