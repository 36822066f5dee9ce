package serve

import (
	"errors"
	"io"
	"sync"
	"time"

	"malcolm/transfer/manifest"
	"malcolm/transfer/manifest/cache"
	"malcolm/wire"
)

// recheckEvery is the least time between two checks of a chunk that clients ask
// for. A chunk has at most 16 MiB, so checks cost less than one client.
const recheckEvery = time.Second

// recheckPiece is how many bytes of a chunk are read at once.
const recheckPiece = 128 << 10

// recheckBusy says that another check is under way, or that the last one was
// too short a time ago.
type recheckBusy struct {
	wait time.Duration // until the next one
}

func (recheckBusy) Error() string { return "has looked at its file a moment ago" }

// rechecks let the checks of single chunks follow each other.
type rechecks struct {
	mu   sync.Mutex
	last time.Time // when the last one ended
}

// look reads a chunk of a version again and reports whether it still has its
// value; if not, readErr is the disk's error, if it gives none of the bytes.
// The error is recheckBusy.
func (r *rechecks) look(v *version, chunk int) (good bool, readErr, err error) {
	if !r.mu.TryLock() {
		return false, nil, recheckBusy{recheckEvery}
	}
	defer r.mu.Unlock()
	if since := time.Since(r.last); since < recheckEvery {
		return false, nil, recheckBusy{recheckEvery - since}
	}
	defer func() { r.last = time.Now() }()
	readErr = matches(v, chunk)
	if readErr == errOtherBytes {
		return false, nil, nil
	}
	return readErr == nil, readErr, nil
}

// examine reads a chunk of a version from the disk again and reports whether it
// still has its value. If not, it tells of it and ends the version, whose
// hashes are never taken from the cache again. The error is recheckBusy.
func (ix *index) examine(v *version, chunk int) (good bool, err error) {
	good, readErr, err := ix.recheck.look(v, chunk)
	switch {
	case good || err != nil:
		return good, err
	case !v.isIntact(): // it was changed, which is no damage
		ix.changed(v)
		return false, nil
	}
	offset, length := manifest.Span(v.offer.Size, chunk)
	ix.tell(Damaged{Chunk: chunk, Offset: offset, Length: length, Err: readErr})
	if key, ok := cache.KeyOf(v.info); ok && ix.hashes.Cache != nil {
		ix.hashes.Cache.Drop(key)
	}
	ix.changed(v)
	return false, nil
}

var errOtherBytes = errors.New("other bytes")

// matches compares a chunk's bytes with its value.
func matches(v *version, chunk int) error {
	offset, length := manifest.Span(v.offer.Size, chunk)
	var h manifest.Hasher
	h.Reset(v.offer.Size, chunk)
	buf := make([]byte, min(recheckPiece, length))
	for at := int64(0); at < length; {
		p := buf[:min(int64(len(buf)), length-at)]
		if n, err := v.file.ReadAt(p, offset+at); n < len(p) {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		h.Write(p)
		at += int64(len(p))
	}
	want, err := v.readValues(make([]byte, wire.ValueLen), chunk, 1)
	if err != nil {
		return err
	}
	if value, _ := h.Sum(); value != [32]byte(want) {
		return errOtherBytes
	}
	return nil
}
