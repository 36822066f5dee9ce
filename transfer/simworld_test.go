package transfer

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/hostile"
	"malcolm/transfer/serve"
	"malcolm/transfer/source"

	"github.com/quic-go/quic-go/testutils/simnet"

	"malcolm/certs"
	"malcolm/transfer/manifest"
)

// chunk is the chunk size of every file in these tests.
const chunk = manifest.MinChunkSize

// testIDs are identities to serve under, made once.
var testIDs = func() (ids [4]*certs.Identity) {
	for i := range ids {
		id, err := certs.Generate()
		if err != nil {
			panic(err)
		}
		ids[i] = id
	}
	return ids
}()

// clientHost is where the clients are, on ports from firstPort on.
var clientHost = netip.AddrFrom4([4]byte{10, 9, 0, 1})

const firstPort = 20001

// What a server promises, repeated for tests that look from outside.
const (
	drainSpan  = 5 * time.Second        // that requests under way have when it stops
	stopSpan   = 7 * time.Second        // in which it stops
	rangeSlots = 2                      // ranges of a connection that are written at a time
	bufferSpan = time.Second            // for which a slow client holds a buffer
	frameSpan  = 500 * time.Millisecond // between two words of how far the hashing is
)

// A world is a simulated network in virtual time with servers in it. It is the
// router of the network and the [Network] of the clients.
type world struct {
	t        *testing.T
	nodes    simnet.PerfectRouter
	servers  []*server
	hostiles []*hostile.Server

	mu    sync.Mutex
	rng   *rand.Rand
	links map[netip.AddrPort]*link
	tcp   simTCP
	wires []*simnet.SimulatedLink
	port  int // the last one that a client has
	nat   nat
	ended []chan struct{} // closed when processes that were killed have ended
}

// withoutRace skips a test that takes minutes with the race detector. The
// recipe that runs all tests with it finds these calls, and runs their tests
// once more without it.
func withoutRace(t *testing.T) {
	t.Helper()
	if raceEnabled {
		t.Skip("it takes minutes with the race detector")
	}
}

// bubble runs f in a world of its own. No goroutine may be left in it when f
// has returned and the servers have been stopped.
func bubble(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, rng: rand.New(rand.NewPCG(1, 2)), links: make(map[netip.AddrPort]*link), port: firstPort - 1}
		t.Cleanup(w.close)
		f(t, w)
	})
}

func (w *world) close() {
	for _, s := range w.servers {
		s.src.release()
		s.cancel()
	}
	for _, m := range w.hostiles {
		m.Stop()
	}
	for _, s := range w.servers {
		<-s.done
	}
	for _, done := range w.ended {
		<-done
	}
	for _, l := range w.wires {
		l.Close()
	}
}

// AddNode implements simnet.Router.
func (w *world) AddNode(addr net.Addr, receiver simnet.PacketReceiver) {
	w.nodes.AddNode(addr, receiver)
}

// socket returns a socket at an address, in the place of an earlier one.
func (w *world) socket(addr *net.UDPAddr) net.PacketConn {
	settings := simnet.LinkSettings{MTU: 1500}
	l := &simnet.SimulatedLink{UploadPacket: w, LatencyFunc: w.transit, UplinkSettings: settings, DownlinkSettings: settings}
	c := simnet.NewBlockingSimConn(addr, l)
	l.Start()
	w.mu.Lock()
	w.wires = append(w.wires, l)
	w.mu.Unlock()
	w.AddNode(addr, l)
	return c
}

// Resolve implements [Network]. The host "twin" is the first server's.
func (w *world) Resolve(_ context.Context, host string) ([]netip.Addr, error) {
	if host == "twin" {
		host = "10.0.0.1"
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return nil, errors.New("no such host")
	}
	return []netip.Addr{addr}, nil
}

// Open implements [Network].
func (w *world) Open(netip.AddrPort) (net.PacketConn, error) {
	w.mu.Lock()
	w.port++
	port := w.port
	w.mu.Unlock()
	return w.socket(net.UDPAddrFromAddrPort(netip.AddrPortFrom(clientHost, uint16(port)))), nil
}

// nextTargets returns n addresses of a new host.
func (w *world) nextTargets(n int) (targets []source.Target) {
	host := netip.AddrFrom4([4]byte{10, 0, 0, byte(len(w.servers) + len(w.hostiles) + 1)}).String()
	for i := range n {
		targets = append(targets, source.Target{Host: host, Port: uint16(9001 + i)})
	}
	return targets
}

