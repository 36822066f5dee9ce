package transfer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"malcolm/transfer/fetch"

	"malcolm/transfer/partfile"
)

// What a run does about a file or part file that is there.
type action int

const (
	fetches action = iota
	resumes
	startsOver
	saysSo
	refuses
)

var targetTable = []struct {
	final, part string
	want        [4]action // without a flag, with -r, with --force, with both
}{
	{"none", "none", [4]action{fetches, fetches, fetches, fetches}},
	{"none", "some", [4]action{refuses, resumes, startsOver, resumes}},
	{"right", "none", [4]action{refuses, saysSo, fetches, saysSo}},
	{"right", "some", [4]action{refuses, saysSo, startsOver, saysSo}},
	{"wrong", "none", [4]action{refuses, refuses, fetches, fetches}},
	{"wrong", "some", [4]action{refuses, refuses, startsOver, resumes}},
	{"short", "none", [4]action{refuses, refuses, fetches, fetches}},
	{"short", "some", [4]action{refuses, refuses, startsOver, resumes}},
}

// For each state of the directory and each pair of flags, the table says what a
// run does.
func TestTargetTable(t *testing.T) {
	t.Parallel()
	data := file(chunk+50, 1)
	for _, row := range targetTable {
		for i, want := range row.want {
			resume, force := i&1 != 0, i&2 != 0
			name := fmt.Sprintf("final %s, part %s, resume %t, force %t", row.final, row.part, resume, force)
			t.Run(name, func(t *testing.T) {
				bubble(t, func(t *testing.T, w *world) {
					dir := t.TempDir()
					lay(t, dir, row.final, row.part, data)
					before := tree(t, dir)
					s := w.holders(data)[0]
					o := w.get(getConfig{Targets: s.targets, Dir: dir, Resume: resume, Force: force})
					wantAction(t, o, s, want, data, before, row.part == "some")
				})
			})
		}
	}
}

// lay puts a file and a part file into a directory; empty: none. The part has
// the first chunk of data.
func lay(t *testing.T, dir, final, part string, data []byte) {
	t.Helper()
	switch final {
	case "right":
		write(t, dir, "data.bin", data)
	case "wrong":
		write(t, dir, "data.bin", corrupted(t, data, len(data)/2))
	case "short":
		write(t, dir, "data.bin", data[:100])
	}
	if part == "some" {
		write(t, dir, "data.bin.part", data[:chunk+10])
	}
}

func wantAction(t *testing.T, o *outcome, s *server, want action, data []byte, before map[string]string, part bool) {
	t.Helper()
	size := int64(len(data))
	switch want {
	case refuses:
		err := fails[*fetch.TargetError](o, fetch.KindLocal)
		if err.Path == "" || err.Hint == partfile.HintNone || err.Error() == "" {
			t.Errorf("error = %+v, want a path and a hint", err)
		}
		wantTree(t, o.dir, before)
		if got := s.src.sent(); got != 0 {
			t.Errorf("%d bytes were fetched", got)
		}
		if part != (o.Part != "") && o.Part != "" {
			t.Errorf("part = %q, want none", o.Part)
		}
	case saysSo:
		if o.err != nil || !o.AlreadyRight || o.Path != filepath.Join(o.dir, "data.bin") || o.Fetched != 0 {
			t.Errorf("result = %+v, %v, want that the file is there", o.Result, o.err)
		}
		wantTree(t, o.dir, before)
		none[fetch.Started](o)
	default:
		o.has("data.bin", data)
		resumed := int64(0)
		if want == resumes {
			resumed = chunk
		}
		if o.AlreadyRight || o.Resumed != resumed || o.Fetched != size-resumed || s.src.sent() != o.Fetched {
			t.Errorf("resumed %d, fetched %d, served %d, want %d resumed", o.Resumed, o.Fetched, s.src.sent(), resumed)
		}
	}
}

