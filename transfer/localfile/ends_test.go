package localfile

import (
	"errors"
	"io"
	"strings"
	"testing"
)

type readerAt func(p []byte, off int64) (int, error)

func (r readerAt) ReadAt(p []byte, off int64) (int, error) { return r(p, off) }

// A file ends where a read finds its end. It does not end at a byte, nor where
// the read fails, as in /proc/self/mem.
func TestEndsAt(t *testing.T) {
	broken := readerAt(func([]byte, int64) (int, error) { return 0, errors.New("input/output error") })
	for _, test := range []struct {
		name string
		file io.ReaderAt
		size int64
		want bool
	}{
		{"empty", strings.NewReader(""), 0, true},
		{"whole", strings.NewReader("abc"), 3, true},
		{"goes on", strings.NewReader("abc"), 2, false},
		{"fails", broken, 0, false},
	} {
		if got := EndsAt(test.file, test.size); got != test.want {
			t.Errorf("%s: %t, want %t", test.name, got, test.want)
		}
	}
}
