package metrics

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/localfile"
)

// suffix is the ending of the names that node_exporter reads.
const suffix = ".prom"

// fileStart is the beginning of every file.
const fileStart = "# HELP malcolm_"

// A NameError says that a file would not be read by node_exporter.
type NameError struct{ Path string }

func (e *NameError) Error() string {
	return "--metrics-file " + human.Quote(e.Path) + ": its name must end in .prom: node_exporter reads no others"
}

var (
	errFileKind  = errors.New("is not a regular file")
	errFileOther = errors.New("is there and holds no metrics of malcolm: it stays as it is")
)

// A file gets the metrics as a whole: each time it is replaced in one step,
// also behind a symbolic link. Everybody may read it.
type file struct {
	path   string
	failed bool          // that was told
	quit   chan struct{} // closed to end the writing; nil: it has not begun
	ended  chan struct{} // closed when it has ended
}

// openFile finds out whether a file can be written.
func openFile(path string) (*file, error) {
	if !strings.HasSuffix(path, suffix) {
		return nil, &NameError{path}
	}
	f := &file{path: path}
	draft, err := f.draft()
	if err != nil {
		return nil, f.failure(err)
	}
	draft.Discard()
	return f, nil
}

func (f *file) failure(err error) error {
	return &localfile.Error{Op: "write the metrics", Path: f.path, Err: err}
}

// draft makes a new file beside the final place.
func (f *file) draft() (*localfile.Draft, error) {
	path := localfile.Behind(f.path)
	if err := checkFile(path); err != nil {
		return nil, err
	}
	return localfile.NewDraft(path, 0o644)
}

// checkFile fails unless a file is missing, empty, or one that was written
// here.
func checkFile(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errFileKind
	}
	old, err := os.Open(path)
	if err != nil {
		return err
	}
	defer old.Close()
	start := make([]byte, len(fileStart))
	if n, _ := io.ReadFull(old, start); n > 0 && string(start[:n]) != fileStart {
		return errFileOther
	}
	return nil
}

// run is the value of the label run in the file.
func (f *file) run() string {
	return strings.ToValidUTF8(strings.TrimSuffix(filepath.Base(f.path), suffix), "?")
}

// write puts the metrics of now in place.
func (f *file) write(g prometheus.Gatherer) error {
	families, err := g.Gather()
	if err != nil {
		return err
	}
	draft, err := f.draft()
	if err != nil {
		return err
	}
	defer draft.Discard()
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(draft, family); err != nil {
			return err
		}
	}
	if err := draft.Chmod(0o644); err != nil { // whatever the umask says
		return err
	}
	return draft.Replace()
}

// begin writes the file now and at each interval, until end.
func (f *file) begin(g prometheus.Gatherer, interval time.Duration, warn func(string, ...any)) {
	f.quit, f.ended = make(chan struct{}), make(chan struct{})
	f.put(g, warn)
	go func() {
		defer close(f.ended)
		if interval == 0 {
			return
		}
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				f.put(g, warn)
			case <-f.quit:
				return
			}
		}
	}()
}

// end writes the file for the last time.
func (f *file) end(g prometheus.Gatherer, warn func(string, ...any)) {
	if f.quit != nil {
		close(f.quit)
		<-f.ended
	}
	f.put(g, warn)
}

// put writes the file, and tells once if it cannot.
func (f *file) put(g prometheus.Gatherer, warn func(string, ...any)) {
	err := f.write(g)
	if err != nil && !f.failed {
		warn("%v; the run goes on", f.failure(err))
	}
	f.failed = err != nil
}
