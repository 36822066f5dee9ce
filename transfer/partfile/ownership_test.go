package partfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"github.com/zeebo/xxh3"
	"pgregory.net/rapid"
)

const testChunk = 8 // bytes

// rightBytes is the content to arrive: no byte of it is garbage.
func rightBytes(size int64) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte('a' + i%23)
	}
	return b
}

const garbage = '!'

func xxhOf(b []byte) [16]byte { return xxh3.Hash128(b).Bytes() }

func openTest(t *testing.T, fsys FS, o Options) *File {
	t.Helper()
	f, err := Open(context.Background(), fsys, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func chunkOf(b []byte, chunk int) []byte {
	return b[chunk*testChunk : min((chunk+1)*testChunk, len(b))]
}

// writer is one fetcher's claim of a chunk, current or given up. The model
// keeps all of them, as late bytes may come from any.
type writer struct {
	claim *Claim
	chunk int
	liar  bool
	sent  int
}

// ownership is the model: who owns each chunk, by index into writers, or one of
// the values below.
type ownership struct {
	f       *File
	right   []byte
	owners  []int
	writers []*writer
	read    []bool // chunks whose bytes were once found right on disk
}

const (
	modelUntouched = -1
	modelFree      = -2
	modelMarked    = -3
)

func (m *ownership) add(chunk int, liar bool, c *Claim) *writer {
	w := &writer{claim: c, chunk: chunk, liar: liar}
	m.owners[chunk] = len(m.writers)
	m.writers = append(m.writers, w)
	return w
}

func (m *ownership) owns(w *writer) bool {
	o := m.owners[w.chunk]
	return o >= 0 && m.writers[o] == w
}

// write sends the next n bytes of w's chunk.
func (m *ownership) write(t *rapid.T, w *writer, n int) {
	content := chunkOf(m.right, w.chunk)
	piece := bytes.Clone(content[w.sent:min(w.sent+n, len(content))])
	if w.liar {
		for i := range piece {
			piece[i] = garbage
		}
	}
	err := w.claim.WriteAt(piece, int64(w.sent))
	switch {
	case m.owns(w) && err != nil:
		t.Fatalf("owner's write: %v", err)
	case !m.owns(w) && !errors.Is(err, ErrNotOwner):
		t.Fatalf("write without ownership: %v, want ErrNotOwner", err)
	}
	w.sent += len(piece)
}

func (m *ownership) mark(t *rapid.T, w *writer) {
	err := w.claim.Mark(xxhOf(chunkOf(m.right, w.chunk)))
	switch {
	case !m.owns(w):
		if !errors.Is(err, ErrNotOwner) {
			t.Fatalf("mark without ownership: %v, want ErrNotOwner", err)
		}
	case w.sent < len(chunkOf(m.right, w.chunk)):
		if ReasonOf(err) != Internal {
			t.Fatalf("mark of an incomplete chunk: %v, want an internal error", err)
		}
	default:
		if err != nil {
			t.Fatalf("mark: %v", err)
		}
		m.owners[w.chunk] = modelMarked
	}
}

func (m *ownership) check(t *rapid.T) {
	count := 0
	for chunk, owner := range m.owners {
		if got, want := m.f.Marked(chunk), owner == modelMarked; got != want {
			t.Fatalf("chunk %d marked: %t, want %t", chunk, got, want)
		}
		if owner != modelMarked {
			continue
		}
		count++
		if got, want := m.onDisk(t, chunk), chunkOf(m.right, chunk); !bytes.Equal(got, want) {
			t.Fatalf("marked chunk %d holds %q, want %q", chunk, got, want)
		}
	}
	if got := m.f.MarkedCount(); got != count {
		t.Fatalf("%d chunks marked, want %d", got, count)
	}
}

func (m *ownership) onDisk(t *rapid.T, chunk int) []byte {
	got := make([]byte, len(chunkOf(m.right, chunk)))
	if _, err := m.f.ReadAt(got, int64(chunk*testChunk)); err != nil {
		t.Fatal(err)
	}
	return got
}

// Whatever writers, some of them liars, do in whatever order, a marked chunk
// holds the right bytes, and only the owner writes.
func TestOwnershipProperty(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(1, 4*testChunk).Draw(t, "size")
		m := &ownership{right: rightBytes(size)}
		// What an earlier run left: some right, some wrong.
		left := bytes.Clone(m.right)
		for i := range left {
			if rapid.IntRange(0, 9).Draw(t, "left") == 0 {
				left[i] = garbage
			}
		}
		if err := root.WriteFile("x.part", left, 0o644); err != nil {
			t.Fatal(err)
		}
		root.Remove("x.part.journal")
		m.f, err = Open(context.Background(), Dir(root), Options{Name: "x", Size: size, ChunkSize: testChunk, Action: Resume})
		if err != nil {
			t.Fatal(err)
		}
		defer m.f.Close()
		m.read = make([]bool, m.f.Chunks())
		m.owners = make([]int, m.f.Chunks())
		for i := range m.owners {
			m.owners[i] = modelUntouched
		}
		t.Repeat(m.resumeActions(m.actions()))
	})
}

