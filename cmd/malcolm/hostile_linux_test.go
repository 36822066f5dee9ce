package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/admission"
	"malcolm/transfer/hostile"
	"malcolm/transfer/manifest"
	"malcolm/transport"
	"malcolm/wire"
)

// What hostile peers cost the memory of real processes, over loopback. Not with
// the race detector, which has memory of its own for each byte and goroutine.

// servedSize is the size of the file that is served, in bytes.
const servedSize = 64 * mib

// startProcess starts a command of malcolmIn. It does not outlive t.
func startProcess(t *testing.T, name string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{name: name, cmd: cmd, stdout: newTranscript(), stderr: newTranscript(), done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.stdout, p.stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-p.done
		if t.Failed() {
			t.Logf("stderr of %s (exit code %d):\n%s", name, p.code(), p.stderr.String())
		}
	})
	return p
}

// memory is what a process has needed so far, in bytes.
type memory struct {
	resident int64 // VmHWM
	mapped   int64 // VmPeak: also what was asked for and never touched
}

var memoryLines = regexp.MustCompile(`(?m)^VmPeak:\s+([0-9]+) kB$(?s:.*)^VmHWM:\s+([0-9]+) kB$`)

// memory reads what a process has needed; false when it has ended.
func (p *process) memory() (memory, bool) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/status")
	m := memoryLines.FindSubmatch(status)
	if err != nil || m == nil {
		return memory{}, false
	}
	mapped, _ := strconv.ParseInt(string(m[1]), 10, 64)
	resident, _ := strconv.ParseInt(string(m[2]), 10, 64)
	return memory{resident: resident << 10, mapped: mapped << 10}, true
}

// withSpare is what may be resident where expected bytes are in use: half more,
// for what the garbage collector has not collected yet.
func withSpare(expected int64) int64 { return expected + expected/2 }

// cost is what serve's limits grant an attack at most, at the same time.
type cost struct{ conns, streams, buffers int64 }

// bound is by how many bytes serve's memory may grow for it. A connection
// without a request takes 60 to 75 KiB (its goroutines, TLS, quic-go), a
// request 10 KiB (the stack of its goroutine, its stream).
func (c cost) bound() int64 {
	const conn, stream = 80 << 10, 10 << 10
	return withSpare(c.conns*conn + c.streams*stream + c.buffers*admission.MostBuffer)
}

// An attacker asks for more than it is granted: a multiple of the places, and
// of the streams of a connection.
const (
	greedyConns   = 3
	greedyStreams = 4
)

// A serveProcess is serve under attack, on a port of 127.0.0.1. The honest
// client comes from there as well, attackers from other addresses of the
// loopback network.
type serveProcess struct {
	*process
	t      *testing.T
	at     netip.AddrPort
	data   []byte
	sum    [32]byte
	greedy sync.WaitGroup // for what is not granted
}

// attackerAddr returns the address of an attacker by its number.
func attackerAddr(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, 66, byte(n >> 8), byte(n)})
}

// startServe starts serve, and returns when it has hashed the file.
func startServe(t *testing.T, f servedFile, flags ...string) *serveProcess {
	t.Helper()
	args := append([]string{"serve", "-f", f.path, "-n", "1", "--bind", "127.0.0.1", "-i", "0.1"}, flags...)
	p := startProcess(t, "serve", malcolmIn(t.TempDir(), args...))
	m, err := p.await(listeningLine)
	if err == nil {
		_, err = p.await(readyLine)
	}
	if err != nil {
		t.Fatal(err)
	}
	s := &serveProcess{process: p, t: t, at: netip.MustParseAddrPort("127.0.0.1:" + m[1]), data: f.data, sum: f.sum}
	t.Cleanup(s.greedy.Wait)
	return s
}

// A servedFile is a file of servedSize random bytes.
type servedFile struct {
	path string
	data []byte
	sum  [32]byte
}

