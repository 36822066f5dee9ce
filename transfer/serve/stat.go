package serve

import (
	"context"
	"time"

	"malcolm/wire"
)

const (
	// indexingEvery is the time between two frames that tell a client the
	// progress of hashing.
	indexingEvery = 500 * time.Millisecond
	// statWait is how long a client is told to stay away that asks while
	// the file is hashed.
	statWait = time.Second
)

// stat waits for the index and reports progress meanwhile. Then it sends the
// offer. The values follow if the client asked for them, they are few, and they
// say more than the checksum.
func (r *reply) stat(ctx context.Context, req wire.StatRequest) error {
	if req.Selector != "" && req.Selector != wire.OfferableName(r.c.srv.title()) {
		return r.refuse(wire.StatusNotFound, 0, "this server has one file, and no other name for it")
	}
	v, err := r.awaitIndex(ctx)
	if err != nil {
		return err
	}
	defer r.c.srv.index.release(v)
	offer := v.offer
	offer.Tail = wire.Idle()
	n := v.chunks()
	if req.Values && n > 1 && n*wire.ValueLen <= wire.MaxInlineValues {
		offer.ValuesLen = n * wire.ValueLen
	}
	if err := r.send(wire.StatusOK, offer.Append(nil)); err != nil {
		return err
	}
	if offer.ValuesLen > 0 {
		if err := r.sendValues(ctx, v, 0, n); err != nil {
			return err
		}
	}
	return r.st.CloseWrite()
}

// await says whether a stat waits for the index; false: another one does.
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
func (r *reply) awaitIndex(ctx context.Context) (*version, error) {
	c := r.c
	if !c.await(true) {
		return nil, r.refuse(wire.StatusBusy, statWait, "another stat waits on this connection")
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
			return nil, r.refuse(wire.StatusUnreadable, 0, "the file cannot be read")
		}
		if err := r.send(wire.StatusIndexing, c.srv.index.progress().Indexing.Append(nil)); err != nil {
			return nil, err
		}
		select {
		case <-ready:
		case <-time.After(indexingEvery):
		case <-patience.C:
			return nil, r.refuse(wire.StatusBusy, statWait, textHashing)
		case <-ctx.Done():
			return nil, errReset{wire.StreamStopping}
		}
		if c.srv.isStopping() {
			return nil, r.refuse(wire.StatusStopping, 0, "")
		}
	}
}
