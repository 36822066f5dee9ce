package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"
)

const (
	// acceptPause is the time after a failed accept before the next one. It
	// doubles up to longestAcceptPause.
	acceptPause        = 5 * time.Millisecond
	longestAcceptPause = time.Second
	// acceptPatience is how long accept may fail. Errors that say nothing
	// of the socket do not count.
	acceptPatience = 10 * time.Second
	// lastWords is how long Close waits for close codes to leave.
	lastWords = 200 * time.Millisecond
)

// tcpListener is a [Listener] for TCP.
type tcpListener struct {
	ln   net.Listener
	o    ListenOptions
	tls  *tls.Config
	work sync.WaitGroup

	stopping context.Context // ends with StopAccepting; the cause says why
	stop     context.CancelCauseFunc

	mu    sync.Mutex
	open  map[net.Conn]*tcpServerConn // nil while the handshake is under way
	ready []*tcpServerConn            // those that nobody has accepted yet
	more  chan struct{}               // has a token when something of this changed
	empty chan struct{}               // has one when open is empty
}

// ListenTCP serves TLS connections of ln, as [Listen] serves those of QUIC. It
// owns ln from now on: if ListenTCP fails, ln is closed. Of ListenOptions it
// uses TLS, Gate, HandshakeTimeout, StallTimeout and Web. Each TLS connection
// is a [Conn], whose Gate is asked before the handshake and never has to prove.
func ListenTCP(ln net.Listener, o ListenOptions) (Listener, error) {
	if err := o.check(); err != nil {
		ln.Close()
		return nil, fmt.Errorf("listen on %s: %w", ln.Addr(), err)
	}
	conf := hardened(o.TLS)
	if o.Web != nil {
		conf.GetConfigForClient = o.Web.choose(conf.NextProtos)
	}
	return listenTCP(ln, o, conf), nil
}

// hardened returns a copy of a server's configuration with what holds for all.
func hardened(conf *tls.Config) *tls.Config {
	conf = conf.Clone()
	conf.MinVersion = tls.VersionTLS13
	conf.SessionTicketsDisabled = true
	conf.DynamicRecordSizingDisabled = true
	return conf
}

// listenTCP begins to take connections; conf is nil without TLS.
func listenTCP(ln net.Listener, o ListenOptions, conf *tls.Config) *tcpListener {
	l := &tcpListener{
		ln: ln, o: o, tls: conf,
		open: map[net.Conn]*tcpServerConn{}, more: make(chan struct{}, 1), empty: make(chan struct{}, 1),
	}
	l.stopping, l.stop = context.WithCancelCause(context.Background())
	l.work.Go(l.run)
	return l
}

// run takes connections until the socket is closed or broken.
func (l *tcpListener) run() {
	pause, failing := acceptPause, time.Time{}
	for {
		c, err := l.ln.Accept()
		switch {
		case err == nil:
			pause, failing = acceptPause, time.Time{}
			l.enter(c)
			continue
		case l.stopping.Err() != nil:
			return
		case failing.IsZero():
			failing = time.Now()
		}
		if errors.Is(err, net.ErrClosed) || !temporaryAccept(err) && time.Since(failing) >= acceptPatience {
			l.end(&NetworkError{Kind: SocketFailed, Err: err})
			return
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-l.stopping.Done():
			timer.Stop()
		}
		pause = min(2*pause, longestAcceptPause)
	}
}

// end stops accepting because of err.
func (l *tcpListener) end(err error) {
	l.stop(err)
	l.ln.Close()
	signal(l.more)
}

