package transfer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"time"

	"malcolm/certs"
	"malcolm/transfer/manifest"
	"malcolm/transfer/pace"
	"malcolm/transport"
	"malcolm/wire"
)

const (
	// firstPause, longestPause: see backOff. steadyTime is how long a server
	// must have been there for the pauses to begin anew.
	firstPause   = 500 * time.Millisecond
	longestPause = 15 * time.Second
	steadyTime   = 30 * time.Second
	// secondTry is how long after a try that failed the next one begins at the
	// earliest: the vote waits for it.
	secondTry = 100 * time.Millisecond
	// raceTime is RFC 8305's Connection Attempt Delay.
	raceTime = 250 * time.Millisecond
	// limitedWindow is a stream's window with a limited rate, in seconds of a
	// server's share of it. QUIC tells the sender of progress each time that a
	// quarter of the window was read, and that must be well before the sender
	// takes the stream for stalled.
	limitedWindow = 20
	// minStreamWindow is the smallest such window, in bytes: a few packets, so that
	// a quarter of it is soon read at the lowest rates, too.
	minStreamWindow = 4 << 10
	// indexingRate is how often a second a server may say that it is indexing,
	// and indexingSpare how often besides: what was held up comes all at once.
	indexingRate  = 4
	indexingSpare = 16
)

var (
	errIndexing   = errors.New("is indexing its file anew")
	errTalkative  = errors.New("says too often that it is indexing")
	errNoSuchHost = errors.New("host has no address")
)

// A ResolveError says that a host name has no address.
type ResolveError struct {
	Host string
	Err  error
}

func (e *ResolveError) Error() string { return fmt.Sprintf("host %q: %v", e.Host, e.Err) }

func (e *ResolveError) Unwrap() error { return e.Err }

// What servers do not do in time.
var (
	ErrNoAnswer      = errors.New("no answer")
	ErrSlowAnswer    = errors.New("no complete answer") // but packets came
	ErrStillIndexing = errors.New("is still indexing")
)

// A TimeoutError says that a server did not do in time what it was asked.
type TimeoutError struct {
	After time.Duration
	Err   error // [ErrNoAnswer], [ErrSlowAnswer] or [ErrStillIndexing]
}

func (e *TimeoutError) Error() string {
	if e.Err == ErrStillIndexing {
		return fmt.Sprintf("%v after %v", e.Err, e.After)
	}
	return fmt.Sprintf("%v in %v", e.Err, e.After)
}

func (e *TimeoutError) Unwrap() error { return e.Err }

// A ProtocolError says that a server did something that malcolm/1 does not
// allow.
type ProtocolError struct{ Err error }

func (e *ProtocolError) Error() string { return "breaks the protocol: " + e.Err.Error() }

func (e *ProtocolError) Unwrap() error { return e.Err }

// contact runs beside the loop for as long as a server may be of use: it
// connects, asks what the server offers, and stays until the last connection
// has ended; then it tries again, after a pause that doubles each time.
func (g *getting) contact(p *peer) {
	var pause backOff
	for {
		begun := time.Now()
		failed, final := g.visit(p.ctx, p)
		if final || p.ctx.Err() != nil {
			return
		}
		if time.Since(begun) >= steadyTime {
			pause = backOff{}
		}
		wait := pause.next()
		if failed {
			wait = max(wait, secondTry)
		}
		if pace.Sleep(p.ctx, wait) != nil {
			return
		}
	}
}

// visit is one try of contact. It reports whether the try failed, and whether
// another one has no use, which the loop is told, too.
func (g *getting) visit(ctx context.Context, p *peer) (failed, final bool) {
	fail := func(err error, final bool) (bool, bool) {
		g.post(func() { g.notReached(p, err, final) })
		return true, final
	}
	deadline := time.Now().Add(g.cfg.ConnectTimeout)
	conn, err := g.connect(ctx, p, deadline)
	if err != nil {
		return fail(err, isFinal(err))
	}
	defer conn.Close(uint64(wire.CloseDone), "")
	id, err := certs.PeerID(conn.TLS())
	if err != nil {
		return fail(err, true)
	}
	g.post(func() { g.connected(p, id) })
	want := offerAndManifest
	if g.hasManifest.Load() {
		want = offerOnly
	}
	offer, m, err := g.hello(ctx, conn, want, deadline, func(i wire.Indexing) error {
		g.post(func() { g.indexing(p, i) })
		return nil
	})
	if err != nil {
		return fail(err, isFinal(err))
	}
	if err := g.accept(p, id); err != nil {
		return fail(err, true)
	}
	l := &connection{conn: conn, opened: time.Now()}
	g.post(func() { g.answered(p, l, id, offer, m) })
	select {
	case <-conn.Done():
		g.post(func() { g.connDown(p, l, conn.Err()) })
	case <-ctx.Done():
		return false, true
	}
	select {
	case <-p.down:
	case <-ctx.Done():
	}
	return false, false
}

