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
	textHashing = "the file is still being hashed"
	textChanged = "the file has changed"
	textDamaged = "the disk does not give what was hashed"
)

// held returns the version that a client names, acquired, if it is held and the
// open file still matches it. If not, it has sent a refusal.
func (r *reply) held(checksum [32]byte) (*version, error) {
	v, why := r.c.srv.index.hold(checksum)
	if v == nil {
		return nil, r.refuse(why.Status, why.Wait, why.Text)
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
	if n := v.chunks(); n < 2 || req.First+req.Count > n {
		return r.refuse(wire.StatusOutOfRange, 0, fmt.Sprintf("the file has %d chunks", n))
	}
	if err := r.sendValues(ctx, v, req.First, req.Count); err != nil {
		return err
	}
	return r.st.CloseWrite()
}

// sendValues sends the frames with count values. It copies none that are in
// memory.
func (r *reply) sendValues(ctx context.Context, v *version, first, count int) error {
	if err := r.prove(v); err != nil {
		return err
	}
	var buf []byte
	if v.tree != nil {
		buf = make([]byte, min(count*wire.ValueLen, wire.MaxFrameLen))
	}
	for count > 0 {
		n := min(count, wire.MaxFrameLen/wire.ValueLen)
		frame, err := v.readValues(buf, first, n)
		if err != nil {
			return errReset{wire.StreamUnreadable}
		}
		first, count = first+n, count-n
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

// prove refuses the values of a tree's file if they do not merge to its
// checksum: the place that kept them was damaged.
func (r *reply) prove(v *version) error {
	if v.tree == nil || v.provesValues() {
		return nil
	}
	v.tree.index.doubt(v)
	return r.refuse(wire.StatusChanged, 0, textDamaged)
}

// recheck checks a chunk whose bytes, as a client got them, did not match its
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
