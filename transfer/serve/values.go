package serve

import (
	"context"

	"malcolm/transfer/admission"
	"malcolm/transfer/manifest"
	"malcolm/transport"
	"malcolm/wire"
)

// held returns the version that a client names, acquired, if it is held and the
// open file still matches it. Else a refusal has been sent.
func (c *clientConn) held(st transport.Stream, checksum [32]byte) (*version, error) {
	v := c.srv.index.version(checksum)
	if v == nil {
		return nil, c.refuse(st, wire.StatusChanged, "this version is not held")
	}
	if !v.isIntact() {
		c.srv.index.changed(v)
		c.srv.index.release(v)
		return nil, c.refuse(st, wire.StatusChanged, "the file has changed")
	}
	return v, nil
}

// values answers a request for the values of a version.
func (c *clientConn) values(ctx context.Context, st transport.Stream, req wire.ManifestRequest) error {
	v, err := c.held(st, req.Checksum)
	if err != nil {
		return err
	}
	defer c.srv.index.release(v)
	if err := c.sendValues(ctx, st, v.values); err != nil {
		return err
	}
	return st.CloseWrite()
}

func (c *clientConn) sendValues(ctx context.Context, st transport.Stream, values wire.Values) error {
	rest := values.Bytes()
	head := wire.Header{Status: wire.StatusOK, Length: uint64(len(rest))}.Append(nil)
	if err := c.write(st, head); err != nil {
		return err
	}
	for len(rest) > 0 {
		n, err := c.pay(ctx, min(len(rest), admission.MostBuffer), 0)
		if err != nil {
			return err
		}
		if err := c.write(st, rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// recheck checks a chunk of which a client got bytes that do not match its
// value.
func (c *clientConn) recheck(st transport.Stream, req wire.RecheckRequest) error {
	v, err := c.held(st, req.Checksum)
	if err != nil {
		return err
	}
	defer c.srv.index.release(v)
	if req.Chunk >= manifest.Count(v.offer.Size) {
		return c.refuse(st, wire.StatusOutOfRange, "")
	}
	good, err := c.srv.index.examine(v, req.Chunk)
	switch {
	case err != nil:
		return c.refuse(st, wire.StatusBusy, err.Error())
	case !good:
		return c.refuse(st, wire.StatusChanged, "the disk does not give what was hashed")
	}
	if err := c.write(st, wire.Header{Status: wire.StatusOK}.Append(nil)); err != nil {
		return err
	}
	return st.CloseWrite()
}
