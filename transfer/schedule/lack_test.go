package schedule

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"malcolm/transfer/content"
)

// Runs that touch or overlap become one, and the next chunk is found.
func TestAbsentRunsAreJoined(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const n = 40
		var a absent
		var is [n + 1]bool
		for range rapid.IntRange(0, 12).Draw(t, "runs") {
			first := rapid.IntRange(0, n-1).Draw(t, "first")
			end := rapid.IntRange(first+1, n).Draw(t, "end")
			a = a.with(run{first, end})
			for c := first; c < end; c++ {
				is[c] = true
			}
		}
		for i, r := range a {
			if r.first >= r.end || i > 0 && a[i-1].end >= r.first {
				t.Fatalf("runs %v", a)
			}
		}
		next := math.MaxInt
		for c := n; c >= 0; c-- {
			if is[c] {
				next = c
			}
			last := c
			for last > 0 && !is[last-1] {
				last--
			}
			if got := a.before(c); got != last {
				t.Fatalf("%v: the last one before %d ends at %d, want %d", a, c, got, last)
			}
			if got := a.next(c); got != next || a.has(c, 1) != is[c] {
				t.Fatalf("%v: next from %d is %d, want %d", a, c, got, next)
			}
		}
	})
}

// The least member from a number on is found without a scan.
func TestChunkSetFrom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{1, 64, 65, 4096, 5000, 300000}).Draw(t, "size")
		set := newChunkSet(n)
		in := make(map[int]bool)
		for range rapid.IntRange(0, 20).Draw(t, "members") {
			c := rapid.IntRange(0, n-1).Draw(t, "member")
			set.add(c)
			in[c] = true
		}
		from := rapid.IntRange(0, n).Draw(t, "from")
		want := -1
		for c := range in {
			if c >= from && (want < 0 || c < want) {
				want = c
			}
		}
		if got := set.from(from); got != want {
			t.Fatalf("from %d: %d, want %d, of %v", from, got, want, in)
		}
	})
}

// A server is never asked for what it does not have, in whichever way others
// end, and all of the rest is fetched.
func TestServerIsNotAskedForWhatItLacks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var files []content.File
		for _, size := range rapid.SliceOfN(rapid.Int64Range(1, 3<<18), 2, 60).Draw(t, "sizes") {
			files = append(files, content.File{Size: size})
		}
		all, err := content.Of(files...)
		if err != nil {
			t.Fatal(err)
		}
		s := New(Config{Content: all})
		for c := range all.Chunks() {
			s.Add(c)
		}
		now := time.Unix(1e9, 0)
		lacks := make(map[[2]int]bool) // server, chunk
		for id := range 2 {
			s.Join(id, 10*time.Millisecond, now)
		}
		for file := range all.Files() {
			if id := rapid.IntRange(0, 3).Draw(t, "who lacks it"); id < 2 {
				first, n := all.FirstChunk(file), all.FileChunks(file)
				s.Lack(id, first, n)
				for c := first; c < first+n; c++ {
					lacks[[2]int{id, c}] = true
				}
			}
		}
		open := make(map[int]Range)
		for steps := 0; !s.Done(); steps++ {
			if steps > 10000 {
				t.Fatalf("does not end: %d chunks are left", s.left)
			}
			a := s.Plan(now)
			for _, r := range a.Fetch {
				for c := r.First; c < r.First+r.Count; c++ {
					if lacks[[2]int{r.Server, c}] {
						t.Fatalf("server %d was asked for chunk %d, which it does not have", r.Server, c)
					}
				}
				open[r.ID] = r
			}
			for _, r := range a.Shrink {
				shrunk := open[r.ID]
				shrunk.Count = r.Count
				open[r.ID] = shrunk
			}
			for _, id := range a.Cancel {
				s.End(id)
				delete(open, id)
			}
			now = now.Add(100 * time.Millisecond)
			for id := range 2 {
				var came int64
				for _, r := range open {
					if r.Server == id {
						came += all.Length(r.First, r.Count)
					}
				}
				s.Sample(id, came, 10*time.Millisecond, now)
			}
			for id, r := range open {
				s.Arrived(id, all.Length(r.First, r.Count), now)
				for c := r.First; c < r.First+r.Count; c++ {
					s.Good(c)
				}
				s.End(id)
				delete(open, id)
			}
		}
	})
}