// A server is one run of [serve.Server].
type server struct {
	w       *world
	src     *heldFile
	cfg     serve.Config
	targets []source.Target
	links   []*link
	tcp     bool             // it has TCP ports too
	conns   []net.PacketConn // of the process that runs
	cancel  context.CancelFunc
	done    chan struct{} // closed when Serve has returned
	err     error         // what it returned; nil after a kill

	mu     sync.Mutex
	events []serve.Event
	run    *serve.Server // the process that runs
}

// serve starts a process that serves src on n ports under an identity of
// testIDs. It uses Name, Limit, Limits and Token of cfg, and Source in place of
// src.
func (w *world) serve(src *heldFile, id, n int, cfg serve.Config) *server {
	s := &server{w: w, src: src, targets: w.nextTargets(n), cfg: cfg, tcp: w.tcp.on}
	s.cfg.Identity, s.cfg.Machine = testIDs[id], [32]byte{byte(id) + 1}
	if s.cfg.Source == nil {
		s.cfg.Source = src
	}
	if s.cfg.Name == "" {
		s.cfg.Name = "data.bin"
	}
	for _, t := range s.targets {
		s.links = append(s.links, w.link(t))
	}
	w.servers = append(w.servers, s)
	s.start()
	return s
}

// start runs Serve on the server's addresses.
func (s *server) start() {
	cfg := s.cfg
	for _, t := range s.targets {
		addr := netip.AddrPortFrom(netip.MustParseAddr(t.Host), t.Port)
		cfg.Conns = append(cfg.Conns, s.w.socket(net.UDPAddrFromAddrPort(addr)))
		if s.tcp {
			cfg.TCP.Sockets = append(cfg.TCP.Sockets, s.w.listenTCP(addr))
		}
	}
	s.conns = cfg.Conns
	cfg.Events = func(e serve.Event) {
		if _, ok := e.(serve.Ready); ok {
			s.src.served()
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.events = append(s.events, e)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	s.mu.Lock()
	s.cancel, s.done = cancel, done
	run, err := serve.NewServer(cfg)
	if err != nil {
		s.w.t.Fatal(err)
	}
	s.run = run
	s.mu.Unlock()
	go func() {
		defer close(done)
		err := run.Run(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.done == done {
			s.err = err
		}
	}()
}

// kill ends the process without a last word, and starts it again at once. Its
// clients hear of it by a reset.
func (s *server) kill() {
	for _, c := range s.conns {
		c.Close()
	}
	s.resetTCP(true)
	s.cancel()
	s.w.ended = append(s.w.ended, s.done)
	s.start()
}

// holders starts one process on one port for each file, under the identities in
// turn.
func (w *world) holders(files ...[]byte) (servers []*server) {
	for i, data := range files {
		servers = append(servers, w.serve(newSource(data), i%len(testIDs), 1, serve.Config{}))
	}
	return servers
}

// total stops the server and returns how many bytes of its file it has sent. It
// may have read more: after a stall it reads some of a reply again.
func (s *server) total() (n int64) {
	s.cancel()
	<-s.done
	for _, v := range s.run.Status().Servers {
		n += v.Sent
	}
	return n
}

// watch asks for the server's status at an interval until stop is called. stop
// returns all answers.
func (s *server) watch(interval time.Duration) (stop func() []serve.Status) {
	quit, said := make(chan struct{}), make(chan []serve.Status)
	go func() {
		var all []serve.Status
		for {
			select {
			case <-time.After(interval):
				all = append(all, s.run.Status())
			case <-quit:
				said <- all
				return
			}
		}
	}()
	return func() []serve.Status {
		close(quit)
		return <-said
	}
}

func targetsOf(servers ...*server) (targets []source.Target) {
	for _, s := range servers {
		targets = append(targets, s.targets...)
	}
	return targets
}

func serveEvents[E serve.Event](s *server) (found []E) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e, ok := e.(E); ok {
			found = append(found, e)
		}
	}
	return found
}

// An outcome is one run of [Get].
type outcome struct {
	*fetch.Result
	t      *testing.T
	err    error
	dir    string
	events []timedEvent
}

type timedEvent struct {
	fetch.Event
	at time.Time
}

// maxVirtual is a time at which every run in a world has ended, even over slow
// networks.
const maxVirtual = time.Hour

var errForever = errors.New("get would have gone on for ever")

// get runs [Get] into a directory: a new one, unless cfg says which.
func (w *world) get(cfg getConfig) *outcome { return w.getUnder(context.Background(), cfg) }

func (w *world) getUnder(ctx context.Context, cfg getConfig) *outcome {
	w.t.Helper()
	return w.run(ctx, cfg, Get)
}

// watch runs [Get], and calls look with each progress of the fetching.
func (w *world) watch(cfg getConfig, look func(s fetch.Snapshot)) *outcome {
	w.t.Helper()
	tell := cfg.Events
	cfg.Map = true
	cfg.Events = func(e fetch.Event) {
		if tell != nil {
			tell(e)
		}
		if p, ok := e.(progress); ok && p.Phase == fetch.PhaseFetching {
			look(p.Snapshot)
		}
	}
	return w.get(cfg)
}

// run runs do as a Get of this world.
func (w *world) run(ctx context.Context, cfg getConfig, do func(context.Context, getConfig) (*fetch.Result, error)) *outcome {
	w.t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = w.t.TempDir()
	}
	if cfg.Interval == 0 {
		cfg.Interval = 50 * time.Millisecond
	}
	o := &outcome{t: w.t, dir: cfg.Dir}
	react := cfg.Events
	w.reaches(&cfg)
	cfg.Events = func(e fetch.Event) {
		o.events = append(o.events, timedEvent{e, time.Now()})
		if react != nil {
			react(e)
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, maxVirtual, errForever)
	defer cancel()
	o.Result, o.err = do(ctx, cfg)
	if errors.Is(o.err, errForever) {
		w.t.Fatal(o.err)
	}
	return o
}

// at calls f once, when a part of the file is good, 0 to 1.
func at(part float64, f func()) func(fetch.Event) {
	done := false
	return func(e fetch.Event) {
		if p, ok := e.(progress); ok && !done && p.Phase == fetch.PhaseFetching && float64(p.Good) >= part*float64(p.Size) {
			done = true
			f()
		}
	}
}

func events[E fetch.Event](o *outcome) (found []E) {
	for _, e := range o.events {
		if e, ok := e.Event.(E); ok {
			found = append(found, e)
		}
	}
	return found
}

// only returns the single event of a type, and when it was told.
func only[E fetch.Event](o *outcome) (E, time.Time) {
	o.t.Helper()
	var when time.Time
	for _, e := range o.events {
		if _, ok := e.Event.(E); ok {
			when = e.at
		}
	}
	found := events[E](o)
	if len(found) != 1 {
		var none E
		o.t.Fatalf("%d events of type %T, want 1", len(found), none)
	}
	return found[0], when
}

// none fails the test if an event of a type was told.
func none[E fetch.Event](o *outcome) {
	o.t.Helper()
	for _, e := range events[E](o) {
		o.t.Errorf("event %T %+v, want none of this type", e, e)
	}
}

// has fails the test unless the run ended well and the file is data.
func (o *outcome) has(name string, data []byte) {
	o.t.Helper()
	if o.err != nil {
		o.t.Fatalf("error = %v, want none", o.err)
	}
	if got, want := o.Path, filepath.Join(o.dir, name); got != want {
		o.t.Errorf("path = %q, want %q", got, want)
	}
	if o.Part != "" {
		o.t.Errorf("part = %q, want none", o.Part)
	}
	o.lists(name)
	if got := o.read(name); !bytes.Equal(got, data) {
		o.t.Errorf("the file differs: %d bytes, want %d", len(got), len(data))
	}
	if o.Size != int64(len(data)) || o.Checksum != checksum(data) {
		o.t.Errorf("result has size %d and checksum %x, want those of the file", o.Size, o.Checksum)
	}
}

// fails fails the test unless the run ended with an error of type E and of a
// kind, and nothing lies under the final name. It returns the error.
func fails[E error](o *outcome, kind fetch.Kind) (target E) {
	o.t.Helper()
	if !errors.As(o.err, &target) {
		o.t.Fatalf("error = %T %v, want a %T", o.err, o.err, target)
	}
	if got := fetch.KindOf(o.err); got != kind {
		o.t.Errorf("kind of %v = %d, want %d", o.err, got, kind)
	}
	if o.Path != "" {
		o.t.Errorf("path = %q, want none", o.Path)
	}
	return target
}

// lists fails the test unless the directory holds exactly these names.
func (o *outcome) lists(names ...string) {
	o.t.Helper()
	entries, err := os.ReadDir(o.dir)
	if err != nil {
		o.t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, names) {
		o.t.Errorf("directory holds %q, want %q", got, names)
	}
}

func (o *outcome) read(name string) []byte {
	o.t.Helper()
	b, err := os.ReadFile(filepath.Join(o.dir, name))
	if err != nil {
		o.t.Fatal(err)
	}
	return b
}

// report returns the result's report of a target.
func (o *outcome) report(t source.Target) fetch.ServerReport {
	o.t.Helper()
	for _, r := range o.Servers {
		if r.Target == t {
			return r
		}
	}
	o.t.Fatalf("no report of %s", t)
	return fetch.ServerReport{}
}

// must fails the test on any error.
func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}
