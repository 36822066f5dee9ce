package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"os"
	"testing"

	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
	"malcolm/wire"
)

// chunk is the chunk size of the small files of these tests, in bytes.
const chunk = 256 << 10

var errTest = errors.New("a test has ended it")

// file returns n bytes that depend on the seed.
func file(n int, seed uint64) []byte {
	b := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{byte(seed)})
	rng.Read(b)
	return b
}

// hashes returns the values and the checksum of data.
func hashes(data []byte) (wire.Values, [32]byte) {
	values, sum, err := manifest.Build(context.Background(), bytes.NewReader(data), int64(len(data)), manifest.BuildOptions{})
	if err != nil {
		panic(err)
	}
	return values, sum
}

// A brokenFile is a File with another ReadAt.
type brokenFile struct {
	localfile.File
	readAt func(p []byte, off int64) (int, error)
}

func (b brokenFile) ReadAt(p []byte, off int64) (int, error) { return b.readAt(p, off) }

// unreadableAt returns a file of which the disk cannot read the chunks that
// chunks reports.
func unreadableAt(data []byte, errno error, chunks func(int64) bool) brokenFile {
	return brokenFile{readAt: func(p []byte, off int64) (int, error) {
		if chunks(off / chunk) {
			return 0, &os.PathError{Op: "read", Path: "data.bin", Err: errno}
		}
		return bytes.NewReader(data).ReadAt(p, off)
	}}
}

// read returns what a file holds.
func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func sha256Sum(b []byte) [32]byte { return sha256.Sum256(b) }