func (m *ownership) aChunk(t *rapid.T) int { return rapid.IntRange(0, m.f.Chunks()-1).Draw(t, "chunk") }

func (m *ownership) actions() map[string]func(*rapid.T) {
	aWriter := func(t *rapid.T) *writer {
		if len(m.writers) == 0 {
			t.Skip("nobody claimed yet")
		}
		return m.writers[rapid.IntRange(0, len(m.writers)-1).Draw(t, "writer")]
	}
	return map[string]func(*rapid.T){
		"": m.check,
		"claim": func(t *rapid.T) {
			chunk := m.aChunk(t)
			c, ok := m.f.Claim(chunk)
			if want := m.owners[chunk] == modelFree || m.owners[chunk] == modelUntouched; ok != want {
				t.Fatalf("claim of chunk %d: %t, want %t", chunk, ok, want)
			}
			if ok {
				m.add(chunk, rapid.Bool().Draw(t, "liar"), c)
			}
		},
		"take over": func(t *rapid.T) {
			chunk := m.aChunk(t)
			c, ok := m.f.TakeOver(chunk)
			if want := m.owners[chunk] != modelMarked; ok != want {
				t.Fatalf("take-over of chunk %d: %t, want %t", chunk, ok, want)
			}
			if !ok {
				return
			}
			w := m.add(chunk, false, c)
			if rapid.Bool().Draw(t, "finish") {
				m.write(t, w, testChunk)
				m.mark(t, w)
			}
		},
		"write": func(t *rapid.T) { m.write(t, aWriter(t), rapid.IntRange(0, testChunk).Draw(t, "bytes")) },
		"mark": func(t *rapid.T) {
			if w := aWriter(t); !w.liar { // a liar's value does not match
				m.mark(t, w)
			}
		},
		"release": func(t *rapid.T) {
			w := aWriter(t)
			w.claim.Release()
			if m.owns(w) {
				m.owners[w.chunk] = modelFree
			}
		},
	}
}

// resumeActions are the actions of the checker of what an earlier run left.
func (m *ownership) resumeActions(actions map[string]func(*rapid.T)) map[string]func(*rapid.T) {
	actions["read existing"] = func(t *rapid.T) {
		chunk := m.aChunk(t)
		m.read[chunk] = bytes.Equal(m.onDisk(t, chunk), chunkOf(m.right, chunk))
	}
	actions["mark existing"] = func(t *rapid.T) {
		chunk := m.aChunk(t)
		if !m.read[chunk] {
			t.Skip("not found right")
		}
		got := m.f.MarkExisting(chunk, xxhOf(chunkOf(m.right, chunk)))
		if want := m.owners[chunk] == modelUntouched || m.owners[chunk] == modelMarked; got != want {
			t.Fatalf("mark of existing chunk %d: %t, want %t", chunk, got, want)
		}
		if got {
			m.owners[chunk] = modelMarked
		}
	}
	return actions
}

