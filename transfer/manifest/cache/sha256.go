package cache

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"malcolm/transfer/manifest"
)

// The SHA-256 of a file is an entry of its own beside that of its values: few
// ask for one, and an entry of values has up to 32 MiB. Integers are
// big-endian.
//
//	offset  bytes  field
//	0       8      magic, "mlcsha2\n"
//	8       4      version, 1
//	12      40     key, as in an entry of values
//	52      32     checksum of the file
//	84      32     SHA-256 of the file
//	116     32     BLAKE3-256 of all that is before it
const (
	shaMagic   = "mlcsha2\n"
	shaVersion = 1
	shaLen     = len(shaMagic) + 4 + keyLen + 3*32
	shaSuffix  = ".sha256"
)

// LoadSHA256 returns the SHA-256 that was stored for k together with this
// checksum. Anything wrong is a miss, as of [Cache.Load].
func (c *Cache) LoadSHA256(k Key, checksum [32]byte) (sum [32]byte, ok bool) {
	root, err := openCache(c.Dir)
	if err != nil {
		return sum, false
	}
	defer root.Close()
	name := shaName(k)
	b, err := readEntry(root, name, shaLen)
	prefix := append(shaPrefix(k), checksum[:]...)
	end := shaLen - 32
	switch {
	case err != nil && !errors.Is(err, errDamaged):
		return sum, false
	case err != nil, !bytes.HasPrefix(b, prefix), manifest.Sum(b[:end]) != [32]byte(b[end:]):
		_ = root.Remove(name)
		return sum, false
	}
	_ = root.Chtimes(name, time.Time{}, time.Now()) // if that fails, the entry is only evicted earlier
	return [32]byte(b[len(prefix):]), true
}

// StoreSHA256 keeps the SHA-256 of the file with key k, whose BLAKE3 is
// checksum. Errors are those of [Cache.Store].
func (c *Cache) StoreSHA256(k Key, checksum, sum [32]byte) error {
	if err := c.storeSHA256(k, checksum, sum); err != nil {
		return fmt.Errorf("store SHA-256 in %q: %w", c.Dir, err)
	}
	return nil
}

func (c *Cache) storeSHA256(k Key, checksum, sum [32]byte) error {
	if n := onDisk(int64(shaLen)); n > c.maxBytes() {
		return fmt.Errorf("%d bytes are needed, %d allowed", n, c.maxBytes())
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return err
	}
	root, err := openCache(c.Dir)
	if err != nil {
		return err
	}
	defer root.Close()
	b := append(append(shaPrefix(k), checksum[:]...), sum[:]...)
	check := manifest.Sum(b)
	b = append(b, check[:]...)
	err = replaceEntry(root, shaName(k), func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
	if err != nil {
		return err
	}
	return evict(root, shaName(k), c.maxBytes())
}

func shaName(k Key) string {
	sum := manifest.Sum(shaPrefix(k))
	return hex.EncodeToString(sum[:16]) + shaSuffix
}

func shaPrefix(k Key) []byte {
	b := append(make([]byte, 0, shaLen), shaMagic...)
	return k.append(binary.BigEndian.AppendUint32(b, shaVersion))
}
