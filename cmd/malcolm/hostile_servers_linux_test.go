package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"malcolm/certs"
	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/manifest"
	"malcolm/transport"
	"malcolm/wire"
)

// An ambush is a server that replies by hand. Without hooks it is an honest one.
// A hook that is not nil replies in its place, and belongs to the goroutine of its
// stream; the reply ends when it returns.
type ambush struct {
	port     int
	data     []byte
	offer    wire.Offer
	manifest wire.Manifest
	spent    chan struct{} // closed by a hook that has done its worst, so that get is interrupted
	ended    <-chan struct{}

	onHello, onManifest func(st *transport.Stream)
	onRange             func(st *transport.Stream, r wire.RangeRequest)
}

// ambushedSize is the size of the file, in bytes: more chunks than are asked for at
// once.
const ambushedSize = 4 * mib

// layAmbush starts a server that lasts as long as t.
func layAmbush(t *testing.T, prepare func(a *ambush)) *ambush {
	t.Helper()
	a := &ambush{data: make([]byte, ambushedSize), spent: make(chan struct{}), ended: t.Context().Done()}
	rand.Read(a.data)
	m, sum, err := manifest.Build(t.Context(), bytes.NewReader(a.data), ambushedSize, manifest.BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	a.manifest = m
	a.offer = wire.Offer{Size: ambushedSize, ModTime: time.Unix(1e9, 0), Checksum: sum, Digest: manifest.Digest(m), Name: "data"}
	prepare(a)
	id, err := certs.Generate()
	if err != nil {
		t.Fatal(err)
	}
	conf, err := id.ServerTLS(time.Now(), wire.ALPN)
	if err != nil {
		t.Fatal(err)
	}
	pc, err := transport.ListenUDP("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	a.port = pc.LocalAddr().(*net.UDPAddr).Port
	l, err := transport.Listen(pc, transport.ListenOptions{TLS: conf})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { a.accept(t.Context(), l, &wg) })
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return a
}

func (a *ambush) accept(ctx context.Context, l *transport.Listener, wg *sync.WaitGroup) {
	for {
		conn, err := l.Accept(ctx)
		if err != nil {
			return
		}
		wg.Go(func() {
			for {
				st, err := conn.AcceptStream(ctx)
				if err != nil {
					return
				}
				wg.Go(func() {
					defer st.Release()
					a.answer(st)
				})
			}
		})
	}
}

func (a *ambush) answer(st *transport.Stream) {
	req, err := wire.ReadRequest(st)
	if err != nil {
		return
	}
	switch req := req.(type) {
	case wire.Hello:
		if a.onHello != nil {
			a.onHello(st)
		} else {
			reply(st, wire.StatusOK, a.offer.Append(nil))
		}
	case wire.ManifestRequest:
		if a.onManifest != nil {
			a.onManifest(st)
		} else {
			reply(st, wire.StatusOK, a.manifest.Bytes())
		}
	case wire.RangeRequest:
		if a.onRange != nil {
			a.onRange(st, req)
		} else {
			a.sendRange(st, req)
		}
	}
	st.CloseWrite()
}

// reply sends one frame.
func reply(st *transport.Stream, status wire.Status, body []byte) {
	st.Write(append(wire.Header{Status: status, Length: uint64(len(body))}.Append(nil), body...))
}

func (a *ambush) sendRange(st *transport.Stream, r wire.RangeRequest) {
	reply(st, wire.StatusOK, a.data[r.Offset:r.Offset+r.Length])
}

// announce begins a frame whose body is to follow.
func announce(st *transport.Stream, status wire.Status, length uint64) {
	st.Write(wire.Header{Status: status, Length: length}.Append(nil))
}

// pour repeats what it is given for as long as somebody takes it, up to 4 GiB.
func pour(st *transport.Stream, what []byte) {
	b := bytes.Repeat(what, 1+(64<<10)/len(what))
	for range 64 << 10 {
		if _, err := st.Write(b); err != nil {
			return
		}
	}
}

// silence says nothing more until the test ends.
func (a *ambush) silence() { <-a.ended }

// greatest offers the largest file that there may be. Its manifest begins as it
// should, and has so many of its bytes.
func (a *ambush) greatest(of func(st *transport.Stream, m []byte)) {
	const size = wire.MaxFileSize
	m := wire.NewManifest(size, manifest.ChunkSize(size), manifest.Count(size))
	a.offer.Size = size
	a.onManifest = func(st *transport.Stream) {
		announce(st, wire.StatusOK, uint64(len(m.Bytes())))
		of(st, m.Bytes())
	}
}

// offersAnd replies to each hello with what of sends.
func offersAnd(of func(st *transport.Stream)) func(a *ambush) {
	return func(a *ambush) {
		a.onHello = func(st *transport.Stream) {
			of(st)
			a.silence()
		}
	}
}

// indexing is a frame that puts get off.
func indexing() []byte {
	body := wire.Indexing{Done: 1, Total: 2}.Append(nil)
	return append(wire.Header{Status: wire.StatusIndexing, Length: uint64(len(body))}.Append(nil), body...)
}

// putOff puts get off as slowly as an honest server, for ever.
func (a *ambush) putOff(st *transport.Stream) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := st.Write(indexing()); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-a.ended:
			return
		}
	}
}

