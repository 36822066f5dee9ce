package fetch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/pace"
	"malcolm/transfer/source"
	"malcolm/transfer/source/sourcetest"
)

// A slowReader waits before each of its reads.
type slowReader struct {
	io.Reader
	ctx   context.Context
	pause time.Duration
}

func (r slowReader) Read(p []byte) (int, error) {
	if err := pace.Sleep(r.ctx, r.pause); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// The last chunk may take as long as it likes while it makes progress, and
// while this machine makes it wait.
func TestLastChunkMakesProgress(t *testing.T) {
	data := file(chunk+20<<10, 1)
	list, sum := hashes(data)
	for _, test := range []struct {
		name  string
		pause time.Duration
		limit int64
		fails bool
	}{
		{"slow in each step", proofTime - time.Second, 0, false},
		{"limited here", 0, 16, false},
		{"stalls", proofTime + time.Second, 0, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := &means{Shared: &Shared{limit: pace.NewLimiter(test.limit), pieces: newBufferPool(1, pieceSize)}}
			way := sourcetest.NewConn(source.Peer{})
			way.OnRange = func(ctx context.Context, spans []source.Span) (source.Body, error) {
				if err := pace.Sleep(ctx, test.pause); err != nil {
					return nil, err
				}
				s := spans[0]
				return sourcetest.NewBody(slowReader{bytes.NewReader(data[s.Offset : s.Offset+s.Length]), ctx, test.pause}), nil
			}
			err := m.showLast(t.Context(), way, sum, int64(len(data)), list)
			f, _ := errors.AsType[*source.Fault](err)
			if fails := f != nil && f.What == source.NoAnswer; fails != test.fails || err != nil && !fails {
				t.Errorf("%s: %v", test.name, err)
			}
		})
	}
}

// Bytes are written once only, and nobody waits for a reader that hangs.
func TestOnwardWritesEachByteOnce(t *testing.T) {
	var out bytes.Buffer
	o := &onward{out: &out}
	for _, run := range []string{"ab", "a", "abcd", "abcdefgh"} {
		if !o.rewind() {
			t.Fatal("cannot begin anew")
		}
		for i := 0; i < len(run); i += 3 {
			p := run[i:min(i+3, len(run))]
			if n, err := o.Write([]byte(p)); n != len(p) || err != nil {
				t.Errorf("write %q: %d, %v", p, n, err)
			}
		}
	}
	if out.String() != "abcdefgh" {
		t.Errorf("wrote %q", out.String())
	}
	o.mu.Lock()
	if o.rewind() {
		t.Error("begins anew in the middle of a write")
	}
}
