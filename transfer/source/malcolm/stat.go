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
)

var (
	errTalkative = errors.New("says too often that it is indexing")
	errNoBytes   = errors.New("no bytes have the checksum that is offered")
	errUnasked   = errors.New("values that nobody asked for")
)

// Stat asks a server what it offers, and checks values that come with the
// offer. The first Stat after Connect also has the server accepted for good,
// once all other checks have passed.
func (c *conn) Stat(ctx context.Context, ask source.Ask, indexing func(done, total int64)) (source.Offer, error) {
	deadline, first := c.takeOpening()
	o, err := c.stat(ctx, ask, deadline, indexing)
	if err == nil && first {
		if o.Accepted, err = c.s.c.Trust.accept(c.s.target, c.id); err == nil {
			c.s.id.CompareAndSwap(nil, &c.id)
		}
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
	if err := send(st, wire.StatRequest{Values: ask.Values, Tail: wire.Idle()}, deadline); err != nil {
		return o, replyFault(err, timeout)
	}
	c.ledger.waste() // each offer counts
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
			return readOffer(st, h, ask, timeout)
		default:
			return o, c.s.c.openRefusal(refusal(toStat, st, h))
		}
	}
}

// readOffer reads an offer and what comes with it.
func readOffer(r io.Reader, h wire.Header, ask source.Ask, timeout time.Duration) (o source.Offer, err error) {
	if o.Offer, err = wire.ReadOffer(r, h); err != nil {
		return o, replyFault(err, timeout)
	}
	if o.Kind == wire.KindTree && o.Size > wire.MaxListingLen {
		return o, broken(fmt.Errorf("a listing of %d bytes, at most %d are allowed", o.Size, wire.MaxListingLen))
	}
	// An empty file has no chunk whose bytes could prove the size later.
	if o.Size == 0 && o.Checksum != manifest.Merge(0, nil) {
		return o, broken(errNoBytes)
	}
	if o.ValuesLen == 0 {
		return o, nil
	}
	if !ask.Values {
		return o, broken(errUnasked)
	}
	if n := manifest.Count(o.Size); n < 2 || o.ValuesLen != n*wire.ValueLen {
		return o, broken(fmt.Errorf("values of %d bytes, want those of %d chunks", o.ValuesLen, n))
	}
	o.Values, err = readValues(r, o.Offer, timeout)
	return o, err
}

// readValues reads all values of an offer, of at least one chunk, and checks
// them against the offer.
func readValues(r io.Reader, o wire.Offer, timeout time.Duration) (wire.Values, error) {
	v, err := wire.ReadValues(r, manifest.Count(o.Size))
	if e, ok := errors.AsType[*wire.Refusal](err); ok && !isRefusal(e.Status, toValues) {
		return wire.Values{}, strange(e.Status)
	}
	if err != nil {
		return wire.Values{}, replyFault(err, timeout)
	}
	if err := manifest.Check(v, o.Size, o.Checksum); err != nil {
		return wire.Values{}, broken(err)
	}
	return v, nil
}

// Values gives up when nothing comes for valuesTime. Those of a file of at most
// one chunk are known.
func (c *conn) Values(ctx context.Context, o source.Offer, arrived func(bytes int)) (wire.Values, error) {
	if known, ok := manifest.Known(o.Size, o.Checksum); ok {
		return known, nil
	}
	st, end, err := c.open(ctx, time.Now().Add(valuesTime), valuesTime, source.NoAnswer)
	if err != nil {
		return wire.Values{}, err
	}
	defer end()
	ask := wire.ValuesRequest{Checksum: o.Checksum, Count: manifest.Count(o.Size)}
	if err := send(st, ask, time.Now().Add(valuesTime)); err != nil {
		return wire.Values{}, fault(err)
	}
	v, err := readValues(&steadyReader{st, arrived}, o.Offer, valuesTime)
	if err != nil {
		c.ledger.waste() // at worst
		return v, err
	}
	c.ledger.earn()
	return v, nil
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
