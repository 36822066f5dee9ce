package transfer

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"malcolm/certs"
	"malcolm/transfer/admission"
	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
	"malcolm/transfer/pace"
	"malcolm/transport"
	"malcolm/wire"
)

const (
	// drainTime is how long ranges that are under way may go on when a server
	// stops.
	drainTime = 5 * time.Second
	// leaveTime is how long a server waits, behind that, for what still works for
	// connections that it has closed: a read of a disk that hangs may never end.
	leaveTime = 2 * time.Second
	// reopenPause is the time before the socket of a virtual server that has failed
	// is opened again; it doubles with each try up to longestReopenPause.
	reopenPause        = time.Second
	longestReopenPause = time.Minute
	// connBuffers is how many ranges of a connection are being written at a time.
	connBuffers = 2
	// resetLabel names the subkey of the identity from which stateless reset
	// tokens are made (RFC 9000, section 10.3), so that a restarted server can
	// tell its former clients at once.
	resetLabel = "malcolm stateless reset"
)

// ServeConfig says what [Serve] serves, and where.
type ServeConfig struct {
	// Source is the file.
	Source localfile.Source
	// Cache keeps what hashing a large file gave, for the next time; nil: it is
	// not kept.
	Cache *manifest.Cache
	// Rehash has the file hashed although the cache knows it.
	Rehash bool
	// Name is what the file is called. One that the protocol cannot carry (over
	// 230 bytes, or not UTF-8) is offered as an empty name, and said.
	Name string
	// Identity proves who serves, on all virtual servers.
	Identity *certs.Identity
	// Machine is a secret of this machine's own, the same in every run: with it
	// clients notice at once that serve was restarted. The zero value: one that is
	// made for this run. See [certs.LocalSecret].
	Machine [32]byte
	// Conns are the sockets, one for each virtual server. They belong to Serve,
	// which closes them.
	Conns []net.PacketConn
	// Reopen opens the socket of a virtual server on its address again, when it has
	// failed; nil: that server is over.
	Reopen func(net.Addr) (net.PacketConn, error)
	// Token is what clients have to prove that they hold before they are told
	// anything of the file; the zero Token: nothing.
	Token certs.Token
	// Limit is how many bytes a second all virtual servers together send; 0
	// means no limit.
	Limit int64
	// Limits bounds what clients can cost; its zero value is the defaults.
	Limits ServeLimits
	// Granted is told how many bytes of memory clients may take in all, beside what serve
	// needs without them: at the start, and whenever that has changed. It must not block.
	// Nil means that nobody is told.
	Granted func(bytes int64)
	// QLog gets the packets of all connections; nil: nobody.
	QLog *transport.QLog
	// Interval is the time between status events; 0 means none.
	Interval time.Duration
	// Events is told what happens, one event at a time. It must not block for
	// long. Nil means that nobody is told.
	Events func(ServeEvent)
}

// Serve offers a file until ctx ends; then it stops accepting, lets ranges that
// are under way finish for up to 5 s, closes every connection with a code that
// clients understand, and returns nil, 2 s later at the latest: whoever waits for a
// disk that hangs is left behind. The error says that the source could
// not be read when it was hashed for the first time, or that no socket could be
// used: a [*localfile.Error] or a transport's.
func Serve(ctx context.Context, cfg ServeConfig) error {
	s, err := newServing(cfg)
	if err != nil {
		closeAll(cfg.Conns)
		return err
	}
	return s.run(ctx)
}

// newServing prepares a run.
func newServing(cfg ServeConfig) (*serving, error) {
	limits, err := cfg.Limits.orDefaults()
	if err != nil {
		return nil, err
	}
	book := admission.New(limits.admission())
	return &serving{
		cfg:    cfg,
		limits: limits,
		book:   book,
		limit:  pace.NewFairLimiter(cfg.Limit, book),
		events: make(chan ServeEvent, 16),
	}, nil
}

// serving is one run of Serve.
type serving struct {
	cfg     ServeConfig
	limits  ServeLimits
	book    *admission.Book // of the connections of all virtual servers
	index   *index
	limit   *pace.Limiter
	buffers bufferPools
	virtual []*virtualServer
	events  chan ServeEvent

	stopping atomic.Bool
	active   activity // streams being answered
	panics   atomic.Int64
}

// A virtualServer is one listener and its counters.
type virtualServer struct {
	addr     net.Addr
	listener atomic.Pointer[transport.Listener] // another one after its socket failed
	clients  atomic.Int64
	ranges   atomic.Int64
	sent     atomic.Int64 // bytes of the file
	lost     atomic.Int64 // packets; falls when a late one is acknowledged
	stopped  atomic.Bool
}