const (
	fourGiB = 4 << 30
	// plainBound is by how many bytes get's memory may grow for any server but one
	// that offers a large file: what a connection may have in its window.
	plainBound = 24 * mib
	// greatestBound is for the largest file there may be: its manifest of 48 MiB,
	// a third of it again while it grows.
	greatestBound = plainBound + 48*mib + 16*mib
	// mappedBound is by how many bytes of its address space get may grow: a length
	// that a server made up shows there even if nothing is ever written.
	mappedBound = 1 << 30
)

// Attacks on get: how much it may take for them, how it must end, and what it may
// leave in its directory.
var ambushes = []struct {
	name  string
	lay   func(a *ambush)
	bound int64
	code  int
	left  []string
}{
	{"manifest that ends in its middle", func(a *ambush) {
		a.greatest(func(st *transport.Stream, m []byte) {
			st.Write(m[:len(m)/2])
			close(a.spent)
			a.silence()
		})
	}, greatestBound, 130, nil},
	{"manifest without an end", func(a *ambush) {
		a.greatest(func(st *transport.Stream, m []byte) {
			st.Write(m)
			pour(st, []byte{0})
		})
	}, greatestBound, exitIntegrity, nil},
	{"offer of 4 GiB", offersAnd(func(st *transport.Stream) { announce(st, wire.StatusOK, fourGiB) }), plainBound, exitNetwork, nil},
	{"text of 4 GiB", offersAnd(func(st *transport.Stream) { announce(st, wire.StatusBusy, fourGiB) }), plainBound, exitNetwork, nil},
	{"indexing of 4 GiB", offersAnd(func(st *transport.Stream) { announce(st, wire.StatusIndexing, fourGiB) }), plainBound, exitNetwork, nil},
	{"manifest of 4 GiB", func(a *ambush) {
		a.onManifest = func(st *transport.Stream) { announce(st, wire.StatusOK, fourGiB); a.silence() }
	}, plainBound, exitIntegrity, nil},
	{"range of 4 GiB", func(a *ambush) {
		a.onRange = func(st *transport.Stream, _ wire.RangeRequest) { announce(st, wire.StatusOK, fourGiB); a.silence() }
	}, plainBound, exitIntegrity, nil},
	{"indexing for ever", func(a *ambush) { a.onHello = a.putOff }, plainBound, exitNetwork, nil},
	{"indexing without a pause", offersAnd(func(st *transport.Stream) { pour(st, indexing()) }), plainBound, exitNetwork, nil},
	{"text without an end", offersAnd(func(st *transport.Stream) {
		announce(st, wire.StatusBusy, wire.MaxTextLen)
		pour(st, []byte("\x1b[2J"))
	}), plainBound, exitNetwork, nil},
	// What was asked for is right, and is kept for the next run.
	{"more bytes than asked", func(a *ambush) {
		a.onRange = func(st *transport.Stream, r wire.RangeRequest) { a.sendRange(st, r); pour(st, []byte{0}) }
	}, plainBound, exitIntegrity, []string{"data.part", "data.part.journal"}},
}

// suffer is a get process with one server, to its end. It returns what the process
// needed until shortly before: with the process the numbers are gone.
func suffer(t *testing.T, a *ambush, dir string) (p *process, most memory) {
	t.Helper()
	p = startProcess(t, "get", malcolmIn(t.TempDir(), "get", "-o", dir, "-i", "0",
		"--patience", "1", "--connect-timeout", "30", "127.0.0.1:"+strconv.Itoa(a.port)))
	hang, look, spent := time.NewTimer(hangTime), time.NewTicker(2*time.Millisecond), a.spent
	defer hang.Stop()
	defer look.Stop()
	for {
		if m, ok := p.memory(); ok {
			most = m // neither of them falls
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

func TestHostileServersMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector needs more memory than the attacks")
	}
	p, alone := suffer(t, layAmbush(t, func(*ambush) {}), t.TempDir())
	if p.code() != exitDone || alone.resident == 0 {
		t.Fatalf("from an honest server: exit code %d, %+v", p.code(), alone)
	}
	t.Logf("from an honest server: %s", human.Bytes(alone.resident))
	for _, test := range ambushes {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			p, m := suffer(t, layAmbush(t, test.lay), dir)
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
