package view

import (
	"strings"
	"testing"

	"malcolm/cmd/malcolm/screen"
	"malcolm/transfer/fetch"
)

// Marks as fetch makes them: see ChunkMark.
const (
	markKept    fetch.ChunkMark = 1
	markFirst   fetch.ChunkMark = 2 // of the server that is the first
	markTwice   fetch.ChunkMark = 1 << 6
	markRefused fetch.ChunkMark = 1 << 7
)

// marks makes a map from letters: A, B, … for servers, "=" for kept, "." for
// missing chunks.
func marks(text string) (m fetch.ChunkMap) {
	for _, r := range text {
		switch r {
		case '=':
			m = append(m, markKept)
		case '.':
			m = append(m, 0)
		default:
			m = append(m, markFirst+fetch.ChunkMark(r-'A'))
		}
	}
	return m
}

// TestMarks: these tests' marks mean what they should.
func TestMarks(t *testing.T) {
	m := marks("=.AC")
	if !m[0].Kept() || m[1].Good() || m[2].Server() != 0 || m[3].Server() != 2 || !markTwice.Twice() || !markRefused.Refused() {
		t.Errorf("the marks are %v", m)
	}
}

func TestMapLines(t *testing.T) {
	special := marks("AABB==....")
	special[1] |= markTwice
	special[3] |= markRefused
	special[8] |= markRefused // nobody has sent it right yet
	tests := []struct {
		name        string
		m           fetch.ChunkMap
		width, rows int
		want        string
	}{
		{"a cell a chunk", marks("AABBAB"), 8, 2, "\nAABBAB\na cell is 1 chunk\n"},
		{"two rows", marks("AABBABCC"), 4, 2, "\nAABB\nABCC\na cell is 1 chunk\n"},
		{"marks", special, 40, 1, "\nA2B!==··!·\na cell is 1 chunk  · missing  = was there\n"},
		{"two chunks a cell", marks("AAAB===B..A."), 6, 1, "\nAA=B·:\na cell is 2 chunks  · missing  : in part\n"},
		{"the most of a cell", marks("ABBBAC=A="), 3, 1, "\nBA=\na cell is 3 chunks\n"},
		{"nothing", nil, 40, 8, "\n\n"},
	}
	for _, test := range tests {
		got := "\n" + strings.Join(shows.mapLines(test.m, 3, test.width, test.rows), "\n") + "\n"
		legend := test.want[strings.LastIndex(strings.TrimSuffix(test.want, "\n"), "\n")+1:]
		cut := strings.TrimSuffix(legend, "\n")
		if screen.Columns(cut) > test.width {
			test.want = strings.Replace(test.want, cut, screen.CutEnd(cut, test.width), 1)
		}
		if got != test.want {
			t.Errorf("%s: got%swant%s", test.name, got, test.want)
		}
	}
}

// TestMapScales: the map fits for any size and wastes no cells: with enough
// chunks it uses half of the room.
func TestMapScales(t *testing.T) {
	for _, chunks := range []int{1, 7, 79, 80, 632, 633, 763, 4096, 1 << 20} {
		m := make(fetch.ChunkMap, chunks)
		lines := shows.mapLines(m, 4, 79, mapRows)
		cells := 0
		for _, line := range lines[:len(lines)-1] {
			cells += screen.Columns(line)
		}
		if len(lines)-1 > mapRows || cells > chunks || cells < min(chunks, 79*mapRows/2) {
			t.Errorf("%d chunks: %d rows, %d cells", chunks, len(lines)-1, cells)
		}
	}
}

// TestMapColors: neighbouring cells of one server share a sequence, marks keep
// the colour, and the colours end with the line.
func TestMapColors(t *testing.T) {
	l := painter{screen.Look{Palette: screen.Palette{On: true}, Unicode: true}}
	m := marks("AAB.=")
	m[1] |= markTwice
	got := l.mapLines(m, 2, 79, 1)[0]
	want := "\x1b[0m\x1b[30;48;5;39m 2\x1b[0m\x1b[30;48;5;208m \x1b[0m\x1b[2m·=\x1b[0m"
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	l.Few = true
	if got, want := l.swatch(1, 2), "\x1b[30;43m \x1b[0m"; got != want {
		t.Errorf("with 16 colours: %q, want %q", got, want)
	}
	if got, want := l.swatch(8, 20), "\x1b[30;42mI\x1b[0m"; got != want {
		t.Errorf("with more servers than colours: %q, want %q", got, want)
	}
}

func TestMapText(t *testing.T) {
	targets := targetsOn("a", "b", "c")
	servers := []fetch.ServerReport{{Target: targets[0], Bytes: 2048}, {Target: targets[1], BadChunks: 1}, {Target: targets[2]}}
	golden(t, "text", (painter{}).mapText(marks("AA."), servers, 80), `
AA.
a cell is 1 chunk  . missing
A a:10000  2.0 KiB
B b:10001  0 B, 1 wrong
`)
	if got := (painter{}).mapText(nil, servers, 80); got != nil {
		t.Errorf("without a map: %q", got)
	}
}
