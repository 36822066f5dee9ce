package fetch

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"malcolm/transfer/content"
	"malcolm/transfer/partfile"
)

// The window has the part file's rules of ownership: what is written is what
// the owner has written and marked, whatever fetches do.
func TestStreamWindowProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const size = 5*chunk + 7
		slots := rapid.IntRange(2, 6).Draw(t, "slots")
		w := newStreamWindow(content.OfOne(content.File{Size: size}), slots)
		front := 0
		type holder struct {
			chunkClaim
			chunk int
			wrote int64
			fill  byte
		}
		var all []*holder
		owner := make(map[int]*holder)
		marked := make(map[int]*holder)
		length := func(c int) int64 { return min(chunk, size-int64(c)*chunk) }
		aChunk := func(t *rapid.T) int { return rapid.IntRange(0, 5).Draw(t, "chunk") }
		aHolder := func(t *rapid.T) *holder {
			if len(all) == 0 {
				t.Skip("no claims")
			}
			return all[rapid.IntRange(0, len(all)-1).Draw(t, "claim")]
		}
		claim := func(t *rapid.T, how func(int) (chunkClaim, bool), want bool, c int) {
			got, ok := how(c)
			if ok != want || ok != (got != nil) {
				t.Fatalf("claim of %d: %v, want %v", c, ok, want)
			}
			if ok {
				h := &holder{chunkClaim: got, chunk: c, fill: byte(rand.Uint32())}
				all = append(all, h)
				owner[c] = h
			}
		}
		in := func(c int) bool { return c >= front && c < front+slots && marked[c] == nil }
		t.Repeat(map[string]func(*rapid.T){
			"claim": func(t *rapid.T) { c := aChunk(t); claim(t, w.Claim, in(c) && owner[c] == nil, c) },
			"take":  func(t *rapid.T) { c := aChunk(t); claim(t, w.TakeOver, in(c), c) },
			"write": func(t *rapid.T) {
				h := aHolder(t)
				n := rapid.Int64Range(0, length(h.chunk)-h.wrote).Draw(t, "bytes")
				err := h.WriteAt(bytes.Repeat([]byte{h.fill}, int(n)), h.wrote)
				if owns := owner[h.chunk] == h; owns != (err == nil) || !owns && !errors.Is(err, partfile.ErrNotOwner) {
					t.Fatalf("write: %v, owner: %v", err, owns)
				}
				if err == nil {
					h.wrote += n
				}
			},
			"whole": func(t *rapid.T) {
				h := aHolder(t)
				if owner[h.chunk] == h && h.WriteAt(bytes.Repeat([]byte{h.fill}, int(length(h.chunk)-h.wrote)), h.wrote) == nil {
					h.wrote = length(h.chunk)
				}
			},
			"mark": func(t *rapid.T) {
				h := aHolder(t)
				err := h.Mark([16]byte{})
				want := owner[h.chunk] == h && h.wrote == length(h.chunk)
				if want != (err == nil) {
					t.Fatalf("mark: %v, want it: %v", err, want)
				}
				if want {
					marked[h.chunk] = h
					delete(owner, h.chunk)
				}
			},
			"release": func(t *rapid.T) {
				h := aHolder(t)
				h.Release()
				if owner[h.chunk] == h {
					delete(owner, h.chunk)
				}
			},
			"next": func(t *rapid.T) {
				h := marked[front]
				if h == nil {
					t.Skip("the front has not come")
				}
				got, err := w.wait(context.Background(), front)
				if err != nil || !bytes.Equal(got, bytes.Repeat([]byte{h.fill}, int(length(front)))) {
					t.Fatalf("chunk %d is not what its owner wrote: %v", front, err)
				}
				w.release(front)
				front++
			},
			"": func(t *rapid.T) {
				for c := range 6 {
					if got := w.Marked(c); got != (marked[c] != nil) {
						t.Fatalf("marked(%d) = %v", c, got)
					}
				}
			},
		})
	})
}
