package view

import (
	"os"
	"strings"
	"testing"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/source"
)

const miB = 1 << 20

// fetching is a run with servers in every important state.
func fetching() fetch.Snapshot {
	targets := targetsOn("10.0.0.5", "10.0.0.5", "10.0.0.7", "backup.example")
	return fetch.Snapshot{
		Phase: fetch.PhaseFetching, Size: 200 * miB, Good: 90 * miB, Resumed: 10 * miB, Rate: 20 * miB, Left: 5500 * time.Millisecond,
		Servers: []fetch.ServerReport{
			{Target: targets[0], State: fetch.StateServing, Bytes: 40 * miB, Rate: 12.5 * miB, RTT: 400 * time.Microsecond, Conns: 1, Transport: source.QUIC},
			{Target: targets[1], State: fetch.StateServing, Bytes: 30 * miB, Rate: 7.5 * miB, RTT: 87 * time.Millisecond, Conns: 4, Transport: source.TCP},
			{Target: targets[2], State: fetch.StateWrong, Bytes: 10 * miB, BadChunks: 1},
			{Target: targets[3], State: fetch.StateIndexing, Indexing: 0.45},
		},
	}
}

// many is a run with 50 servers, the first one lost.
func many() fetch.Snapshot {
	p := fetching()
	p.Servers = nil
	for i := range 50 {
		p.Servers = append(p.Servers, fetch.ServerReport{
			Target: source.Target{Host: "10.0.0.5", Port: uint16(10001 + i)}, State: fetch.StateServing,
			Bytes: 80 * miB / 50, Rate: 0.4 * miB, RTT: time.Millisecond, Conns: 1,
		})
	}
	p.Servers[0].State, p.Servers[0].Conns, p.Servers[0].RTT = fetch.StateLost, 0, 0
	return p
}

func TestGetLines(t *testing.T) {
	golden(t, "80 columns", shows.getLines(getFrame{p: fetching()}, 80, 24), `
server                state         share         rate  round trip  wrong
10.0.0.5:10000        serving        50 %   12.5 MiB/s      0.4 ms      0
10.0.0.5:10001        serving        38 %    7.5 MiB/s       87 ms      0
10.0.0.7:10002        wrong bytes    13 %                               1
backup.example:10003  hashing 45 %    0 %                               0
 45.0 %  ▓█████████░░░░░░░░░░░░░  90.0 MiB of 200.0 MiB  20.0 MiB/s  6s left
`)
	golden(t, "120 columns", shows.getLines(getFrame{p: fetching()}, 120, 40), `
server                state         share   received         rate  round trip  conns  over  wrong
10.0.0.5:10000        serving        50 %   40.0 MiB   12.5 MiB/s      0.4 ms      1  quic      0
10.0.0.5:10001        serving        38 %   30.0 MiB    7.5 MiB/s       87 ms      4  tcp       0
10.0.0.7:10002        wrong bytes    13 %   10.0 MiB                                            1
backup.example:10003  hashing 45 %    0 %        0 B                                            0
 45.0 %  ▓▓▓████████████████████████░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░  90.0 MiB of 200.0 MiB  20.0 MiB/s  6s left
`)
	golden(t, "a narrow one", shows.getLines(getFrame{p: fetching()}, 39, 24), `
 45.0 %  ▓███████░░░░░░░░░  6s left
`)
	golden(t, "many servers", shows.getLines(getFrame{p: many()}, 80, 10), `
server          state        share         rate  round trip  conns  wrong
10.0.0.5:10002  serving        2 %  409.6 KiB/s      1.0 ms      1      0
10.0.0.5:10003  serving        2 %  409.6 KiB/s      1.0 ms      1      0
10.0.0.5:10004  serving        2 %  409.6 KiB/s      1.0 ms      1      0
10.0.0.5:10005  serving        2 %  409.6 KiB/s      1.0 ms      1      0
10.0.0.5:10006  serving        2 %  409.6 KiB/s      1.0 ms      1      0
and 45 more     44 serving    90 %   18.0 MiB/s                 44      0
 45.0 %  ▓█████████░░░░░░░░░░░░░  90.0 MiB of 200.0 MiB  20.0 MiB/s  6s left
`)
}

