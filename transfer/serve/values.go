package serve

import (
	"context"
	"errors"
	"fmt"

	"malcolm/transfer/admission"
	"malcolm/transfer/manifest"
	"malcolm/wire"
)

// The texts of refusals for people.
const (
	textNotHeld = "this version is not held"
	textChanged = "the file has changed"
	textDamaged = "the disk does not give what was hashed"
)

// held returns the version that a client names, acquired, if it is held and the
// open file still matches it. Else a refusal has been sent.
func (r *reply) held(checksum [32]byte) (*version, error) {
	v := r.c.srv.index.version(checksum)
	if v == nil {
		return nil, r.refuse(wire.StatusChanged, 0, textNotHeld)
	}
	if !v.isIntact() {
		r.c.srv.index.changed(v)
		r.c.srv.index.release(v)
		return nil, r.refuse(wire.StatusChanged, 0, textChanged)
	}
	return v, nil
}

// values answers a request for values of a version.
func (r *reply) values(ctx context.Context, req wire.ValuesRequest) error {
	v, err := r.held(req.Checksum)
	if err != nil {
		return err
	}
	defer r.c.srv.index.release(v)
	if n := v.values.Len(); n < 2 || req.First+req.Count > n {
		return r.refuse(wire.StatusOutOfRange, 0, fmt.Sprintf("the file has %d chunks", n))
	}
	if err := r.sendValues(ctx, v.values, req.First, req.Count); err != nil {
		return err
	}
	return r.st.CloseWrite()
}

// sendValues sends the frames with count values. It copies none of them.
func (r *reply) sendValues(ctx context.Context, values wire.Values, first, count int) error {
	rest := values.Bytes()[first*wire.ValueLen : (first+count)*wire.ValueLen]
	for len(rest) > 0 {
		frame := rest[:min(len(rest), wire.MaxFrameLen)]
		rest = rest[len(frame):]
		head := wire.Header{Status: wire.StatusOK, Length: len(frame)}.Append(nil)
		if err := r.write(head); err != nil {
			return err
		}
		for len(frame) > 0 {
			n, err := r.c.pay(ctx, min(len(frame), admission.MostBuffer), 0)
			if err != nil {
				return err
			}
			if err := r.write(frame[:n]); err != nil {
				return err
			}
			frame = frame[n:]
		}
	}
	return nil
}

// recheck checks a chunk of which a client got bytes that do not match its
// value.
func (r *reply) recheck(req wire.RecheckRequest) error {
	v, err := r.held(req.Checksum)
	if err != nil {
		return err
	}
	defer r.c.srv.index.release(v)
	if req.Chunk >= manifest.Count(v.offer.Size) {
		return r.refuse(wire.StatusOutOfRange, 0, "")
	}
	good, err := r.c.srv.index.examine(v, req.Chunk)
	var busy recheckBusy
	switch {
	case errors.As(err, &busy):
		return r.refuse(wire.StatusBusy, busy.wait, busy.Error())
	case !good:
		return r.refuse(wire.StatusChanged, 0, textDamaged)
	}
	if err := r.send(wire.StatusOK, nil); err != nil {
		return err
	}
	return r.st.CloseWrite()
}
