package view

import (
	"fmt"
	"strings"

	"malcolm/cmd/malcolm/human"
	"malcolm/cmd/malcolm/screen"
	"malcolm/transfer/fetch"
)

const (
	// mapRows is the largest number of rows of cells in a map.
	mapRows = 8
	// mapLetters name the servers where there are no colours.
	mapLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// mapColors are colours of the 256 on which black text is readable and whose
// neighbours in the list differ. fewColors are all that a terminal with 16 has.
var (
	mapColors = [...]string{"39", "208", "35", "170", "220", "44", "141", "180", "118", "250", "111", "203"}
	fewColors = [...]string{"4", "3", "2", "5", "6", "7"}
)

// A mapCell sums up the chunks in one cell of the map.
type mapCell struct {
	server  int  // that delivered most of them; -1: no server did
	kept    bool // most were there before
	good    int  // how many are there
	chunks  int
	twice   bool // one of them was asked for twice
	refused bool // one of them was refused once
}

// mapCells sums chunks up in cells. each is the number of chunks a cell.
func mapCells(m fetch.ChunkMap, each int) []mapCell {
	cells := make([]mapCell, 0, (len(m)+each-1)/each)
	for begin := 0; begin < len(m); begin += each {
		var from [fetch.MapServers + 2]int // the last one counts what was kept
		kept := len(from) - 1
		c := mapCell{server: -1}
		for _, mark := range m[begin:min(begin+each, len(m))] {
			c.chunks++
			c.twice = c.twice || mark.Twice()
			c.refused = c.refused || mark.Refused()
			switch {
			case mark.Kept():
				from[kept]++
			case mark.Good():
				from[mark.Server()]++
			default:
				continue
			}
			c.good++
		}
		most := 0
		for s, n := range from {
			if n > most {
				most, c.server, c.kept = n, s, s == kept
			}
		}
		if c.kept {
			c.server = -1
		}
		cells = append(cells, c)
	}
	return cells
}

// mapLines draws a map in at most rows rows of cells. The line below says what
// the cells mean.
func (l painter) mapLines(m fetch.ChunkMap, servers, width, rows int) []string {
	if len(m) == 0 || width <= 0 || rows <= 0 {
		return nil
	}
	each := (len(m) + width*rows - 1) / (width * rows)
	cells := mapCells(m, each)
	var lines []string
	for begin := 0; begin < len(cells); begin += width {
		lines = append(lines, l.mapLine(cells[begin:min(begin+width, len(cells))], servers))
	}
	return append(lines, l.mapLegend(cells, each, width))
}

// mapLine draws cells. Neighbours that look the same share their colour's
// sequence.
func (l painter) mapLine(cells []mapCell, servers int) string {
	var b strings.Builder
	style := ""
	for _, c := range cells {
		text, want := l.drawCell(c, servers)
		if want != style && l.On {
			b.WriteString("\x1b[0m")
			if want != "" {
				b.WriteString("\x1b[" + want + "m")
			}
			style = want
		}
		b.WriteString(text)
	}
	if style != "" {
		b.WriteString("\x1b[0m")
	}
	return b.String()
}

// drawCell returns a cell's character and the SGR parameters of its colours.
func (l painter) drawCell(c mapCell, servers int) (text, style string) {
	whole := c.good == c.chunks
	switch {
	case c.refused:
		text = "!"
	case c.twice && whole:
		text = "2"
	case c.good == 0:
		return l.dot(), "2"
	case !whole:
		text = ":"
	case c.kept:
		text = "="
	case !l.On || servers > l.colors():
		text = letterOf(c.server)
	default:
		text = " "
	}
	switch {
	case !l.On:
		return text, ""
	case c.good == 0 || c.kept:
		return text, "2"
	case whole:
		return text, "30;" + l.color(c.server, 40, 48)
	}
	return text, l.color(c.server, 30, 38)
}

// dot stands for missing chunks.
func (l painter) dot() string {
	if l.Unicode {
		return "·"
	}
	return "."
}

func (l painter) colors() int {
	if l.Few {
		return len(fewColors)
	}
	return len(mapColors)
}

// color is the SGR parameter of a server's colour. basic and long are 30 and 38
// for text, 40 and 48 for its background.
func (l painter) color(server, basic, long int) string {
	if l.Few {
		return fmt.Sprintf("%d%s", basic/10, fewColors[server%len(fewColors)])
	}
	return fmt.Sprintf("%d;5;%s", long, mapColors[server%len(mapColors)])
}

// letterOf names a server.
func letterOf(server int) string {
	if server < len(mapLetters) {
		return mapLetters[server : server+1]
	}
	return "+"
}

// swatch shows what a server's cells look like.
func (l painter) swatch(server, servers int) string {
	server = min(server, fetch.MapServers)
	text, style := l.drawCell(mapCell{server: server, good: 1, chunks: 1}, servers)
	if style == "" {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

// mapLegend says what a cell stands for and what the marks in use mean.
func (l painter) mapLegend(cells []mapCell, each, width int) string {
	var missing, kept, partly, twice, refused bool
	for _, c := range cells {
		whole := c.good == c.chunks
		missing = missing || c.good == 0
		refused = refused || c.refused
		twice = twice || c.twice && whole && !c.refused
		kept = kept || c.kept
		partly = partly || c.good > 0 && !whole
	}
	parts := []string{"a cell is " + human.Plural(each, "chunk", "chunks")}
	for _, p := range []struct {
		is   bool
		text string
	}{
		{missing, l.dot() + " missing"}, {partly, ": in part"}, {kept, "= was there"},
		{twice, "2 asked for twice"}, {refused, "! refused once"},
	} {
		if p.is {
			parts = append(parts, p.text)
		}
	}
	return l.Dim(screen.CutEnd(strings.Join(parts, "  "), width))
}

// mapText is a map to print once, with the servers named below it.
func (l painter) mapText(m fetch.ChunkMap, servers []fetch.ServerReport, width int) []string {
	lines := l.mapLines(m, len(servers), width, mapRows)
	if lines == nil {
		return nil
	}
	for i, s := range servers {
		if s.Bytes > 0 || s.BadChunks > 0 {
			line := l.swatch(i, len(servers)) + " " + s.Target.String() + "  " + human.Bytes(s.Bytes)
			if s.BadChunks > 0 {
				line += fmt.Sprintf(", %d wrong", s.BadChunks)
			}
			lines = append(lines, line)
		}
	}
	return lines
}