// Anything but a regular file is left alone, whatever the flags.
func TestTargetsThatAreNoFiles(t *testing.T) {
	data := file(100, 1)
	for _, test := range []struct {
		name, at string
		make     func(path string) error
	}{
		{"directory", "data.bin", func(path string) error { return os.Mkdir(path, 0o755) }},
		{"directory as part", "data.bin.part", func(path string) error { return os.Mkdir(path, 0o755) }},
		{"link", "data.bin", func(path string) error { return os.Symlink("elsewhere", path) }},
		{"dangling link", "data.bin", func(path string) error { return os.Symlink("nowhere", path) }},
		{"link as part", "data.bin.part", func(path string) error { return os.Symlink("elsewhere", path) }},
	} {
		for flags := range 4 {
			t.Run(fmt.Sprintf("%s, flags %d", test.name, flags), func(t *testing.T) {
				bubble(t, func(t *testing.T, w *world) {
					dir := t.TempDir()
					write(t, dir, "elsewhere", data)
					if err := test.make(filepath.Join(dir, test.at)); errors.Is(err, errors.ErrUnsupported) || os.IsPermission(err) {
						t.Skip(err)
					} else if err != nil {
						t.Fatal(err)
					}
					before := tree(t, dir)
					o := w.get(getConfig{Targets: w.holders(data)[0].targets, Dir: dir, Resume: flags&1 != 0, Force: flags&2 != 0})
					err := fails[*fetch.TargetError](o, fetch.KindLocal)
					if err.Path != filepath.Join(dir, test.at) || err.Hint != partfile.HintElsewhere {
						t.Errorf("error = %+v, want what is in the way", err)
					}
					wantTree(t, dir, before)
				})
			})
		}
	}
}

// The output directory must exist, and a file is none.
func TestOutputDirectory(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		s := w.holders(file(10, 1))[0]
		dir := t.TempDir()
		write(t, dir, "file", nil)
		o := &outcome{t: t}
		o.Result, o.err = Get(t.Context(), getConfig{Targets: s.targets, Dir: filepath.Join(dir, "missing"), Network: w})
		fails[*fetch.NotDirectoryError](o, fetch.KindLocal)
		o.Result, o.err = Get(t.Context(), getConfig{Targets: s.targets, Dir: filepath.Join(dir, "file"), Network: w})
		fails[*fetch.NotDirectoryError](o, fetch.KindLocal)
	})
}

// A part file that another run is writing is left alone.
func TestTwoRunsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(4*chunk, 1)
		s := w.holders(data)[0]
		slow(200<<10, s)
		dir := t.TempDir()
		var second *outcome
		done := make(chan struct{})
		o := w.get(getConfig{Targets: s.targets, Dir: dir, Events: at(0.2, func() {
			go func() {
				defer close(done)
				second = w.get(getConfig{Targets: s.targets, Dir: dir, Resume: true})
			}()
		})})
		<-done
		o.has("data.bin", data)
		err := fails[*partfile.Error](second, fetch.KindLocal)
		if err.Reason != partfile.Locked {
			t.Errorf("error of the second = %v, want that the part is locked", err)
		}
	})
}

// A file that appears under the final name meanwhile is replaced only with
// --force.
func TestTargetThatAppears(t *testing.T) {
	for _, force := range []bool{false, true} {
		bubble(t, func(t *testing.T, w *world) {
			data, theirs := file(4*chunk, 1), []byte("theirs")
			s := w.holders(data)[0]
			slow(500<<10, s)
			dir := t.TempDir()
			o := w.get(getConfig{Targets: s.targets, Dir: dir, Force: force, Events: at(0.2, func() { write(t, dir, "data.bin", theirs) })})
			if force {
				o.has("data.bin", data)
				return
			}
			if err := fails[*partfile.Error](o, fetch.KindLocal); err.Reason != partfile.Exists {
				t.Errorf("error = %v, want that it exists", err)
			}
			o.lists("data.bin", "data.bin.part", "data.bin.part.journal")
			if got := o.read("data.bin"); !slices.Equal(got, theirs) {
				t.Errorf("the file is %q, want what appeared", got)
			}
			if got := o.read("data.bin.part"); !slices.Equal(got, data) {
				t.Error("the part is not the whole file")
			}
		})
	}
}
