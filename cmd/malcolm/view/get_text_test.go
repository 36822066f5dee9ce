package view

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"malcolm/certs"
	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/fetch"
	"malcolm/transfer/partfile"
	"malcolm/transfer/source"
	"malcolm/transfer/vote"
)

const giB = 1 << 30

// targetsOn returns servers on different ports, one for each host.
func targetsOn(hosts ...string) []source.Target {
	var targets []source.Target
	for i, h := range hosts {
		targets = append(targets, source.Target{Host: h, Port: uint16(10000 + i)})
	}
	return targets
}

func TestShare(t *testing.T) {
	for _, test := range []struct {
		bytes, all int64
		want       string
	}{{0, 0, "0 %"}, {5, 0, "0 %"}, {0, 7, "0 %"}, {1, 3, "33 %"}, {2, 3, "67 %"}, {7, 7, "100 %"}, {1 << 44, 1 << 44, "100 %"}} {
		if got := share(test.bytes, test.all); got != test.want {
			t.Errorf("%d of %d: got %q, want %q", test.bytes, test.all, got, test.want)
		}
	}
}

func TestSources(t *testing.T) {
	var many []fetch.ServerReport
	for i := range 10 {
		many = append(many, fetch.ServerReport{Target: source.Target{Host: "h", Port: uint16(i + 1)}, Bytes: 1024})
	}
	tests := []struct {
		servers []fetch.ServerReport
		want    string
	}{
		{nil, "no server"},
		{[]fetch.ServerReport{{Target: here}}, "no server"},
		{[]fetch.ServerReport{{Target: here, Bytes: 5}}, "1 server (127.0.0.1:10001 5 B)"},
		{[]fetch.ServerReport{{Target: here, Bytes: 5}, {Target: source.Target{Host: "::1", Port: 9}, Bytes: 1024}, {}},
			"2 servers ([::1]:9 1.0 KiB, 127.0.0.1:10001 5 B)"},
		{many, "10 servers (h:1 1.0 KiB, h:2 1.0 KiB, h:3 1.0 KiB, h:4 1.0 KiB, h:5 1.0 KiB, h:6 1.0 KiB, h:7 1.0 KiB, h:8 1.0 KiB, 2 more)"},
	}
	for _, test := range tests {
		if got := sources(test.servers); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

// TestProgressLines: one line for each server whose numbers changed and one for
// the total; nothing when nothing changes.
func TestProgressLines(t *testing.T) {
	term, _, stderr := newTestTerminal()
	v := &getText{Terminal: term}
	said := func() string {
		defer stderr.Reset()
		return stderr.String()
	}
	a := fetch.ServerReport{Target: here, State: fetch.StateServing, Bytes: 1 << 20, Rate: 1 << 20}
	b := fetch.ServerReport{Target: source.Target{Host: "h", Port: 1}, State: fetch.StateServing, Bytes: 3 << 20, Rate: 3 << 20}
	p := fetch.Snapshot{
		Phase: fetch.PhaseFetching, Size: 16 << 20, Good: 8 << 20, Resumed: 4 << 20, Rate: 4 << 20, Left: 2 * time.Second,
		Servers: []fetch.ServerReport{a, b},
	}
	v.progress(p)
	want := "127.0.0.1:10001        serving      1.0 MiB/s  25 %    1.0 MiB  0 wrong\n" +
		"h:1                    serving      3.0 MiB/s  75 %    3.0 MiB  0 wrong\n" +
		"total  50.0 %  8.0 MiB of 16.0 MiB  4.0 MiB/s  2s left\n"
	if got := said(); got != want {
		t.Errorf("the first time:\n%swant\n%s", got, want)
	}
	v.progress(p)
	if got := said(); got != "" {
		t.Errorf("without a change: %q, want nothing", got)
	}
	b.Bytes, p.Good, p.Left = 5<<20, 10<<20, -1
	p.Servers = []fetch.ServerReport{a, b}
	v.progress(p)
	want = "h:1                    serving      3.0 MiB/s  83 %    5.0 MiB  0 wrong\n" +
		"total  62.5 %  10.0 MiB of 16.0 MiB  4.0 MiB/s\n"
	if got := said(); got != want {
		t.Errorf("one has changed:\n%swant\n%s", got, want)
	}
	a.State, a.BadChunks = fetch.StateWrong, 1
	p.Servers = []fetch.ServerReport{a, b}
	v.progress(p)
	if got := said(); !strings.HasPrefix(got, "127.0.0.1:10001 ") || !strings.Contains(got, "  1 wrong\ntotal ") {
		t.Errorf("a wrong chunk:\n%swant a line for it and the total", got)
	}
}

func TestProgressOfIndexing(t *testing.T) {
	term, _, stderr := newTestTerminal()
	v := &getText{Terminal: term}
	p := fetch.Snapshot{Servers: []fetch.ServerReport{{Target: here, State: fetch.StateIndexing, Indexing: 0.255}}}
	v.progress(p)
	v.progress(p)
	if got, want := stderr.String(), "127.0.0.1:10001        indexing, 25.5 %\n"; got != want {
		t.Errorf("got %q, want %q once", got, want)
	}
}

func TestTotalLine(t *testing.T) {
	tests := []struct {
		p    fetch.Snapshot
		want string
	}{
		{fetch.Snapshot{Phase: fetch.PhaseFinishing}, "total  100 %  making it durable"},
		{fetch.Snapshot{Phase: fetch.PhasePreparing}, "asking for the chunk values"},
		{fetch.Snapshot{Phase: fetch.PhasePreparing, Preparing: fetch.Preparing{Check: 2048, Checked: 1024}}, "checking what is there: 1.0 KiB of 2.0 KiB"},
		{fetch.Snapshot{Phase: fetch.PhaseFetching, Size: 2048, Good: 2047, Left: -1}, "total  99.9 %  2.0 KiB of 2.0 KiB  0 B/s"},
	}
	for _, test := range tests {
		if got := totalLine(test.p); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

// TestEventLines: what one event says.
func TestEventLines(t *testing.T) {
	hostile := "a\x1b[2J" + strings.Repeat("b", 300)
	stopping := &source.Fault{What: source.Full, Words: "the server is stopping"}
	tests := []struct {
		event fetch.Event
		want  string // the beginning of the only line; empty: no line
	}{
		{fetch.Connected{Target: here}, ""},
		{fetch.NotReached{Target: here, Err: &source.Fault{What: source.NoPort, Words: "connection refused"}},
			"malcolm: warning: 127.0.0.1:10001: connection refused\n"},
		{fetch.Duplicate{Target: source.Target{Host: "localhost", Port: 1}, Of: here}, "malcolm: warning: localhost:1: is the same server as 127.0.0.1:10001, used once\n"},
		{fetch.OneAddress{Hosts: [2]string{"a", "b"}, Addr: netip.MustParseAddr("10.0.0.1")},
			"malcolm: warning: a and b have one address, 10.0.0.1: they still have two votes\n"},
		{fetch.Joined{Target: here}, "127.0.0.1:10001 answered late and has the same file"},
		{fetch.LeftOut{Target: here, Checksum: sum9f, Size: 5}, "malcolm: warning: 127.0.0.1:10001 answered late and has another file (9f86d081…, 5 B): left out\n"},
		{fetch.Started{Name: "data", Size: giB, Chunks: 4096}, "getting \"data\": 1.0 GiB in 4,096 chunks\n"},
		{fetch.Started{Name: hostile, Size: 1, Chunks: 1, Check: 1024}, `getting "a\x1b[2Jbbb`},
		{fetch.ChunkRefused{Target: here, Chunk: 7, Offset: 7 << 18, Length: 1 << 18},
			"malcolm: warning: 127.0.0.1:10001 sent wrong bytes: chunk 7 (256.0 KiB at 1.8 MiB) is refused, and the server is out for this run\n"},
		{fetch.ChunkRefused{Target: here, Chunk: 7, Changed: true}, "malcolm: warning: 127.0.0.1:10001: its file changed: chunk 7 "},
		{fetch.Silent{Lasted: 30 * time.Second, Left: 14*time.Minute + 30*time.Second}, "malcolm: warning: nothing has come for 30.0s: waiting for 14m30s more\n"},
		{fetch.ChunksUnreadable{Path: "a b", Chunks: 1, Err: errors.New("bad sector")}, "malcolm: warning: 'a b': 1 chunk cannot be read: bad sector; the disk may be failing\n"},
		{fetch.ValuesRefused{Target: here, Err: errors.New("odd")}, "malcolm: warning: 127.0.0.1:10001: its chunk values are not used: odd\n"},
		{fetch.Lost{Target: here, State: fetch.StateLost, Err: stopping, Left: 1}, "malcolm: warning: lost 127.0.0.1:10001: the server is stopping; 1 server left, which takes its work\n"},
		{fetch.Lost{Target: here, State: fetch.StateLost, Err: stopping, Left: -1}, "malcolm: warning: lost 127.0.0.1:10001: the server is stopping\n"},
		{fetch.Lost{Target: here, State: fetch.StateChanged, Err: errors.New("its file changed"), Left: 2},
			"malcolm: warning: 127.0.0.1:10001: left out: its file changed; 2 servers left, which take its work\n"},
		{fetch.Full{Target: here, Err: &source.Fault{What: source.Full, Words: "the server takes no more connections"}, Left: 15 * time.Minute},
			"malcolm: warning: 127.0.0.1:10001: the server takes no more connections: trying again for 15m00s\n"},
		{fetch.ServerSilent{Target: here, Lasted: 30 * time.Second},
			"malcolm: warning: 127.0.0.1:10001: has sent nothing for 30.0s: others do its work, and it is tried again\n"},
		{fetch.Lost{Target: here, State: fetch.StateWrong, Err: errors.New("chunk 7 is wrong"), Left: 0},
			"malcolm: warning: 127.0.0.1:10001: left out: chunk 7 is wrong; 0 servers left\n"},
		{fetch.Finishing{}, ""},
	}
	for _, test := range tests {
		term, out, stderr := newTestTerminal()
		v := &getText{Terminal: term}
		v.event(test.event)
		got := stderr.String()
		if !strings.HasPrefix(got, test.want) || strings.Count(got, "\n") != min(len(test.want), 1) {
			t.Errorf("%#v: got %q, want one line with %q", test.event, got, test.want)
		}
		if strings.Contains(got, "\x1b") || len(got) > 200 || out.Len() > 0 {
			t.Errorf("%#v: %q, stdout %q, want plain and short text on stderr", test.event, got, out)
		}
	}
}

// TestVotedNamesEachID: each server ID in full, once, with its servers.
func TestVotedNamesEachID(t *testing.T) {
	term, _, stderr := newTestTerminal()
	v := &getText{Terminal: term}
	targets := targetsOn("a", "b", "c")
	one, two := certs.ServerID{1}, certs.ServerID{2}
	v.event(fetch.Connected{Target: targets[0], ID: one})
	v.event(fetch.Connected{Target: targets[1], ID: two})
	v.event(fetch.Connected{Target: targets[2], ID: one})
	v.event(fetch.Voted{Targets: targets, Result: vote.Result{
		Groups: []vote.Group{groupOf(sum9f, 2, 2, 0, 1, 2)}, Total: 2, Answered: []int{0, 1, 2},
	}})
	want := "server ID " + one.String() + ": a:10000 and 1 more\nserver ID " + two.String() + ": b:10001\n" +
		"3 of 3 servers, 2 of 2 votes, agree on 9f86d081… (1.0 GiB)\n"
	if got := stderr.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestDoneLines(t *testing.T) {
	result := fetch.Result{
		Path: "copy/data", Name: "data", Size: 4 << 20, Checksum: sum9f, Elapsed: 2 * time.Second,
		Amounts: fetch.Amounts{Fetched: 3 << 20, Resumed: 1 << 20}, Servers: []fetch.ServerReport{{Target: here, Bytes: 3 << 20}},
	}
	term, out, stderr := newTestTerminal()
	(&getText{Terminal: term}).done(&result)
	want := "4.0 MiB in 2.0s, 1.5 MiB/s, BLAKE3 " + human.Hex(sum9f) + ", from 1 server (127.0.0.1:10001 3.0 MiB), 1.0 MiB kept from an earlier run\n"
	if got := stderr.String(); got != want || out.String() != "copy/data\n" {
		t.Errorf("got %q and stdout %q, want %q", got, out, want)
	}

	result.AlreadyRight = true
	term, out, stderr = newTestTerminal()
	(&getText{Terminal: term}).done(&result)
	want = "\"data\" is there already and right: 4.0 MiB, BLAKE3 " + human.Hex(sum9f) + "\n"
	if got := stderr.String(); got != want || out.String() != "copy/data\n" {
		t.Errorf("already right: got %q and stdout %q, want %q", got, out, want)
	}
}

// TestFailedLines: in this order, the servers behind an error, the error, what
// to do about it, what is kept, how to continue.
func TestFailedLines(t *testing.T) {
	kept := &fetch.Result{Part: "my copy/data.part", Size: 4 << 20, Amounts: fetch.Amounts{Fetched: 1 << 20, Resumed: 1 << 20}}
	const keptLine = "kept 'my copy/data.part': 2.0 MiB of 4.0 MiB are good\n"
	const hint, resume = "malcolm: hint: do this\n", "malcolm: hint: to continue: that\n"
	odd := errors.New("odd")
	tests := []struct {
		name string
		end  Outcome
		want string
	}{
		{"kept", Outcome{Got: kept, Err: odd, Hints: []string{"do this"}, Resume: []string{"to continue: that"}}, "malcolm: error: odd\n" + hint + keptLine + resume},
		{"no part yet", Outcome{Got: new(fetch.Result), Err: odd}, "malcolm: error: odd\n"},
		{"nobody reads", Outcome{Got: kept, Err: odd, Unread: true, Hints: []string{"do this"}}, ""},
		{"refused because of a part", Outcome{Got: kept, Hints: []string{"do this"}, Err: &fetch.TargetError{
			Path: "my copy/data.part", Part: partfile.PartSame, Hint: partfile.HintResume,
		}}, "malcolm: error: \"my copy/data.part\" is an unfinished download\n" + hint},
		{"nobody knows what is good", Outcome{Got: kept, Err: &partfile.Error{Op: "keep", Reason: partfile.Changed, Err: odd}},
			"malcolm: error: " + (&partfile.Error{Op: "keep", Reason: partfile.Changed, Err: odd}).Error() + "\n"},
		{"nobody left", Outcome{Got: kept, Err: &fetch.NoServerLeftError{Missing: 5, Servers: []fetch.ServerReport{
			{Target: here, State: fetch.StateLost, Err: &source.Fault{What: source.NoPort, Words: "connection refused"}},
			{Target: here, State: fetch.StateLeftOut},
		}}}, "127.0.0.1:10001        lost: connection refused\nmalcolm: error: no server is left, 5 bytes are missing\n" + keptLine},
		{"tie", Outcome{Got: new(fetch.Result), Hints: []string{"do this"}, Err: &fetch.UndecidedError{Targets: targetsOn("a", "b"), Result: vote.Result{
			Reason: vote.NoMajority, Total: 2, Winner: -1,
			Groups: []vote.Group{groupOf(sum9f, 1, 1, 0), groupOf([32]byte{1}, 1, 1, 1)},
		}}}, "1 of 2 votes: 1.0 GiB, BLAKE3 " + human.Hex(sum9f) + ": a:10000\n    host a\n    server ID " + certs.ServerID{}.String() + "\n" +
			"1 of 2 votes: 1.0 GiB, BLAKE3 " + human.Hex([32]byte{1}) + ": b:10001\n    host b\n    server ID " + certs.ServerID{}.String() + "\n" +
			"malcolm: error: no majority: the servers do not agree on one file\n" + hint},
	}
	for _, test := range tests {
		term, out, stderr := newTestTerminal()
		(&getText{Terminal: term}).ended(test.end)
		if got := stderr.String(); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.name, got, test.want)
		}
		if out.Len() > 0 {
			t.Errorf("%s: stdout %q, want nothing", test.name, out)
		}
	}
}

// TestAdviceIsGivenOnce: advice about servers comes with the first of them,
// once for all ports.
func TestAdviceIsGivenOnce(t *testing.T) {
	term, _, stderr := newTestTerminal()
	v := &getText{Terminal: term, run: Run{Advice: func(t source.Target, _ error) []string {
		return []string{fmt.Sprintf("try port %d later", t.Port)}
	}}}
	for port := range uint16(3) {
		v.event(fetch.Full{Target: source.Target{Host: "h", Port: port}, Err: &source.Fault{What: source.Full, Words: "the server takes no more connections"}, Left: time.Minute})
	}
	v.event(fetch.NotReached{Target: here, Err: errors.New("odd")})
	if got := strings.Count(stderr.String(), "malcolm: hint: "); got != 1 || !strings.Contains(stderr.String(), "\nmalcolm: hint: try port 0 later\n") {
		t.Errorf("%q has %d hints, want the first one, behind its warning", stderr, got)
	}
}

// TestDecisionLines: what -v says of another connection to a server.
func TestDecisionLines(t *testing.T) {
	late := &source.Fault{What: source.NoAnswer, Words: "no answer in 1s"}
	for _, test := range []struct {
		d    fetch.Decision
		want string
	}{
		{fetch.Decision{What: fetch.AcrossTried}, "the other transport is tried: it may be faster\n"},
		{fetch.Decision{What: fetch.AcrossKept}, "its transport stays: the other one is no faster\n"},
		{fetch.Decision{What: fetch.AcrossKept, Err: late}, "its transport stays: the other one failed (no answer in 1s)\n"},
		{fetch.Decision{What: fetch.WayTried}, "a connection brings nothing of what it owes: another one is tried\n"},
		{fetch.Decision{What: fetch.WayKept}, "the silent connection stays: it sends again\n"},
		{fetch.Decision{What: fetch.WayKept, Err: late}, "the silent connection stays: the other one failed (no answer in 1s)\n"},
		{fetch.Decision{What: fetch.WayChanged}, "another connection has taken the place of the silent one\n"},
	} {
		term, _, stderr := newTestTerminal()
		test.d.Target = here
		(&getText{Terminal: term}).event(test.d)
		if got, want := stderr.String(), "127.0.0.1:10001: "+test.want; got != want {
			t.Errorf("%+v: got %q, want %q", test.d, got, want)
		}
	}
}

// TestTransportLines: what -v says of another transport.
func TestTransportLines(t *testing.T) {
	for _, test := range []struct {
		e    fetch.TransportChanged
		want string
	}{
		{fetch.TransportChanged{Transport: source.TCP, Rate: 300 << 20, Before: 100 << 20}, "over tcp from now on: it carries more, 300.0 MiB/s instead of 100.0 MiB/s\n"},
		{fetch.TransportChanged{Transport: source.TCP}, "over tcp from now on: it carries more\n"},
		{fetch.TransportChanged{Transport: source.TCP, Why: fetch.TransportRemembered}, "over tcp from now on: an earlier run found it faster\n"},
		{fetch.TransportChanged{Transport: source.QUIC, Why: fetch.TransportFell}, "over quic from now on: the other one carries much less than this one did\n"},
		{fetch.TransportChanged{Transport: source.QUIC, Why: fetch.TransportSilent}, "over quic from now on: the other one brings nothing\n"},
	} {
		term, _, stderr := newTestTerminal()
		test.e.Target = here
		(&getText{Terminal: term}).event(test.e)
		if got, want := stderr.String(), "127.0.0.1:10001: "+test.want; got != want {
			t.Errorf("%+v: got %q, want %q", test.e, got, want)
		}
	}
}
