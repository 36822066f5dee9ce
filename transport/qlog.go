package transport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	_ "github.com/quic-go/quic-go/qlog" // registers the schema that the files name
	"github.com/quic-go/quic-go/qlogwriter"
)

const (
	// qlogTime is how long the end of a process waits for the last bytes of
	// a QLog.
	qlogTime = 2 * time.Second
	// maxQLogFiles and maxQLogBytes bound what one QLog writes, since
	// strangers decide how many connections there are.
	maxQLogFiles = 1024
	maxQLogBytes = 4 << 30
)

var (
	errQLogFiles = fmt.Errorf("qlog: %d files are there: further connections are not written", maxQLogFiles)
	errQLogBytes = fmt.Errorf("qlog: %d GiB are there: the rest is not written", maxQLogBytes>>30)
)

// A QLog writes what connections do, packet by packet, into a directory, a file
// for each: TIME-N_client.sqlog or TIME-N_server.sqlog. TIME is that of the
// QLog and N counts its connections. The format is
// draft-ietf-quic-qlog-main-schema (JSON text sequences). It costs a good part
// of the speed. Any goroutine may call its methods; a nil QLog writes nothing.
type QLog struct {
	prefix string // of the files: the directory and the time
	files  atomic.Int64
	bytes  atomic.Int64 // written, or about to be

	mu     sync.Mutex
	open   sync.WaitGroup
	broken error // the first
}

// NewQLog makes the directory unless it exists.
func NewQLog(dir string) (*QLog, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("qlog: %w", err)
	}
	return &QLog{prefix: filepath.Join(dir, time.Now().Format("20060102T150405.000"))}, nil
}

// tracer returns the function for quic-go; nil if q is.
func (q *QLog) tracer() func(context.Context, bool, quic.ConnectionID) qlogwriter.Trace {
	if q == nil {
		return nil
	}
	return q.trace
}

func (q *QLog) trace(_ context.Context, isClient bool, id quic.ConnectionID) qlogwriter.Trace {
	side := "server"
	if isClient {
		side = "client"
	}
	n := q.files.Add(1)
	if n > maxQLogFiles {
		q.failed(errQLogFiles)
		return nil
	}
	// Never overwrites a file, and the other side cannot choose a name.
	f, err := os.OpenFile(fmt.Sprintf("%s-%d_%s.sqlog", q.prefix, n, side), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		q.failed(fmt.Errorf("qlog: %w", err))
		return nil
	}
	q.mu.Lock()
	q.open.Add(1)
	q.mu.Unlock()
	seq := qlogwriter.NewConnectionFileSeq(&qlogFile{q: q, f: f, Writer: bufio.NewWriter(f)}, isClient, id)
	go seq.Run()
	return seq
}

func (q *QLog) failed(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.broken == nil {
		q.broken = err
	}
}

// Close waits, at most 2 s, for the files of connections, which have all ended.
// It returns the first error.
func (q *QLog) Close() error {
	if q == nil {
		return nil
	}
	written := make(chan struct{})
	go func() {
		q.open.Wait()
		close(written)
	}()
	select {
	case <-written:
	case <-time.After(qlogTime):
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.broken
}

// A qlogFile is one connection's file. What cannot be written is dropped, and
// reported by [QLog.Close].
type qlogFile struct {
	q *QLog
	f *os.File
	*bufio.Writer
}

func (f *qlogFile) Write(p []byte) (int, error) {
	if f.q.bytes.Add(int64(len(p))) > maxQLogBytes {
		f.q.failed(errQLogBytes)
	} else if _, err := f.Writer.Write(p); err != nil {
		f.q.failed(fmt.Errorf("qlog: %w", err))
	}
	return len(p), nil
}

// Close writes what is still buffered.
func (f *qlogFile) Close() error {
	defer f.q.open.Done()
	err := errors.Join(f.Flush(), f.f.Close())
	if err != nil {
		f.q.failed(fmt.Errorf("qlog: %w", err))
	}
	return err
}

var _ io.WriteCloser = (*qlogFile)(nil)