// Many goroutines, half of them liars, work on few chunks, and the file ends up
// right. Run with -race.
func TestOwnershipStress(t *testing.T) {
	const chunks = stripeCount + 40 // some chunks share a lock
	const workers = 16
	fsys := newTestFS(t)
	right := rightBytes(chunks*testChunk - 3)
	f := openTest(t, fsys.FS, Options{Name: "x", Size: int64(len(right)), ChunkSize: testChunk})
	var claims [chunks]struct {
		sync.Mutex
		last *Claim
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(w)))
			liar := w%2 == 1
			for f.MarkedCount() < chunks {
				chunk := rng.IntN(chunks)
				take := f.Claim
				if !liar && rng.IntN(2) == 0 {
					take = f.TakeOver
				}
				claim, ok := take(chunk)
				if !ok {
					continue
				}
				claims[chunk].Lock()
				others := claims[chunk].last
				claims[chunk].last = claim
				claims[chunk].Unlock()
				if others != nil && rng.IntN(4) == 0 {
					others.Release()
				}
				if err := stressChunk(claim, chunkOf(right, chunk), liar); err != nil && !errors.Is(err, ErrNotOwner) {
					t.Errorf("chunk %d: %v", chunk, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if _, err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	fsys.want(t, "x", string(right))
}

// stressChunk writes byte by byte and marks the chunk if it is right.
func stressChunk(claim *Claim, content []byte, liar bool) error {
	defer claim.Release()
	for i := range content {
		b := content[i]
		if liar {
			b = garbage
		}
		if err := claim.WriteAt([]byte{b}, int64(i)); err != nil {
			return err
		}
	}
	if liar {
		return nil
	}
	return claim.Mark(xxhOf(content))
}

// While bytes of a chunk are written its owner cannot change. Chunks with the
// same lock can still be written.
func TestWriteHoldsOffTakeOver(t *testing.T) {
	fsys := newTestFS(t)
	f := openTest(t, fsys, Options{Name: "x", Size: (stripeCount + 1) * testChunk, ChunkSize: testChunk})
	first, _ := f.Claim(0)
	second, ok := f.Claim(stripeCount)
	if !ok {
		t.Fatal("no claim")
	}
	if f.stripe(0) != f.stripe(stripeCount) {
		t.Fatal("the chunks do not share a lock")
	}
	depth := 0
	fsys.before = func(op, _ string) error {
		if op != "write" {
			return nil
		}
		if f.stripe(0).TryLock() {
			t.Error("the owner could change during a write")
			f.stripe(0).Unlock()
		}
		if depth++; depth == 1 {
			return second.WriteAt([]byte("x"), 0) // hangs if writes exclude each other
		}
		return nil
	}
	if err := first.WriteAt([]byte("y"), 0); err != nil {
		t.Fatal(err)
	}
	if depth != 2 {
		t.Fatalf("%d writes, want 2", depth)
	}
}

func TestClaimWriteBounds(t *testing.T) {
	fsys := newTestFS(t)
	f := openTest(t, fsys, Options{Name: "x", Size: testChunk + 3, ChunkSize: testChunk})
	claim, _ := f.Claim(1)
	fsys.forget()
	for _, c := range []struct {
		off int64
		n   int
	}{{-1, 1}, {0, 4}, {3, 1}, {1, 1}, {testChunk, 1}} {
		wantReason(t, claim.WriteAt(make([]byte, c.n), c.off), Internal)
	}
	if n := fsys.called("write"); n != 0 {
		t.Errorf("%d writes, want none", n)
	}
	if err := claim.WriteAt([]byte("abc"), 0); err != nil {
		t.Fatal(err)
	}
	if err := claim.Mark([16]byte{}); err != nil {
		t.Fatal(err)
	}
	wantErr := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, ErrNotOwner) {
			t.Errorf("%s after the mark: %v, want ErrNotOwner", what, err)
		}
	}
	wantErr("write", claim.WriteAt([]byte("x"), 0))
	wantErr("mark", claim.Mark([16]byte{}))
	claim.Release()
	if !f.Marked(1) {
		t.Error("a release took the mark away")
	}
}

// A write that failed half-way may have spoiled what was written before, even
// if it was a rewrite.
func TestFailedWriteIsForgotten(t *testing.T) {
	fsys := newTestFS(t)
	f := openTest(t, fsys, Options{Name: "x", Size: testChunk, ChunkSize: testChunk})
	claim, _ := f.Claim(0)
	if err := claim.WriteAt(rightBytes(testChunk), 0); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	fsys.before = func(op, _ string) error {
		if op == "write" {
			return broken
		}
		return nil
	}
	if err := claim.WriteAt([]byte("xy"), 2); !errors.Is(err, broken) {
		t.Fatalf("error %v, want %v", err, broken)
	}
	wantReason(t, claim.Mark([16]byte{}), Internal)
	fsys.before = nil
	if err := claim.WriteAt(rightBytes(testChunk)[2:], 2); err != nil {
		t.Fatal(err)
	}
	if err := claim.Mark([16]byte{}); err != nil {
		t.Fatal(err)
	}
}

func TestNoSuchChunk(t *testing.T) {
	f := openTest(t, newTestFS(t), Options{Name: "x", Size: testChunk, ChunkSize: testChunk})
	for _, chunk := range []int{-1, 1} {
		func() {
			defer func() {
				if got, want := fmt.Sprint(recover()), fmt.Sprintf("malcolm: internal error: chunk %d of 1", chunk); got != want {
					t.Errorf("panic %q, want %q", got, want)
				}
			}()
			f.Claim(chunk)
		}()
	}
}
