// Package paths remembers for a day how servers were reached best: over which
// transport, over how many connections, and how quick that was. The next run
// begins with it. It is a hint: whatever it says, the run looks for itself.
//
// A [Table] is what is remembered, and a text; [Memory] is that of one run.
// Package disk below it keeps the text between runs.
package paths

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

const (
	// Lasts is how long a path is remembered. The paths of yesterday have
	// other neighbours.
	Lasts = 24 * time.Hour
	// MaxPaths bounds a table. The oldest go first.
	MaxPaths = 512
	// MaxConns bounds the connections of a path.
	MaxConns = 96
	// MaxLen bounds the text of a table, in bytes.
	MaxLen = len(header) + MaxPaths*maxLine

	header  = "malcolm paths 1\n"
	maxLine = 192 // bytes

	maxRate = 1 << 53 // bytes a second
	maxRTT  = time.Minute
	million = 1e6
)

// A Place is a server as seen from one network of this machine. It is a hash,
// so that the table names neither servers nor networks.
type Place [16]byte

// PlaceOf returns the place of a server, by the hash of its key, in a network.
// Networks have any names.
func PlaceOf(id [32]byte, network string) Place {
	sum := sha256.Sum256(append(append([]byte("malcolm path\x00"), id[:]...), network...))
	return Place(sum[:len(Place{})])
}

// Prefix returns the network of a local address, the first 24 bits of IPv4 and
// 64 of IPv6; the zero Prefix for no address.
func Prefix(local netip.Addr) netip.Prefix {
	local = local.Unmap().WithZone("")
	bits := 64
	if local.Is4() {
		bits = 24
	}
	p, _ := local.Prefix(bits) // which fails for no address only
	return p
}

// A Path is how a server was reached. Zero rates, times and losses are not
// known.
type Path struct {
	TCP   bool          // else QUIC
	Conns int           // connections in use, 1 to MaxConns
	Rate  int64         // bytes a second
	Other int64         // bytes a second over the other transport, when they were compared
	RTT   time.Duration // least round trip, in whole microseconds
	Loss  float64       // share of the packets, 0 to 1, in millionths
	// When the transport was chosen, in whole seconds. A run that only
	// believed its memory keeps the time, so that each day looks anew.
	When time.Time
}

// fitted returns the path within the limits of the text.
func (p Path) fitted() Path {
	p.Conns = min(max(p.Conns, 1), MaxConns)
	p.Rate, p.Other = min(max(p.Rate, 0), maxRate), min(max(p.Other, 0), maxRate)
	p.RTT = min(max(p.RTT, 0), maxRTT).Truncate(time.Microsecond)
	if !(p.Loss > 0) { // NaN too
		p.Loss = 0
	}
	p.Loss = math.Round(min(p.Loss, 1)*million) / million
	p.When = time.Unix(max(p.When.Unix(), 0), 0).UTC()
	return p
}

// holds reports whether a path is young enough to be believed. A clock that was
// set back makes no path old.
func (p Path) holds(now time.Time) bool { return now.Sub(p.When).Abs() < Lasts }

// A Table is the paths that are remembered.
type Table map[Place]Path

// Parse reads a table. A line that it does not understand costs that path; an
// unknown head costs all paths. The text may be damaged, hostile, or of another
// version.
func Parse(text []byte) Table {
	t := make(Table)
	rest, ok := bytes.CutPrefix(text[:min(len(text), MaxLen)], []byte(header))
	for ok && len(t) < MaxPaths {
		var line []byte
		if line, rest, ok = bytes.Cut(rest, []byte("\n")); !ok {
			break // the last line is not whole
		}
		if at, p, ok := parseLine(line); ok && !t[at].When.After(p.When) {
			t[at] = p
		}
	}
	return t
}

// The fields of a line: place, transport, connections, rate, rate over the
// other transport, round trip in microseconds, lost of a million packets,
// seconds since 1970.
const fields = 8

func parseLine(line []byte) (at Place, p Path, ok bool) {
	if len(line) >= maxLine {
		return at, p, false
	}
	words := bytes.Split(line, []byte(" "))
	if len(words) != fields {
		return at, p, false
	}
	place, err := hex.DecodeString(string(words[0]))
	if err != nil || len(place) != len(at) {
		return at, p, false
	}
	var n [fields]int64
	for i := 2; i < fields; i++ {
		if n[i], err = strconv.ParseInt(string(words[i]), 10, 64); err != nil {
			return at, p, false
		}
	}
	copy(at[:], place)
	p = Path{
		TCP: string(words[1]) == "tcp", Conns: int(n[2]), Rate: n[3], Other: n[4],
		RTT: time.Duration(min(n[5], int64(maxRTT/time.Microsecond))) * time.Microsecond, Loss: float64(n[6]) / million,
		When: time.Unix(n[7], 0).UTC(),
	}
	p = p.fitted()
	// A line that would be written otherwise is not ours.
	return at, p, bytes.Equal(bytes.TrimSuffix(appendLine(nil, at, p), []byte("\n")), line)
}

func appendLine(b []byte, at Place, p Path) []byte {
	over := "quic"
	if p.TCP {
		over = "tcp"
	}
	return fmt.Appendf(b, "%x %s %d %d %d %d %d %d\n", at[:], over, p.Conns, p.Rate, p.Other,
		p.RTT.Microseconds(), int64(math.Round(p.Loss*million)), p.When.Unix())
}

// Append appends the text of a table, the youngest path first.
func (t Table) Append(b []byte) []byte {
	b = append(b, header...)
	for _, at := range t.byAge() {
		b = appendLine(b, at, t[at].fitted())
	}
	return b
}

func (t Table) byAge() []Place {
	places := make([]Place, 0, len(t))
	for at := range t {
		places = append(places, at)
	}
	slices.SortFunc(places, func(a, b Place) int {
		return cmp.Or(t[b].When.Compare(t[a].When), bytes.Compare(a[:], b[:]))
	})
	return places
}

// Merge adds what a run has noted to what is there now, and forgets what is old
// or too much.
func (t Table) Merge(noted Table, now time.Time) {
	for at, p := range noted {
		t[at] = p.fitted()
	}
	for i, at := range t.byAge() {
		if i >= MaxPaths || !t[at].holds(now) {
			delete(t, at)
		}
	}
}