func (s *serving) run(ctx context.Context) error {
	if err := s.listen(); err != nil {
		return err
	}
	defer s.closeListeners()
	// work ends when draining is over; accepting ends with ctx.
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	accepting, stopAccepting := context.WithCancelCause(ctx)
	defer stopAccepting(nil)

	var wg sync.WaitGroup
	s.index = newIndex(s.cfg.Source, offerable(s.cfg.Name), s.cfg.Cache, func(e ServeEvent) {
		if r, ok := e.(Ready); ok {
			r.Name, r.ID, r.Addrs = s.cfg.Name, s.cfg.Identity.ID(), s.addrs()
			e = r
		}
		s.post(accepting, e)
	})
	s.index.rehash = s.cfg.Rehash
	var listening sync.WaitGroup
	for i, v := range s.virtual {
		listening.Add(1)
		wg.Go(func() { s.accept(accepting, work, i, v, listening.Done) })
	}
	wg.Go(func() {
		listening.Wait()
		stopAccepting(errNoListener)
	})
	wg.Go(func() {
		if err := s.index.run(accepting); err != nil {
			stopAccepting(readFailure(s.cfg.Name, err))
		}
	})
	wg.Go(func() { s.reclaim(work.Done()) })
	s.emit(Listening{Addrs: s.addrs(), ID: s.cfg.Identity.ID()})
	if small := transport.SmallBuffers(s.cfg.Conns[0]); len(small) > 0 {
		s.emit(SmallBuffers{small})
	}
	s.report(accepting)

	s.drain()
	stopWork()
	leave(&wg)
	s.flush()
	s.emit(s.status(true))
	s.emit(Stopped{})
	if err := context.Cause(accepting); ctx.Err() == nil {
		return err
	}
	return nil
}

// leave waits for what has been told to end.
func leave(wg *sync.WaitGroup) {
	ended := make(chan struct{})
	go func() {
		wg.Wait()
		close(ended)
	}()
	t := time.NewTimer(leaveTime)
	defer t.Stop()
	select {
	case <-ended:
	case <-t.C:
	}
}

// resetKey returns the secret of stateless resets: that of this identity on this
// machine, since others may have the identity too.
func (s *serving) resetKey() [32]byte {
	machine := s.cfg.Machine
	if machine == ([32]byte{}) {
		rand.Read(machine[:])
	}
	identity := s.cfg.Identity.Derive(resetLabel)
	mac := hmac.New(sha256.New, identity[:])
	mac.Write(machine[:])
	return [32]byte(mac.Sum(nil))
}

func (s *serving) listen() error {
	for i, pc := range s.cfg.Conns {
		addr := pc.LocalAddr()
		l, err := s.listenOn(pc)
		if err != nil {
			s.closeListeners()
			closeAll(s.cfg.Conns[i+1:])
			return err
		}
		v := &virtualServer{addr: addr}
		v.listener.Store(l)
		s.virtual = append(s.virtual, v)
	}
	return nil
}

// listenOn makes a listener of a socket, which it owns from now on.
func (s *serving) listenOn(pc net.PacketConn) (*transport.Listener, error) {
	tls, err := s.cfg.Identity.ServerTLS(time.Now(), wire.ALPN)
	if err != nil {
		pc.Close()
		return nil, err
	}
	return transport.Listen(pc, transport.ListenOptions{
		TLS:      tls,
		ResetKey: s.resetKey(),
		Gate:     gate{s.book},
		QLog:     s.cfg.QLog,

		MaxStreams:       int64(s.limits.Streams),
		HandshakeTimeout: s.limits.HandshakeTimeout,
	})
}

func closeAll(conns []net.PacketConn) {
	for _, pc := range conns {
		pc.Close()
	}
}

func (s *serving) closeListeners() {
	for _, v := range s.virtual {
		v.listener.Load().Close()
	}
}

// errNoListener says that every socket failed while it was listening.
var errNoListener = &localfile.Error{Op: "listen", Err: errors.New("every socket failed")}

// accept takes a virtual server's connections until accepting ends, then calls
// deaf, and returns when the last of them has ended, which is when work ends at the
// latest.
func (s *serving) accept(accepting, work context.Context, i int, v *virtualServer, deaf func()) {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer deaf()
	defer v.stopped.Store(true)
	for {
		conn, err := v.listener.Load().Accept(accepting)
		if err != nil {
			if accepting.Err() != nil || !s.reopen(accepting, i, v, err) {
				return
			}
			continue
		}
		wg.Go(func() {
			v.clients.Add(1)
			defer v.clients.Add(-1)
			defer func() {
				if p := recover(); p != nil {
					s.contain(v, conn, p)
				}
			}()
			s.serveConn(work, v, conn)
		})
	}
}