// isFinal reports whether a server that was not reached is not worth another
// try.
func isFinal(err error) bool {
	var protocol *ProtocolError
	var peer *transport.PeerError
	switch {
	case errors.As(err, &protocol), IsRefused(err):
		return true
	case errors.As(err, &peer):
		return peer.Kind == transport.PeerNoALPN || peer.Kind == transport.PeerVersion
	}
	return false
}

// isQuick reports whether a try failed in a way that the next one, a moment
// later, may not: what a moment ago was no server may be one that is being
// started, and a word that a port is closed may be forged. A try that lasted
// until its time-out has asked several times.
func isQuick(err error) bool {
	var late *TimeoutError
	return !isFinal(err) && !errors.As(err, &late)
}

// A backOff is the pauses between tries: none, then half a second, doubling.
// The zero backOff is ready to use.
type backOff struct{ last time.Duration }

// next returns the next pause, a quarter more or less at random, so that
// clients that lost a server together do not come back together.
func (b *backOff) next() time.Duration {
	now := b.last
	b.last = min(max(2*b.last, firstPause), longestPause)
	return now - now/4 + time.Duration(rand.Int64N(int64(now/2)+1))
}

// connect finds the way to a target. Several addresses are tried as RFC 8305
// says: the families in turn, the next one each time that the last has failed
// or is slow; the first that answers is used.
func (g *getting) connect(ctx context.Context, p *peer, deadline time.Time) (*transport.Conn, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	addrs, err := g.cfg.Network.Resolve(ctx, p.target.Host)
	if err == nil && len(addrs) == 0 {
		err = errNoSuchHost
	}
	if err != nil {
		return nil, &ResolveError{Host: p.target.Host, Err: err}
	}
	var remotes []netip.AddrPort
	for _, addr := range inTurn(addrs) {
		remotes = append(remotes, netip.AddrPortFrom(addr, p.target.Port))
	}
	conn, remote, err := race(ctx, remotes, func(ctx context.Context, remote netip.AddrPort) (*transport.Conn, error) {
		return g.dial(ctx, p.target, remote)
	})
	if err != nil {
		late := ErrNoAnswer
		var e *transport.NetworkError
		if errors.As(err, &e) && e.Kind == transport.SlowAnswer {
			late = ErrSlowAnswer
		}
		return nil, g.timedOut(ctx, err, late)
	}
	p.remote.Store(&remote)
	return conn, nil
}

// inTurn sorts addresses so that the families alternate, the first one's first
// (RFC 8305, section 4).
func inTurn(addrs []netip.Addr) []netip.Addr {
	var families [2][]netip.Addr
	first := addrs[0].Unmap().Is4()
	for _, a := range addrs {
		if a.Unmap().Is4() == first {
			families[0] = append(families[0], a)
		} else {
			families[1] = append(families[1], a)
		}
	}
	var sorted []netip.Addr
	for i := range max(len(families[0]), len(families[1])) {
		for _, f := range families {
			if i < len(f) {
				sorted = append(sorted, f[i])
			}
		}
	}
	return sorted
}

// race dials addresses one after the other, not waiting longer than raceTime
// for each before the next, and returns the first connection (RFC 8305, section
// 5). The error is that of the first address where somebody answered who is not
// accepted, else that of the first address.
func race(ctx context.Context, remotes []netip.AddrPort, dial func(context.Context, netip.AddrPort) (*transport.Conn, error)) (*transport.Conn, netip.AddrPort, error) {
	type outcome struct {
		i    int
		conn *transport.Conn
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	outcomes := make(chan outcome, len(remotes))
	errs := make([]error, len(remotes))
	started, ended := 0, 0
	start := func() {
		i := started
		started++
		go func() {
			conn, err := dial(ctx, remotes[i])
			outcomes <- outcome{i, conn, err}
		}()
	}
	var won outcome
	start()
	for ended < started {
		var next <-chan time.Time
		if started < len(remotes) && won.conn == nil {
			next = time.After(raceTime)
		}
		select {
		case o := <-outcomes:
			ended++
			errs[o.i] = o.err
			switch {
			case o.conn != nil && won.conn == nil:
				won = o
				cancel()
			case o.conn != nil:
				o.conn.Close(uint64(wire.CloseDone), "")
			case started < len(remotes) && won.conn == nil && ctx.Err() == nil:
				start()
			}
		case <-next:
			start()
		}
	}
	if won.conn == nil {
		return nil, netip.AddrPort{}, errs[max(0, slices.IndexFunc(errs, IsRefused))]
	}
	return won.conn, remotes[won.i], nil
}

// dial connects to a target at one of its addresses, if its ID is accepted.
func (g *getting) dial(ctx context.Context, target Target, remote netip.AddrPort) (*transport.Conn, error) {
	pc, err := g.cfg.Network.Open(remote)
	if err != nil {
		return nil, err
	}
	g.checkBuffers.Do(func() {
		if small := transport.SmallBuffers(pc); len(small) > 0 {
			g.post(func() { g.emit(SmallBuffers{small}) })
		}
	})
	stream, all := transport.InitialWindows(len(g.cfg.Targets))
	if g.cfg.Limit > 0 {
		share := g.cfg.Limit / int64(len(g.cfg.Targets))
		stream = min(stream, max(share*limitedWindow, minStreamWindow))
	}
	return transport.Dial(ctx, pc, net.UDPAddrFromAddrPort(remote), transport.DialOptions{
		TLS: certs.ClientTLS(wire.ALPN, g.cfg.Trust.check(target)), Windows: g.windows, StreamWindow: stream, ConnWindow: all,
		QLog: g.cfg.QLog,
	})
}

// timedOut gives an error the words of a time-out when one was its cause.
func (g *getting) timedOut(ctx context.Context, err, late error) error {
	if !IsRefused(err) && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &TimeoutError{After: g.cfg.ConnectTimeout, Err: late}
	}
	return err
}

