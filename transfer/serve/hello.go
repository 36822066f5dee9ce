package serve

import (
	"context"
	"time"

	"malcolm/transport"
	"malcolm/wire"
)

// indexingEvery is the time between two frames that tell a client the progress
// of hashing.
const indexingEvery = 500 * time.Millisecond

// hello waits for the index, reports progress meanwhile, and sends the offer.
func (c *clientConn) hello(ctx context.Context, st transport.Stream, req wire.Hello) error {
	if req.Selector != "" {
		return c.refuse(st, wire.StatusNotFound, "this server has one file, without a selector")
	}
	v, err := c.awaitIndex(ctx, st)
	if err != nil {
		return err
	}
	defer c.srv.index.release(v)
	offer := v.offer
	offer.Proof = c.gate.proof.Load()
	size := len(v.values.Bytes())
	inline := req.InlineManifest && v.values.Len() > 1 && size <= wire.MaxInlineValues
	if inline {
		offer.ValuesLen = size
	}
	body := offer.Append(nil)
	reply := wire.Header{Status: wire.StatusOK, Length: uint64(len(body))}.Append(nil)
	reply = append(reply, body...)
	if err := c.write(st, reply); err != nil {
		return err
	}
	if inline {
		if err := c.sendValues(ctx, st, v.values); err != nil {
			return err
		}
	}
	return st.CloseWrite()
}

// await says whether a hello waits for the index; false: another one does.
func (c *clientConn) await(waits bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if waits && c.awaiting {
		return false
	}
	c.awaiting = waits
	return true
}

// awaitIndex returns the current version, acquired. Before there is one it
// tells the client the progress of hashing.
func (c *clientConn) awaitIndex(ctx context.Context, st transport.Stream) (*version, error) {
	if !c.await(true) {
		return nil, c.refuse(st, wire.StatusBusy, "another hello waits on this connection")
	}
	defer c.await(false)
	patience := time.NewTimer(c.srv.limits.IndexingTimeout)
	defer patience.Stop()
	for {
		v, ready, err := c.srv.index.acquire(ctx)
		switch {
		case v != nil:
			return v, nil
		case err != nil:
			return nil, c.refuse(st, wire.StatusUnreadable, "the file cannot be read")
		}
		body := c.srv.index.progress().Append(nil)
		frame := wire.Header{Status: wire.StatusIndexing, Length: uint64(len(body))}.Append(nil)
		if err := c.write(st, append(frame, body...)); err != nil {
			return nil, err
		}
		select {
		case <-ready:
		case <-time.After(indexingEvery):
		case <-patience.C:
			return nil, c.refuse(st, wire.StatusBusy, "the file is still being hashed")
		case <-ctx.Done():
			return nil, errReset{wire.StreamStopping}
		}
		if c.srv.stopping.Load() {
			return nil, c.refuse(st, wire.StatusStopping, "")
		}
	}
}
