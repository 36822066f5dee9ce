package main

import (
	"crypto/rand"
	"net"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"malcolm/certs"
	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/hostile"
	"malcolm/transfer/manifest"
	"malcolm/transfer/source"
	"malcolm/transport"
	"malcolm/wire"
)

// maliciousSize is the size of the file that a malicious server offers, in
// bytes: more chunks than get asks for at once.
const maliciousSize = 4 * mib

// startMalicious starts a malicious server on loopback that lasts as long as t.
// It sends no values with its offer.
func startMalicious(t *testing.T, prepare func(m *hostile.Server)) *hostile.Server {
	t.Helper()
	data := make([]byte, maliciousSize)
	rand.Read(data)
	m := new(hostile.Server)
	if err := m.Hold(data); err != nil {
		t.Fatal(err)
	}
	m.Offer.ValuesLen = 0
	prepare(m)
	id, err := certs.Generate()
	if err != nil {
		t.Fatal(err)
	}
	pc, err := transport.ListenUDP("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	m.Target = source.Target{Host: "127.0.0.1", Port: uint16(pc.LocalAddr().(*net.UDPAddr).Port)}
	if err := m.Start(pc, id); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Stop)
	return m
}

// flood repeats b while somebody takes it, up to 4 GiB.
func flood(st transport.Stream, b []byte) { hostile.Flood(st, b, fourGiB) }

// offerLargest offers the largest file that there may be. send gets the frames
// of its values.
func offerLargest(m *hostile.Server, send func(st transport.Stream, values []byte)) {
	const size = wire.MaxFileSize
	largest := wire.NewValues(manifest.Count(size))
	m.Offer.Size = size
	frames := largest.AppendFrames(nil, 0, largest.Len())
	m.OnValues = func(st transport.Stream, _ wire.ValuesRequest) { send(st, frames) }
}

// answersStat replies to each stat with what send sends, and then nothing.
func answersStat(send func(st transport.Stream)) func(m *hostile.Server, _ chan<- struct{}) {
	return func(m *hostile.Server, _ chan<- struct{}) {
		m.OnStat = func(st transport.Stream, _ int) {
			send(st)
			m.Wait()
		}
	}
}

// answersOpen replies to each open with what send sends, and then nothing.
func answersOpen(send func(st transport.Stream)) func(m *hostile.Server, _ chan<- struct{}) {
	return func(m *hostile.Server, _ chan<- struct{}) {
		m.OnOpen = func(st transport.Stream, _ wire.Open) bool {
			send(st)
			m.Wait()
			return false
		}
	}
}

// announces replies to each stat with a header, and then nothing.
func announces(status wire.Status, length uint64) func(m *hostile.Server, _ chan<- struct{}) {
	return answersStat(func(st transport.Stream) { st.Write(hostile.Header(status, length)) })
}

// indexing is a frame that makes get wait.
func indexing() []byte {
	return hostile.Frame(wire.StatusIndexing, wire.Indexing{Done: 1, Total: 2}.Append(nil))
}

// indexForEver says that it is indexing as often as an honest server does,
// until the server stops.
func indexForEver(m *hostile.Server, _ chan<- struct{}) {
	m.OnStat = func(st transport.Stream, _ int) {
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for {
			if _, err := st.Write(indexing()); err != nil {
				return
			}
			select {
			case <-tick.C:
			case <-m.Stopping():
				return
			}
		}
	}
}

const (
	fourGiB = 4 << 30
	// plainBound is by how many bytes get's memory may grow for any server
	// but one that offers a large file: what a connection may have in its
	// window.
	plainBound = 24 * mib
	// greatestBound is for the largest file there may be: its values of
	// 32 MiB, half of that again while they grow.
	greatestBound = plainBound + 32*mib + 16*mib
	// mappedBound is by how many bytes of its address space get may grow: a
	// length that a server made up shows there even if nothing is ever
	// written.
	mappedBound = 1 << 30
)

