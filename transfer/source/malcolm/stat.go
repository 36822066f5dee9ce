package malcolm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"malcolm/transfer/manifest"
	"malcolm/transfer/source"
	"malcolm/transport"
	"malcolm/wire"
)

const (
	// A server may say indexingRate times a second that it is indexing, and
	// indexingSpare times more: what was held up comes all at once.
	indexingRate  = 4
	indexingSpare = 16
	// valuesTime is how long values may make no progress at all.
	valuesTime = 20 * time.Second
	// askTime is how long a request may take to leave.
	askTime = 10 * time.Second
)

var (
	errTalkative = errors.New("says too often that it is indexing")
	errNoBytes   = errors.New("no bytes have the checksum that is offered")
)

// open opens a stream before a deadline. The stream ends with ctx and with end.
// The error is a fault; a late one names timeout.
func (c *conn) open(ctx context.Context, deadline time.Time, timeout time.Duration, late source.What) (st transport.Stream, end func(), err error) {
	opening, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	if st, err = c.quic.OpenStream(opening, transport.Urgent); err != nil {
		if errors.Is(opening.Err(), context.DeadlineExceeded) {
			return nil, nil, lateFault(late, timeout)
		}
		return nil, nil, fault(err)
	}
	stop := context.AfterFunc(ctx, func() { cancelStream(st) })
	return st, func() {
		stop()
		cancelStream(st)
	}, nil
}

func cancelStream(st transport.Stream) {
	st.CancelRead(uint64(wire.StreamCancelled), transport.LeftUnknown)
}

// send sends one request and finishes our side of the stream.
func send(st transport.Stream, r wire.Request, deadline time.Time) error {
	st.SetWriteDeadline(deadline)
	if _, err := st.Write(wire.AppendRequest(nil, r)); err != nil {
		return err
	}
	return st.CloseWrite()
}

// Stat asks a server what it offers, and checks values that come with the
// offer. The first Stat after Connect also has the server accepted for good,
// once all other checks have passed.
func (c *conn) Stat(ctx context.Context, ask source.Ask, indexing func(done, total int64)) (source.Offer, error) {
	deadline, first := c.takeOpening()
	o, err := c.stat(ctx, ask, deadline, indexing)
	if err == nil && first {
		o.Accepted, err = c.s.c.Trust.accept(c.s.target, c.id)
	}
	return o, err
}

func (c *conn) stat(ctx context.Context, ask source.Ask, deadline time.Time, indexing func(done, total int64)) (o source.Offer, err error) {
	timeout := c.s.c.ConnectTimeout
	st, end, err := c.open(ctx, deadline, timeout, source.SlowAnswer)
	if err != nil {
		return o, err
	}
	defer end()
	ours, check, err := c.s.c.Trust.prove(c.tls())
	if err != nil {
		return o, fault(err)
	}
	if err := send(st, wire.Hello{InlineManifest: ask.Values, Proof: ours}, deadline); err != nil {
		return o, replyFault(err, timeout)
	}
	asked := time.Now()
	for words := 1; ; words++ {
		st.SetReadDeadline(deadline)
		h, err := wire.ReadHeader(st)
		if err != nil {
			return o, replyFault(err, timeout)
		}
		switch h.Status {
		case wire.StatusIndexing:
			i, err := wire.ReadIndexing(st, h)
			switch {
			case err != nil:
				return o, replyFault(err, timeout)
			case indexing == nil:
				return o, &source.Fault{What: source.Indexing, Words: "is indexing its file anew"}
			case words > indexingSpare+int(time.Since(asked).Seconds()*indexingRate):
				return o, broken(errTalkative)
			}
			indexing(int64(i.Done), int64(i.Total))
			deadline = time.Now().Add(timeout)
		case wire.StatusOK:
			return readOffer(st, h, check, timeout)
		default:
			return o, c.s.c.helloRefusal(wire.ReadRefusal(st, h))
		}
	}
}

// readOffer reads an offer, whose server must pass check, and what comes with
// it.
func readOffer(st transport.Stream, h wire.Header, check func(*[32]byte) error, timeout time.Duration) (o source.Offer, err error) {
	if o.Offer, err = wire.ReadOffer(st, h); err != nil {
		return o, replyFault(err, timeout)
	}
	if err := check(o.Proof); err != nil {
		return o, err
	}
	// An empty file has no chunk whose bytes could prove the size later.
	if o.Size == 0 && o.Checksum != manifest.Merge(0, nil) {
		return o, broken(errNoBytes)
	}
	if o.ValuesLen == 0 {
		return o, nil
	}
	if n := manifest.Count(o.Size); n < 2 || o.ValuesLen != wire.ValuesLen(n) {
		return o, broken(fmt.Errorf("%d bytes of values with the offer of a file of %d chunks", o.ValuesLen, n))
	}
	o.Values, err = readValues(st, o.Offer, timeout)
	return o, err
}

// readValues reads the values of an offer's file and checks them against the
// offer.
func readValues(r io.Reader, o wire.Offer, timeout time.Duration) (wire.Values, error) {
	h, err := wire.ReadHeader(r)
	if err != nil {
		return wire.Values{}, replyFault(err, timeout)
	}
	if h.Status != wire.StatusOK {
		return wire.Values{}, replyFault(wire.ReadRefusal(r, h), timeout)
	}
	values, err := wire.ReadValues(r, h, wire.ValuesLen(manifest.Count(o.Size)))
	if err != nil {
		return wire.Values{}, replyFault(err, timeout)
	}
	if err := manifest.Check(values, o.Size, o.Checksum); err != nil {
		return wire.Values{}, broken(err)
	}
	return values, nil
}

// Values gives up when nothing comes for valuesTime.
func (c *conn) Values(ctx context.Context, o source.Offer, arrived func(bytes int)) (wire.Values, error) {
	st, end, err := c.open(ctx, time.Now().Add(valuesTime), valuesTime, source.NoAnswer)
	if err != nil {
		return wire.Values{}, err
	}
	defer end()
	if err := send(st, wire.ManifestRequest{Checksum: o.Checksum}, time.Now().Add(valuesTime)); err != nil {
		return wire.Values{}, fault(err)
	}
	return readValues(&steadyReader{st, arrived}, o.Offer, valuesTime)
}

// A steadyReader reports the bytes that come. It gives up when none come for
// valuesTime.
type steadyReader struct {
	st      transport.Stream
	arrived func(bytes int)
}

func (r *steadyReader) Read(p []byte) (int, error) {
	r.st.SetReadDeadline(time.Now().Add(valuesTime))
	n, err := r.st.Read(p)
	if n > 0 {
		r.arrived(n)
	}
	if isDeadline(err) {
		err = lateFault(source.NoAnswer, valuesTime)
	}
	return n, err
}
