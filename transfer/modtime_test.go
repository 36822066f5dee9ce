package transfer

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/serve"
)

// The finished file has the modification time that most servers name; in a tie,
// the first of them. Servers with another file have no say.
func TestRemoteTime(t *testing.T) {
	t.Parallel()
	data, other := file(3*chunk, 1), file(3*chunk, 2)
	first, second, third := time.Unix(1e9, 500), time.Unix(1.1e9, 0), time.Unix(1.2e9, 0)
	never := time.Unix(1<<60, 0)
	for _, test := range []struct {
		name  string
		times []time.Time
		want  time.Time // zero: that of the writing
	}{
		{"one", []time.Time{first, first}, first},
		{"most", []time.Time{first, second, second}, second},
		{"tie", []time.Time{third, second, first}, third},
		{"tie of two", []time.Time{second, first}, second},
		{"two ties", []time.Time{second, first, first, second}, second},
		{"what no file system holds", []time.Time{never, never, first}, first},
		{"nothing that a file system holds", []time.Time{never, time.Unix(-1<<60, 0)}, time.Time{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				// One with another file comes first.
				targets := targetsOf(w.serve(newSource(other), 3, 1, serve.Config{}))
				for i, at := range test.times {
					src := newSource(data)
					src.mtime = at
					targets = append(targets, w.serve(src, i%3, 1, serve.Config{}).targets...)
				}
				o := w.get(getConfig{Targets: targets, RemoteTime: true})
				o.has("data.bin", data)
				info, err := os.Stat(filepath.Join(o.dir, "data.bin"))
				if err != nil {
					t.Fatal(err)
				}
				switch {
				case test.want.IsZero():
					only[fetch.NoModTime](o)
					if since := time.Since(info.ModTime()); since < -100*365*24*time.Hour {
						t.Errorf("time %v", info.ModTime())
					}
				case !info.ModTime().Equal(test.want):
					t.Errorf("time %v, want %v", info.ModTime(), test.want)
				default:
					none[fetch.NoModTime](o)
				}
			})
		})
	}
}

// Only what is written gets the remote time, also when it is resumed. Without
// the flag, and for a file that is there already, the time stays as it is.
func TestRemoteTimeOnlyOfWhatIsWritten(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		data := file(8*chunk, 1)
		servers := w.holders(data)
		want := time.Unix(1e9, 0)
		stat := func(o *outcome) time.Time {
			info, err := os.Stat(filepath.Join(o.dir, "data.bin"))
			if err != nil {
				t.Fatal(err)
			}
			return info.ModTime()
		}
		plain := w.get(getConfig{Targets: targetsOf(servers...)})
		plain.has("data.bin", data)
		before := stat(plain)
		if before.Equal(want) {
			t.Fatal("the time is the server's without the flag")
		}
		again := w.get(getConfig{Targets: targetsOf(servers...), Dir: plain.dir, Resume: true, RemoteTime: true})
		if again.err != nil || !again.AlreadyRight || !stat(again).Equal(before) {
			t.Errorf("%v, time %v, want that of a file that is there already: %v", again.err, stat(again), before)
		}
		slow(100<<10, servers...)
		part := interrupt(t, w, 0.4, servers...)
		rest := w.get(getConfig{Targets: targetsOf(servers...), Dir: part.dir, Resume: true, RemoteTime: true})
		rest.has("data.bin", data)
		if rest.Resumed == 0 || !stat(rest).Equal(want) {
			t.Errorf("%d bytes resumed, time %v, want %v", rest.Resumed, stat(rest), want)
		}
	})
}