// enter asks the gate for a connection, and begins its handshake.
func (l *tcpListener) enter(c net.Conn) {
	var place any
	leave := func() {}
	if l.o.Gate != nil {
		var ok bool
		if place, leave, ok = l.o.Gate.Enter(hostOf(c.RemoteAddr()), true); !ok {
			c.Close()
			return
		}
	}
	left := func() {
		leave()
		l.left(c)
	}
	l.mu.Lock()
	l.open[c] = nil
	l.mu.Unlock()
	l.work.Go(func() {
		p, t, err := l.handshake(c)
		switch {
		case err != nil:
			c.Close()
			left()
		case t == nil || l.isWeb(t):
			l.left(c)
			l.o.Web.Serve(newWebConn(p, t, place, leave, l.o.StallTimeout))
		default:
			link := newTCPLink(p, t)
			link.linger = true
			l.admit(c, link, place, left)
		}
	})
}

// handshake makes the TLS connection, where there is TLS.
func (l *tcpListener) handshake(c net.Conn) (*pipe, *tls.Conn, error) {
	setTCPOptions(c, tcpOptions{lowWater: serverLowWater, userTimeout: l.o.StallTimeout})
	p := newPipe(c, false)
	if l.tls == nil {
		return p, nil, nil
	}
	ctx, cancel := context.WithTimeout(l.stopping, orDefault(l.o.HandshakeTimeout, DefaultHandshakeTimeout))
	defer cancel()
	t := tls.Server(p, l.tls)
	if err := handshake(ctx, p, t); err != nil {
		return nil, nil, err
	}
	if l.o.Web == nil && t.ConnectionState().NegotiatedProtocol == "" {
		return nil, nil, errNoProtocol
	}
	return p, t, nil
}

// isWeb reports whether a client agreed on none of the listener's protocols.
func (l *tcpListener) isWeb(t *tls.Conn) bool {
	return l.o.Web != nil && !slices.Contains(l.tls.NextProtos, t.ConnectionState().NegotiatedProtocol)
}

var errNoProtocol = errors.New("the client offers no protocol")

// admit hands a connection to Accept.
func (l *tcpListener) admit(c net.Conn, link *tcpLink, place any, left func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	conn := newTCPServerConn(link, place, left)
	l.open[c] = conn
	l.ready = append(l.ready, conn)
	signal(l.more)
}

// left forgets a connection whose socket is closed.
func (l *tcpListener) left(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
	if len(l.open) == 0 {
		signal(l.empty)
	}
}

func (l *tcpListener) Accept(ctx context.Context) (Conn, error) {
	for {
		if c := l.next(); c != nil {
			return c, nil
		}
		if err := context.Cause(l.stopping); err != nil {
			return nil, fmt.Errorf("accept on %s: %w", l.Addr(), err)
		}
		select {
		case <-l.more:
		case <-l.stopping.Done():
		case <-ctx.Done():
			return nil, fmt.Errorf("accept on %s: %w", l.Addr(), classify(context.Cause(ctx)))
		}
	}
}

// next returns a connection that waits; nil: none does.
func (l *tcpListener) next() *tcpServerConn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ready) == 0 {
		return nil
	}
	c := l.ready[0]
	if l.ready = l.ready[1:]; len(l.ready) > 0 {
		signal(l.more) // for others that wait
	}
	return c
}

func (l *tcpListener) Addr() net.Addr { return l.ln.Addr() }

func (l *tcpListener) StopAccepting() { l.end(&LocalError{Kind: LocalClosed, Err: net.ErrClosed}) }

func (l *tcpListener) Close() error {
	l.StopAccepting()
	l.work.Wait()
	for _, c := range l.conns() {
		c.link.abort(&LocalError{Kind: LocalClosed, Err: net.ErrClosed}, c.leave)
	}
	timer := time.NewTimer(lastWords)
	defer timer.Stop()
	for conns := l.conns(); len(conns) > 0; conns = l.conns() {
		select {
		case <-l.empty:
			continue
		case <-timer.C:
		}
		for _, c := range conns { // what is sent leaves anyway
			c.link.raw.Close()
		}
		break
	}
	return nil
}

// conns returns the connections whose sockets are open.
func (l *tcpListener) conns() []*tcpServerConn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Values(l.open))
}