// maliciousServers are attacks on get: by how many bytes its memory may grow,
// how it must end, and what it may leave in its directory. prepare may close
// spent when the server has done its worst: get is interrupted then.
var maliciousServers = []struct {
	name    string
	prepare func(m *hostile.Server, spent chan<- struct{})
	bound   int64
	code    int
	left    []string
}{
	{"values that end in their middle", func(m *hostile.Server, spent chan<- struct{}) {
		offerLargest(m, func(st transport.Stream, values []byte) {
			st.Write(values[:len(values)/2])
			close(spent)
			m.Wait()
		})
	}, greatestBound, 130, nil},
	{"values without an end", func(m *hostile.Server, _ chan<- struct{}) {
		offerLargest(m, func(st transport.Stream, values []byte) {
			st.Write(values)
			flood(st, []byte{0})
		})
	}, greatestBound, exitIntegrity, nil},
	{"reply to open of 4 GiB", answersOpen(func(st transport.Stream) {
		st.Write(hostile.Header(wire.StatusOK, fourGiB))
	}), plainBound, exitNetwork, nil},
	{"refused open without an end", answersOpen(func(st transport.Stream) {
		flood(st, hostile.Frame(wire.StatusBusy, []byte("\x00\x1b[2J")))
	}), plainBound, exitNetwork, nil},
	{"offer of 4 GiB", announces(wire.StatusOK, fourGiB), plainBound, exitNetwork, nil},
	{"text of 4 GiB", announces(wire.StatusBusy, fourGiB), plainBound, exitNetwork, nil},
	{"indexing of 4 GiB", announces(wire.StatusIndexing, fourGiB), plainBound, exitNetwork, nil},
	{"values of 4 GiB", func(m *hostile.Server, _ chan<- struct{}) {
		m.OnValues = func(st transport.Stream, _ wire.ValuesRequest) { m.Stall(st, hostile.Header(wire.StatusOK, fourGiB)) }
	}, plainBound, exitIntegrity, nil},
	{"range of 4 GiB", func(m *hostile.Server, _ chan<- struct{}) {
		m.OnRanges = func(st transport.Stream, _ []wire.Span) { m.Stall(st, hostile.Header(wire.StatusOK, fourGiB)) }
	}, plainBound, exitIntegrity, nil},
	{"indexing for ever", indexForEver, plainBound, exitNetwork, nil},
	{"indexing without a pause", answersStat(func(st transport.Stream) { flood(st, indexing()) }), plainBound, exitNetwork, nil},
	{"text without an end", answersStat(func(st transport.Stream) {
		st.Write(hostile.Header(wire.StatusBusy, wire.MaxTextLen))
		flood(st, []byte("\x1b[2J"))
	}), plainBound, exitNetwork, nil},
	{"frames of no bytes", func(m *hostile.Server, _ chan<- struct{}) {
		m.OnRanges = func(st transport.Stream, _ []wire.Span) { flood(st, hostile.Frame(wire.StatusOK, nil)) }
	}, plainBound, exitIntegrity, nil},
	// What was asked for is right, and is kept for the next run.
	{"more bytes than asked", func(m *hostile.Server, _ chan<- struct{}) {
		m.OnRanges = func(st transport.Stream, spans []wire.Span) { m.SendRanges(st, spans); flood(st, []byte{0}) }
	}, plainBound, exitIntegrity, []string{"data.bin.part", "data.bin.part.journal"}},
}

// suffer is a get process with one server, to its end; spent interrupts it. It
// returns what the process needed until shortly before: with the process the
// numbers are gone.
func suffer(t *testing.T, m *hostile.Server, spent <-chan struct{}, dir string) (p *process, most memory) {
	t.Helper()
	p = startProcess(t, "get", malcolmIn(t.TempDir(), "get", "-o", dir, "-i", "0",
		"--patience", "1", "--connect-timeout", "30", "127.0.0.1:"+strconv.Itoa(int(m.Target.Port))))
	hang, look := time.NewTimer(hangTime), time.NewTicker(2*time.Millisecond)
	defer hang.Stop()
	defer look.Stop()
	for {
		if now, ok := p.memory(); ok {
			most = now // neither of them falls
		}
		select {
		case <-p.done:
			return p, most
		case <-look.C:
		case <-spent:
			p.cmd.Process.Signal(syscall.SIGINT)
			spent = nil
		case <-hang.C:
			p.dump()
			t.Fatal("get does not end")
		}
	}
}

// Whatever a malicious server sends, get's memory stays within a bound, and get
// ends with the right exit code.
func TestHostileServersMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector needs more memory than the attacks")
	}
	p, alone := suffer(t, startMalicious(t, func(*hostile.Server) {}), nil, t.TempDir())
	if p.code() != exitDone || alone.resident == 0 {
		t.Fatalf("from an honest server: exit code %d, %+v", p.code(), alone)
	}
	t.Logf("from an honest server: %s", human.Bytes(alone.resident))
	for _, test := range maliciousServers {
		t.Run(test.name, func(t *testing.T) {
			dir, spent := t.TempDir(), make(chan struct{})
			server := startMalicious(t, func(m *hostile.Server) { test.prepare(m, spent) })
			p, m := suffer(t, server, spent, dir)
			if p.code() != test.code {
				t.Errorf("exit code %d, want %d", p.code(), test.code)
			}
			var left []string
			entries, err := os.ReadDir(dir)
			for _, e := range entries {
				left = append(left, e.Name())
			}
			if err != nil || !slices.Equal(left, test.left) {
				t.Errorf("left are %q, %v, want %q", left, err, test.left)
			}
			grown, bound := m.resident-alone.resident, withSpare(test.bound)
			t.Logf("%s more, of at most %s", human.Bytes(grown), human.Bytes(bound))
			if grown > bound {
				t.Errorf("get needed %s more than with an honest server, want at most %s", human.Bytes(grown), human.Bytes(bound))
			}
			if mapped := m.mapped - alone.mapped; mapped > mappedBound {
				t.Errorf("get asked the system for %s more than with an honest server, want at most %s", human.Bytes(mapped), human.Bytes(mappedBound))
			}
		})
	}
}
