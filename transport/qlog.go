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
	"time"

	"github.com/quic-go/quic-go"
	_ "github.com/quic-go/quic-go/qlog" // registers the schema that the files name
	"github.com/quic-go/quic-go/qlogwriter"
)

// qlogTime is how long the end of a process waits for the last of a QLog.
const qlogTime = 2 * time.Second

// A QLog writes what connections do, packet by packet, into a directory, a file
// for each: ID_client.sqlog or ID_server.sqlog, where ID is the connection's
// first, in the format of draft-ietf-quic-qlog-main-schema (JSON text
// sequences). It costs a good part of the speed. Any goroutine may call its
// methods; a nil QLog writes nothing.
type QLog struct {
	dir string

	mu     sync.Mutex
	open   sync.WaitGroup
	broken error // the first
}

// NewQLog makes the directory, if it is not there.
func NewQLog(dir string) (*QLog, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("qlog: %w", err)
	}
	return &QLog{dir: dir}, nil
}

// tracer returns what quic-go takes; nil for none.
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
	f, err := os.Create(filepath.Join(q.dir, fmt.Sprintf("%s_%s.sqlog", id, side)))
	if err != nil {
		q.failed(err)
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
		q.broken = fmt.Errorf("qlog: %w", err)
	}
}

// Close waits for the files of connections, which have all ended, but no longer
// than 2 s, and returns the first thing that went wrong.
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
// told by [QLog.Close].
type qlogFile struct {
	q *QLog
	f *os.File
	*bufio.Writer
}

func (f *qlogFile) Write(p []byte) (int, error) {
	if _, err := f.Writer.Write(p); err != nil {
		f.q.failed(err)
	}
	return len(p), nil
}

// Close writes what is left.
func (f *qlogFile) Close() error {
	defer f.q.open.Done()
	err := errors.Join(f.Flush(), f.f.Close())
	if err != nil {
		f.q.failed(err)
	}
	return err
}

var _ io.WriteCloser = (*qlogFile)(nil)
