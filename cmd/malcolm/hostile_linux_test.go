package main

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
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

	"malcolm/certs"
	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/admission"
	"malcolm/transfer/manifest"
	"malcolm/transport"
	"malcolm/wire"
)

// What peers that mean harm cost the memory of real processes, over loopback. Not
// with the race detector, which has memory of its own for each byte and goroutine.

const mib = 1 << 20

// besiegedSize is the size of the file that is served, in bytes.
const besiegedSize = 64 * mib

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

// withSpare is what may be resident where so much is expected: half more, for what
// the garbage collector has not collected yet.
func withSpare(expected int64) int64 { return expected + expected/2 }

// cost is what an attack is granted at most, at the same time, by serve's limits.
type cost struct{ conns, streams, buffers int64 }

// bound is by how many bytes serve's memory may grow for it. A connection without a
// request takes 60 to 75 KiB (its goroutines, TLS, quic-go), a request 10 KiB (the
// stack of its goroutine, its stream).
func (c cost) bound() int64 {
	const conn, stream = 80 << 10, 10 << 10
	return withSpare(c.conns*conn + c.streams*stream + c.buffers*admission.MostBuffer)
}

// An attacker asks for more than it is granted: so many times the places and the
// streams of a connection.
const (
	greedyConns   = 3
	greedyStreams = 4
)

// A besieged is a serve process and its port on 127.0.0.1. The honest client comes
// from there as well, attackers from other addresses of the loopback network.
type besieged struct {
	*process
	t      *testing.T
	port   uint16
	data   []byte
	sum    [32]byte
	greedy sync.WaitGroup // for what is not granted
}

// attacker returns the address of one of them.
func attacker(n int) netip.Addr { return netip.AddrFrom4([4]byte{127, 66, byte(n >> 8), byte(n)}) }

// besiege starts serve.
func besiege(t *testing.T, data []byte, sum [32]byte, path string, flags ...string) *besieged {
	t.Helper()
	args := append([]string{"serve", "-f", path, "-n", "1", "--bind", "127.0.0.1", "-i", "0.1"}, flags...)
	p := startProcess(t, "serve", malcolmIn(t.TempDir(), args...))
	m, err := p.await(listeningLine)
	if err == nil {
		_, err = p.await(readyLine)
	}
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseUint(m[1], 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	b := &besieged{process: p, t: t, port: uint16(port), data: data, sum: sum}
	t.Cleanup(b.greedy.Wait)
	return b
}

// awaits waits until serve has reported so many clients and ranges.
func (b *besieged) awaits(counts string) {
	b.t.Helper()
	if _, err := b.await(regexp.MustCompile(`(?m)^total +` + counts + ` `)); err != nil {
		b.t.Fatal(err)
	}
}

// raid connects from an attacker's address.
func (b *besieged) raid(from int) (*transport.Conn, error) {
	pc, err := transport.DialUDP(attacker(from), netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), b.port))
	if err != nil {
		return nil, err
	}
	const window = 64 << 10 // the least that transport dials with
	return transport.Dial(b.t.Context(), pc, pc.LocalAddr(), transport.DialOptions{
		TLS: certs.ClientTLS(wire.ALPN, nil), StreamWindow: window, ConnWindow: window,
	})
}

// raiders is how many attack at once.
const raiders = 8

// raidAll connects n times from each of so many addresses, does do with each
// connection, and returns how many were not refused. They last until the test ends.
func (b *besieged) raidAll(addresses, n int, do func(conn *transport.Conn) error) int {
	b.t.Helper()
	var all errgroup.Group
	var granted atomic.Int64
	all.SetLimit(raiders)
	for i := range addresses * n {
		all.Go(func() error {
			conn, err := b.raid(1 + i/n)
			if peer, ok := errors.AsType[*transport.PeerError](err); ok && peer.Kind == transport.PeerRefused {
				return nil
			}
			if err != nil {
				return err
			}
			b.t.Cleanup(func() { conn.Close(0, "") })
			granted.Add(1)
			return do(conn)
		})
	}
	if err := all.Wait(); err != nil {
		b.t.Fatal(err)
	}
	return int(granted.Load())
}

