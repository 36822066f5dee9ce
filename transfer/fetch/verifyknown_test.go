package fetch

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
)

// A file is compared with values that are known, without any source.
func TestVerifyKnown(t *testing.T) {
	const chunk = manifest.MinChunkSize
	data := bytes.Repeat([]byte("0123456789abcdef"), 4*chunk/16)
	values, sum, err := manifest.Build(t.Context(), bytes.NewReader(data), int64(len(data)), manifest.BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := Known{Size: int64(len(data)), Checksum: sum, Values: values}
	flipped := bytes.Clone(data)
	flipped[2*chunk] ^= 1
	for _, c := range []struct {
		what  string
		data  []byte
		bad   int
		right bool
	}{
		{"the same", data, 0, true}, {"a wrong chunk", flipped, 1, false},
		{"too long", append(bytes.Clone(data), 0), 0, false}, {"too short", data[:3*chunk], 1, false}, {"empty", nil, 4, false},
	} {
		path := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := VerifyKnown(t.Context(), Local{Path: path}, want, new(atomic.Int64), func(e Event) { t.Errorf("told %T", e) })
		wrong, isWrong := errors.AsType[*MismatchError](err)
		if r == nil || r.Right() != c.right || len(r.Bad) != c.bad || r.LocalSize != int64(len(c.data)) || isWrong == c.right {
			t.Errorf("%s: %+v, %v", c.what, r, err)
		}
		if isWrong && (wrong.Bad != c.bad || wrong.Size != (len(c.data) != len(data))) {
			t.Errorf("%s: %+v", c.what, wrong)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errChanging)
		if _, err := VerifyKnown(ctx, Local{Path: path}, want, new(atomic.Int64), nil); err != errChanging && len(c.data) > 0 {
			t.Errorf("%s, ended: %v", c.what, err)
		}
	}
}

// Somebody who writes to the file meanwhile is found.
func TestVerifyKnownChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	data := bytes.Repeat([]byte{1}, 1000)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	sum := manifest.Sum(data)
	values, _ := manifest.Known(1000, sum)
	read := func(f localfile.File) localfile.File {
		return readBy{f, func() { os.WriteFile(path, []byte("2"), 0o600) }}
	}
	_, err := VerifyKnown(t.Context(), Local{Path: path, Read: read}, Known{1000, sum, values}, new(atomic.Int64), nil)
	if !errors.Is(err, errChanging) || !errors.As(err, new(*localfile.Error)) {
		t.Errorf("%v, want %v", err, errChanging)
	}
}

// A readBy file tells of each read, before it.
type readBy struct {
	localfile.File
	before func()
}

func (r readBy) ReadAt(p []byte, off int64) (int, error) {
	r.before()
	return r.File.ReadAt(p, off)
}