// serveFile makes a servedFile, which lasts as long as t.
func serveFile(t *testing.T) servedFile {
	t.Helper()
	f := servedFile{path: filepath.Join(t.TempDir(), "data"), data: make([]byte, servedSize)}
	rand.Read(f.data)
	if err := os.WriteFile(f.path, f.data, 0o666); err != nil {
		t.Fatal(err)
	}
	var err error
	_, f.sum, err = manifest.Build(t.Context(), bytes.NewReader(f.data), servedSize, manifest.BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// residentNow returns how much memory serve has needed so far, in bytes. It
// fails the test if serve is not well.
func (s *serveProcess) residentNow() int64 {
	s.t.Helper()
	m, ok := s.memory()
	if !ok || strings.Contains(s.stderr.String(), "internal error") {
		s.t.Fatal("serve is not well")
	}
	return m.resident
}

// awaits waits until serve has reported these counts of clients and ranges, a
// regular expression.
func (s *serveProcess) awaits(counts string) {
	s.t.Helper()
	if _, err := s.await(regexp.MustCompile(`(?m)^total +` + counts + ` `)); err != nil {
		s.t.Fatal(err)
	}
}

// attacker returns an attacker at an address by its number, with the least
// windows.
func (s *serveProcess) attacker(from int) *hostile.Attacker {
	return &hostile.Attacker{
		Server: net.UDPAddrFromAddrPort(s.at), Window: 64 << 10,
		Open: func() (net.PacketConn, error) { return transport.DialUDP(attackerAddr(from), s.at) },
	}
}

// attackers is how many attack at once.
const attackers = 8

// connectAll connects perAddress times from each of a number of addresses, and
// does do with each connection. It returns how many were not refused. They last
// until the test ends.
func (s *serveProcess) connectAll(addresses, perAddress int, do func(conn transport.Conn) error) int {
	s.t.Helper()
	var all errgroup.Group
	var granted atomic.Int64
	all.SetLimit(attackers)
	for i := range addresses * perAddress {
		all.Go(func() error {
			conn, err := s.attacker(1 + i/perAddress).Connect(s.t.Context())
			if peer, ok := errors.AsType[*transport.PeerError](err); ok && peer.Kind == transport.PeerRefused {
				return nil
			}
			if err != nil {
				return err
			}
			s.t.Cleanup(func() { conn.Close(0, "") })
			granted.Add(1)
			return do(conn)
		})
	}
	if err := all.Wait(); err != nil {
		s.t.Fatal(err)
	}
	return int(granted.Load())
}

// openAll makes attackConns connections from one address. On each it begins all
// requests that it may, and asks for more: i counts those of one. It returns
// when all that are granted are begun.
func (s *serveProcess) openAll(begin func(st transport.Stream, i int)) {
	s.t.Helper()
	n := s.connectAll(1, attackConns, func(conn transport.Conn) error {
		i := 0
		more := func(n int) error {
			for ; n > 0; n, i = n-1, i+1 {
				st, err := conn.OpenStream(s.t.Context(), transport.Patient)
				if err != nil {
					return err
				}
				begin(st, i)
			}
			return nil
		}
		if err := more(transport.DefaultMaxStreams); err != nil {
			return err
		}
		s.greedy.Go(func() { _ = more((greedyStreams - 1) * transport.DefaultMaxStreams) })
		return nil
	})
	if n != attackConns {
		s.t.Errorf("%d connections of one address, want %d", n, attackConns)
	}
}

// honest copies the file, and compares it.
func (s *serveProcess) honest() {
	s.t.Helper()
	dir := s.t.TempDir()
	get := startProcess(s.t, "get", malcolmIn(dir, "get", "-i", "0", s.at.String()))
	if err := get.wait(); err != nil || get.code() != exitDone {
		s.t.Fatalf("the honest client: exit code %d, %v", get.code(), err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "data"))
	if err != nil {
		s.t.Fatal(err)
	}
	if !bytes.Equal(got, s.data) {
		s.t.Fatal("the honest client has other bytes")
	}
}

// wholeFile asks for the whole file.
func (s *serveProcess) wholeFile() []byte {
	return wire.AppendRequest(nil, wire.RangesRequest{Spans: []wire.Span{{Checksum: s.sum, Length: servedSize}}})
}

// stat asks for the offer.
var stat = wire.AppendRequest(nil, wire.StatRequest{})

// neverRead asks for the whole file again and again, and reads none of it. Of a
// few it reads what makes serve read ahead as far as it ever does.
func (s *serveProcess) neverRead() {
	ask := s.wholeFile()
	s.openAll(func(st transport.Stream, i int) {
		st.Write(ask)
		st.CloseWrite()
		if i < 2 {
			io.CopyN(io.Discard, st, mib)
		}
	})
	s.awaits(fmt.Sprintf("%s clients +%s ranges", human.Comma(attackConns), human.Comma(allStreams)))
	s.honest()
}

// neverWhole sends one byte of each request. In the end serve answers all,
// which shows that it had them at once.
func (s *serveProcess) neverWhole() {
	ask := stat
	var mu sync.Mutex
	var begun []transport.Stream
	s.openAll(func(st transport.Stream, _ int) {
		st.Write(ask[:1])
		mu.Lock()
		defer mu.Unlock()
		begun = append(begun, st)
	})
	s.honest()
	mu.Lock()
	all := begun
	mu.Unlock()
	for _, st := range all {
		st.Write(ask[1:])
		st.CloseWrite()
	}
	for _, st := range all {
		if _, err := wire.ReadHeader(st); err != nil { // it may say that it is busy
			s.t.Fatalf("a request that took its time is not answered: %v", err)
		}
	}
}

// handshakes makes more connections than there are places and asks nothing. Who
// comes later gets the place of an earlier one: all are let in.
func (s *serveProcess) handshakes() {
	const conns = greedyConns * places
	if n := s.connectAll(idleAddresses, conns/idleAddresses, func(transport.Conn) error { return nil }); n != conns {
		s.t.Errorf("%d connections of %d addresses, want %d", n, idleAddresses, conns)
	}
	s.awaits("2[45][0-9] clients") // on a busy machine a handshake may fail and leave its place
	s.honest()
}

// forged sends, from many addresses, datagrams that belong to no connection.
func (s *serveProcess) forged() {
	const datagrams, addresses = 40_000, 40
	var replies atomic.Int64
	var all errgroup.Group
	all.SetLimit(attackers)
	for from := range addresses {
		all.Go(func() error {
			pc, err := s.attacker(from).Open()
			if err != nil {
				return err
			}
			defer pc.Close()
			forger, answer := hostile.NewForger(uint64(from)), make([]byte, 2*hostile.DatagramSize)
			for i := range datagrams / addresses {
				pc.WriteTo(forger.Next(), net.UDPAddrFromAddrPort(s.at))
				if i%100 != 99 {
					continue
				}
				// What the kernel drops while serve is behind
				// would be no attack.
				pc.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
				for _, _, err = pc.ReadFrom(answer); err == nil; _, _, err = pc.ReadFrom(answer) {
					replies.Add(1)
				}
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Logf("%d datagrams, %d replies", datagrams, replies.Load())
	if replies.Load() == 0 {
		s.t.Error("no forged packet was answered: it was no attack")
	}
	s.honest()
}

// rapidResets asks for the whole file and gives it up, again and again, until
// the connection is closed, and that on many.
func (s *serveProcess) rapidResets() {
	ask := s.wholeFile()
	var made atomic.Int64
	s.connectAll(1, resetConns, func(conn transport.Conn) error {
		first, err := conn.OpenStream(s.t.Context(), transport.Patient)
		if err != nil {
			return err
		}
		hostile.Exchange(first, stat) // opens it
		for {
			st, err := conn.OpenStream(s.t.Context(), transport.Patient)
			if peer, ok := errors.AsType[*transport.PeerError](err); ok && peer.Code == uint64(wire.CloseLimit) {
				return nil
			}
			if err != nil {
				return err
			}
			hostile.RapidResets[int(made.Add(1))%len(hostile.RapidResets)].Do(st, ask)
		}
	})
	s.t.Logf("%d requests were given up", made.Load())
	s.honest()
}

const (
	attackConns   = 128
	allStreams    = attackConns * transport.DefaultMaxStreams
	places        = 256
	idleAddresses = 2
	resetConns    = 24
	// halfOpen is how many connections are begun without a proof of an
	// address within half of the time for a handshake, after which silence
	// ends one.
	halfOpen = admission.DefaultHandshakes * (1 + int64(transport.DefaultHandshakeTimeout/time.Second)/2)
)

// attacksOnServe are attacks during which an honest client gets the file, and
// what they are granted. Longer times and higher counts make them worse, and
// give slow machines the time for all of them at once.
var attacksOnServe = []struct {
	name    string
	flags   []string
	attack  func(s *serveProcess)
	granted cost
}{
	// Each connection has two buffers, and soon only the smallest ones.
	{"replies never read", []string{"--stall-timeout", "300"}, (*serveProcess).neverRead, cost{attackConns, allStreams, 2 * attackConns}},
	{"requests never whole", []string{"--request-timeout", "300", "--open-timeout", "300", "--max-wasted", "1000000"}, (*serveProcess).neverWhole, cost{attackConns, allStreams, 0}},
	{"handshakes", []string{"--open-timeout", "300", "--max-clients", strconv.Itoa(places)}, (*serveProcess).handshakes, cost{places, 0, 0}},
	{"forged datagrams", nil, (*serveProcess).forged, cost{halfOpen, 0, 0}},
	// Each connection has two buffers while it lives.
	{"rapid resets", nil, (*serveProcess).rapidResets, cost{resetConns, attackers * transport.DefaultMaxStreams, 2 * attackers}},
}

// Whatever attackers do, serve's memory stays within what its limits grant
// them, and an honest client gets the file.
func TestHostileClientsMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector needs more memory than the attacks")
	}
	file := serveFile(t)
	withstand := func(t *testing.T, attack func(s *serveProcess), flags ...string) int64 {
		s := startServe(t, file, flags...)
		attack(s)
		return s.residentNow()
	}
	alone := withstand(t, (*serveProcess).honest)
	t.Logf("with an honest client alone: %s", human.Bytes(alone))
	for _, test := range attacksOnServe {
		t.Run(test.name, func(t *testing.T) {
			grown, bound := withstand(t, test.attack, test.flags...)-alone, test.granted.bound()
			t.Logf("%s more, of at most %s", human.Bytes(grown), human.Bytes(bound))
			if grown > bound {
				t.Errorf("serve needed %s more than with an honest client alone, want at most %s", human.Bytes(grown), human.Bytes(bound))
			}
		})
	}
}