// reopen has a virtual server listen again, on a new socket, after its own failed
// with an error. It reports false when accepting has ended before it could, or when
// nobody can open a socket.
func (s *serving) reopen(accepting context.Context, i int, v *virtualServer, failure error) bool {
	v.stopped.Store(true)
	v.listener.Load().Close()
	s.post(accepting, ServerFailed{Server: i, Addr: v.addr, Err: failure})
	if s.cfg.Reopen == nil {
		return false
	}
	for pause := reopenPause; sleep(accepting, pause) == nil; pause = min(2*pause, longestReopenPause) {
		pc, err := s.cfg.Reopen(v.addr)
		if err != nil {
			continue
		}
		l, err := s.listenOn(pc)
		if err != nil {
			continue
		}
		v.listener.Store(l)
		v.stopped.Store(false)
		if accepting.Err() != nil { // nobody may be left to close it
			l.Close()
			return false
		}
		s.post(accepting, ServerReopened{Server: i, Addr: v.addr})
		return true
	}
	return false
}

// readFailure names the file in an error that does not.
func readFailure(name string, err error) error {
	if _, ok := errors.AsType[*localfile.Error](err); ok {
		return err
	}
	return &localfile.Error{Op: "read", Path: name, Err: err}
}

// post hands an event to the goroutine that tells of them.
func (s *serving) post(ctx context.Context, e ServeEvent) {
	select {
	case s.events <- e:
	case <-ctx.Done():
	}
}

func (s *serving) emit(e ServeEvent) {
	if s.cfg.Events != nil {
		s.cfg.Events(e)
	}
}

// report tells what happens until ctx ends.
func (s *serving) report(ctx context.Context) {
	var tick <-chan time.Time
	if s.cfg.Interval > 0 {
		t := time.NewTicker(s.cfg.Interval)
		defer t.Stop()
		tick = t.C
	}
	for {
		select {
		case e := <-s.events:
			s.emit(e)
		case <-tick:
			s.emit(s.status(false))
		case <-ctx.Done():
			return
		}
	}
}

// flush tells what was posted and not told yet.
func (s *serving) flush() {
	for {
		select {
		case e := <-s.events:
			s.emit(e)
		default:
			return
		}
	}
}

// drain refuses new requests and waits for those under way.
func (s *serving) drain() {
	for _, v := range s.virtual {
		v.listener.Load().StopAccepting()
	}
	s.stopping.Store(true)
	s.emit(Stopping{Ranges: s.active.count()})
	t := time.NewTimer(drainTime)
	defer t.Stop()
	select {
	case <-s.active.idle():
	case <-t.C:
	}
}

func (s *serving) addrs() []net.Addr {
	addrs := make([]net.Addr, len(s.virtual))
	for i, v := range s.virtual {
		addrs[i] = v.addr
	}
	return addrs
}

func (s *serving) status(stopped bool) Status {
	st := Status{Indexing: s.index.progress(), Indexed: s.index.isReady(), Panics: s.panics.Load()}
	st.Clients, st.MoreClients = s.book.Clients(maxClients)
	for _, v := range s.virtual {
		vs := VirtualStatus{
			Addr: v.addr, Clients: int(v.clients.Load()), Ranges: int(v.ranges.Load()), Sent: v.sent.Load(),
			Lost: max(0, v.lost.Load()),
		}
		switch {
		case stopped || v.stopped.Load():
			vs.State = StateStopped
		case vs.Ranges > 0:
			vs.State = StateServing
		case !st.Indexed:
			vs.State = StateIndexing
		default:
			vs.State = StateListening
		}
		st.Servers = append(st.Servers, vs)
	}
	return st
}

// activity counts what is under way and tells when nothing is any more. Any
// goroutine may call its methods.
type activity struct {
	mu      sync.Mutex
	n       int
	waiting []chan struct{}
}

func (a *activity) begin() {
	a.mu.Lock()
	a.n++
	a.mu.Unlock()
}

func (a *activity) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.n--; a.n == 0 {
		for _, c := range a.waiting {
			close(c)
		}
		a.waiting = nil
	}
}

func (a *activity) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.n
}

// idle returns a channel that is closed once nothing is under way.
func (a *activity) idle() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := make(chan struct{})
	if a.n == 0 {
		close(c)
	} else {
		a.waiting = append(a.waiting, c)
	}
	return c
}