// TestTotalOfEachPhase: each phase has a line of its own.
func TestTotalOfEachPhase(t *testing.T) {
	asking := fetch.Snapshot{Servers: fetching().Servers}
	preparing, reading, finishing := fetching(), fetching(), fetching()
	preparing.Phase, preparing.Check, preparing.Checked = fetch.PhasePreparing, 100*miB, 25*miB
	reading.Phase, reading.Check, reading.Checked = fetch.PhaseReadingBack, 200*miB, 50*miB
	finishing.Phase, finishing.Good = fetch.PhaseFinishing, 200*miB
	done := finishing
	done.Phase = fetch.PhaseFetching
	list := preparing
	list.Check = 0
	tests := []struct {
		name string
		f    getFrame
		want string
	}{
		{"asking", getFrame{p: asking}, "asking 4 servers: 2 answered, 1 still hashing the file"},
		{"preparing", getFrame{p: preparing}, "checking what is there   25.0 %  ██████░░░░░░░░░░░░░░░░░  25.0 MiB of 100.0 MiB"},
		{"values", getFrame{p: list}, "asking for the chunk values"},
		{"reading back", getFrame{p: reading}, "reading back   25.0 %  ████████░░░░░░░░░░░░░░░░░░░░░░░░░  50.0 MiB of 200.0 MiB"},
		{"finishing", getFrame{p: finishing}, "100.0 %  ▓██████████████████████████  200.0 MiB of 200.0 MiB  making it durable"},
		{"waiting", getFrame{p: fetching(), waiting: 14*time.Minute + 55*time.Second},
			" 45.0 %  ▓██████░░░░░░░░  90.0 MiB of 200.0 MiB  no server, giving up in 14m55s"},
		{"done", getFrame{p: done, took: 4100 * time.Millisecond}, "100.0 %  ▓█████████████████████  200.0 MiB of 200.0 MiB  20.0 MiB/s  in 4.1s"},
	}
	for _, test := range tests {
		if got := shows.totalLine(test.f, 79); got != test.want {
			t.Errorf("%s:\n got %q\nwant %q", test.name, got, test.want)
		}
	}
}

// TestCheckHasItsOwnBar: a check of a resumed part that takes long has a bar
// above the total, and so has what repair copies.
func TestCheckHasItsOwnBar(t *testing.T) {
	p := fetching()
	p.Servers, p.Check, p.Checked = nil, 100*miB, 50*miB
	lines := shows.getLines(getFrame{p: p, check: true}, 80, 24)
	if got := lines[len(lines)-2]; !strings.HasPrefix(got, "checking what is there   50.0 %") {
		t.Errorf("above the total: %q", got)
	}
	lines = shows.getLines(getFrame{p: p, check: true, local: true}, 80, 24)
	if got := lines[len(lines)-2]; !strings.HasPrefix(got, "copying what is right   50.0 %") {
		t.Errorf("above the total of repair: %q", got)
	}
}

func TestGetLinesFit(t *testing.T) {
	cells := make(fetch.ChunkMap, 800)
	asking := fetch.Snapshot{Servers: many().Servers}
	frames := map[string]getFrame{
		"four": {p: fetching()}, "fifty": {p: many()}, "fifty with a map": {p: many(), cells: cells},
		"four with a map": {p: fetching(), cells: cells}, "asking": {p: asking}, "nothing": {},
		"waiting": {p: fetching(), waiting: time.Hour}, "checking": {p: fetching(), check: true},
	}
	everySize(func(width, height int) {
		for name, f := range frames {
			fits(t, name, shows.getLines(f, width, height), width, height)
		}
	})
}

func TestFormatTrip(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0.4 ms": 400 * time.Microsecond, "9.9 ms": 9940 * time.Microsecond, "10 ms": 9960 * time.Microsecond,
		"999 ms": 999400 * time.Microsecond, "1.0 s": 999600 * time.Microsecond, "2.5 s": 2500 * time.Millisecond,
	} {
		if got := formatTrip(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

// TestSessionHasColumns: the session in the README shows the table as it is
// now.
func TestSessionHasColumns(t *testing.T) {
	picture, err := os.ReadFile("../session.svg")
	if err != nil {
		t.Fatal(err)
	}
	session := string(picture)
	for _, c := range serverColumns {
		if !strings.Contains(session, c.Title) {
			t.Errorf("the README's session lacks the column %q: run just session", c.Title)
		}
	}
}