// raidStreams makes raidConns connections from one address, and begins as many requests
// as it may on each, and more: i counts those of one. It returns when as many are begun
// as may be.
func (b *besieged) raidStreams(begin func(st *transport.Stream, i int)) {
	b.t.Helper()
	n := b.raidAll(1, raidConns, func(conn *transport.Conn) error {
		i := 0
		more := func(n int) error {
			for ; n > 0; n, i = n-1, i+1 {
				st, err := conn.OpenStream(b.t.Context())
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
		b.greedy.Go(func() { _ = more((greedyStreams - 1) * transport.DefaultMaxStreams) })
		return nil
	})
	if n != raidConns {
		b.t.Errorf("%d connections of one address, want %d", n, raidConns)
	}
}

// honest copies the file, and compares it.
func (b *besieged) honest() {
	b.t.Helper()
	dir := b.t.TempDir()
	get := startProcess(b.t, "get", malcolmIn(dir, "get", "-i", "0", "127.0.0.1:"+strconv.Itoa(int(b.port))))
	if err := get.wait(); err != nil || get.code() != exitDone {
		b.t.Fatalf("the honest client: exit code %d, %v", get.code(), err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "data"))
	if err != nil {
		b.t.Fatal(err)
	}
	if !bytes.Equal(got, b.data) {
		b.t.Fatal("the honest client has other bytes")
	}
}

// wholeFile asks for the whole file.
func (b *besieged) wholeFile() []byte {
	return wire.AppendRequest(nil, wire.RangeRequest{Checksum: b.sum, Length: besiegedSize})
}

// neverRead asks for the whole file again and again, and reads none of it, but for
// what makes serve read ahead as far as it ever does, of a few.
func (b *besieged) neverRead() {
	ask := b.wholeFile()
	b.raidStreams(func(st *transport.Stream, i int) {
		st.Write(ask)
		st.CloseWrite()
		if i < 2 {
			io.CopyN(io.Discard, st, mib)
		}
	})
	b.awaits(fmt.Sprintf("%s clients +%s ranges", human.Comma(raidConns), human.Comma(allStreams)))
	b.honest()
}

// neverWhole sends one byte of each request. That serve had them all at once is seen
// when it answers them in the end.
func (b *besieged) neverWhole() {
	ask := wire.AppendRequest(nil, wire.Hello{})
	var mu sync.Mutex
	var begun []*transport.Stream
	b.raidStreams(func(st *transport.Stream, _ int) {
		st.Write(ask[:1])
		mu.Lock()
		defer mu.Unlock()
		begun = append(begun, st)
	})
	b.honest()
	mu.Lock()
	all := begun
	mu.Unlock()
	for _, st := range all {
		st.Write(ask[1:])
		st.CloseWrite()
	}
	for _, st := range all {
		if _, err := wire.ReadHeader(st); err != nil { // it may say that it is busy
			b.t.Fatalf("a request that took its time is not answered: %v", err)
		}
	}
}

// handshakes makes more connections than there are places and asks nothing. Who comes
// later has the place of one that came before: all are let in.
func (b *besieged) handshakes() {
	const conns = greedyConns * raidPlaces
	if n := b.raidAll(idleAddresses, conns/idleAddresses, func(*transport.Conn) error { return nil }); n != conns {
		b.t.Errorf("%d connections of %d addresses, want %d", n, idleAddresses, conns)
	}
	b.awaits("2[45][0-9] clients") // on a busy machine a handshake may fail and leave its place
	b.honest()
}

// garbage sends noise, and in the names of many addresses the first packets of
// connections that nobody wants.
func (b *besieged) garbage() {
	const datagrams, length, addresses = 40_000, 1200, 40
	var replies atomic.Int64
	var all errgroup.Group
	all.SetLimit(raiders)
	for from := range addresses {
		all.Go(func() error {
			pc, err := transport.DialUDP(attacker(from), netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), b.port))
			if err != nil {
				return err
			}
			defer pc.Close()
			to := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(b.port)}
			p, answer := make([]byte, length), make([]byte, 2*length)
			for i := range datagrams / addresses {
				forge(p, i)
				pc.WriteTo(p, to)
				if i%100 != 99 {
					continue
				}
				// What the kernel drops while serve is behind would be no attack.
				pc.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
				for _, _, err = pc.ReadFrom(answer); err == nil; _, _, err = pc.ReadFrom(answer) {
					replies.Add(1)
				}
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Logf("%d datagrams, %d replies", datagrams, replies.Load())
	if replies.Load() == 0 {
		b.t.Error("no forged packet was answered: it was no attack")
	}
	b.honest()
}

// forge fills p with noise, with a client's first packet, or with packets that come
// too early for the connection of the last one.
func forge(p []byte, i int) {
	const long, version, idLen, handshake, early = 0xc0, 1, 8, 0x20, 0x10
	id := bytes.Clone(p[6 : 6+idLen])
	rand.Read(p)
	if i%4 == 0 {
		return
	}
	p[0] = long
	binary.BigEndian.PutUint32(p[1:], version)
	p[5] = idLen
	p[6+idLen] = 0 // no connection ID of its own
	rest := p[7+idLen:]
	switch i % 4 {
	case 1:
		rest[0] = 0 // no token
		rest = rest[1:]
	case 2:
		p[0] |= handshake
		copy(p[6:], id)
	case 3:
		p[0] |= early
		copy(p[6:], id)
	}
	binary.BigEndian.PutUint16(rest, 0x4000|uint16(len(rest)-2))
}

// storms asks for the whole file and gives it up, again and again, until the
// connection is closed, and that on many.
func (b *besieged) storms() {
	ask := b.wholeFile()
	var thrown atomic.Int64
	b.raidAll(1, stormConns, func(conn *transport.Conn) error {
		for {
			st, err := conn.OpenStream(b.t.Context())
			if peer, ok := errors.AsType[*transport.PeerError](err); ok && peer.Code == uint64(wire.CloseLimit) {
				return nil
			}
			if err != nil {
				return err
			}
			if thrown.Add(1)%2 == 0 {
				st.Write(ask)
				st.CloseWrite()
			} else {
				st.Write(ask[:len(ask)-1])
				st.CancelWrite(uint64(wire.StreamCancelled))
			}
			st.CancelRead(uint64(wire.StreamCancelled))
		}
	})
	b.t.Logf("%d requests were given up", thrown.Load())
	b.honest()
}

const (
	raidConns     = 128
	allStreams    = raidConns * transport.DefaultMaxStreams
	raidPlaces    = 256
	idleAddresses = 2
	stormConns    = 24
	// halfOpen is how many connections are begun without a proof of an address
	// within half of the time for a handshake, for which silence is borne.
	halfOpen = admission.DefaultHandshakes * (1 + int64(transport.DefaultHandshakeTimeout/time.Second)/2)
)

// Attacks on serve, during which an honest client gets the file, and what they are
// granted. Longer times and higher counts make them worse, and give slow machines
// the time to throw all of them at once.
var raids = []struct {
	name    string
	flags   []string
	throw   func(b *besieged)
	granted cost
}{
	// Each connection has two buffers, and soon only the smallest ones.
	{"replies never read", []string{"--stall-timeout", "300"}, (*besieged).neverRead, cost{raidConns, allStreams, 2 * raidConns}},
	{"requests never whole", []string{"--request-timeout", "300", "--hello-timeout", "300", "--max-wasted", "1000000"}, (*besieged).neverWhole, cost{raidConns, allStreams, 0}},
	{"handshakes", []string{"--hello-timeout", "300", "--max-clients", strconv.Itoa(raidPlaces)}, (*besieged).handshakes, cost{raidPlaces, 0, 0}},
	{"garbage", nil, (*besieged).garbage, cost{halfOpen, 0, 0}},
	// Each connection has two buffers while it lives.
	{"storms", nil, (*besieged).storms, cost{stormConns, raiders * transport.DefaultMaxStreams, 2 * raiders}},
}

func TestHostileClientsMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector needs more memory than the attacks")
	}
	data := make([]byte, besiegedSize)
	rand.Read(data)
	path := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	_, sum, err := manifest.Build(t.Context(), bytes.NewReader(data), besiegedSize, manifest.BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	withstand := func(t *testing.T, throw func(b *besieged), flags ...string) int64 {
		b := besiege(t, data, sum, path, flags...)
		throw(b)
		m, ok := b.memory()
		if !ok || strings.Contains(b.stderr.String(), "internal error") {
			t.Fatal("serve is not well")
		}
		return m.resident
	}
	alone := withstand(t, (*besieged).honest)
	t.Logf("with an honest client alone: %s", human.Bytes(alone))
	for _, r := range raids {
		t.Run(r.name, func(t *testing.T) {
			grown, bound := withstand(t, r.throw, r.flags...)-alone, r.granted.bound()
			t.Logf("%s more, of at most %s", human.Bytes(grown), human.Bytes(bound))
			if grown > bound {
				t.Errorf("serve needed %s more than with an honest client alone, want at most %s", human.Bytes(grown), human.Bytes(bound))
			}
		})
	}
}