// What hello asks for.
const (
	offerAndManifest = true // the manifest, if it is small, saves a round trip
	offerOnly        = false
)

// noIndexing is for a server that has made an offer before: hashing again, it no
// longer has that.
func noIndexing(wire.Indexing) error { return errIndexing }

// hello asks a server what it offers. While the server says that it is
// indexing, indexing is called; its error ends that. A manifest that came with
// the offer is checked; the zero Manifest says that none came.
func (g *getting) hello(ctx context.Context, conn *transport.Conn, inline bool, deadline time.Time, indexing func(wire.Indexing) error) (offer wire.Offer, m wire.Manifest, err error) {
	opening, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	st, err := conn.OpenStream(opening)
	if err != nil {
		return offer, m, g.timedOut(opening, err, ErrSlowAnswer)
	}
	defer st.CancelRead(uint64(wire.StreamCancelled))
	defer context.AfterFunc(ctx, func() { st.CancelRead(uint64(wire.StreamCancelled)) })()
	ours, check, err := g.cfg.Trust.hold(conn)
	if err != nil {
		return offer, m, err
	}
	if err := ask(st, wire.Hello{InlineManifest: inline, Proof: ours}, deadline); err != nil {
		return offer, m, g.replyError(err)
	}
	asked := time.Now()
	for words := 1; ; words++ {
		st.SetReadDeadline(deadline)
		h, err := wire.ReadHeader(st)
		if err != nil {
			return offer, m, g.replyError(err)
		}
		switch h.Status {
		case wire.StatusIndexing:
			i, err := wire.ReadIndexing(st, h)
			if err != nil {
				return offer, m, g.replyError(err)
			}
			if err := indexing(i); err != nil {
				return offer, m, err
			}
			if words > indexingSpare+int(time.Since(asked).Seconds()*indexingRate) {
				return offer, m, &ProtocolError{Err: errTalkative}
			}
			deadline = time.Now().Add(g.cfg.ConnectTimeout)
		case wire.StatusOK:
			return g.readOffer(st, h, check)
		default:
			return offer, m, g.refusal(wire.ReadRefusal(st, h))
		}
	}
}

// refusal sorts what a server may say instead of an offer.
func (g *getting) refusal(err error) error {
	var r *wire.Refusal
	if errors.As(err, &r) && r.Status == wire.StatusDenied {
		return &DeniedError{Ours: true, Had: !g.cfg.Trust.Token.IsZero(), Text: r.Text}
	}
	return g.replyError(err)
}

// readOffer reads an offer whose server passes check, and what comes with it.
func (g *getting) readOffer(st *transport.Stream, h wire.Header, check func(*[32]byte) error) (offer wire.Offer, m wire.Manifest, err error) {
	if offer, err = wire.ReadOffer(st, h); err != nil {
		return offer, m, g.replyError(err)
	}
	if err := check(offer.Proof); err != nil {
		return offer, m, err
	}
	// An empty file has no chunk whose bytes could prove the size later on.
	if offer.Size == 0 && offer.Checksum != manifest.Merge(0, nil) {
		return offer, m, &ProtocolError{Err: errors.New("no bytes have the checksum that is offered")}
	}
	if offer.ManifestLen == 0 {
		return offer, m, nil
	}
	if want := wire.ManifestLen(manifest.Count(offer.Size)); offer.ManifestLen != want {
		err := fmt.Errorf("manifest of %d bytes, want %d", offer.ManifestLen, want)
		return offer, m, &ProtocolError{Err: err}
	}
	if m, err = g.readManifest(st, offer); err != nil {
		return offer, wire.Manifest{}, err
	}
	return offer, m, nil
}

// ask sends one request and finishes our side of the stream.
func ask(st *transport.Stream, r wire.Request, deadline time.Time) error {
	st.SetWriteDeadline(deadline)
	if _, err := st.Write(wire.AppendRequest(nil, r)); err != nil {
		return err
	}
	return st.CloseWrite()
}

// replyError sorts what reading a reply can end with.
func (g *getting) replyError(err error) error {
	var malformed *wire.MalformedError
	switch {
	case errors.As(err, &malformed), isEnd(err):
		return &ProtocolError{Err: err}
	case isTimeout(err): // the handshake was complete
		return &TimeoutError{After: g.cfg.ConnectTimeout, Err: ErrSlowAnswer}
	}
	return err
}
