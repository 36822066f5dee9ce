package batch

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"

	"malcolm/transfer/localfile"
)

// journalHead is the first line of a journal.
const journalHead = "malcolm batch journal 1\n"

var (
	errNotJournal = errors.New("is not the journal of a batch: it stays as it is")
	castagnoli    = crc32.MakeTable(crc32.Castagnoli)
)

// A Journal says which files of a list are done. Any goroutine may call its
// methods. A nil Journal knows nothing and keeps nothing.
type Journal struct {
	path string
	file *os.File

	mu     sync.Mutex
	done   map[Key]record
	broken error         // why nothing more is written; nil: all is well
	dirty  chan struct{} // has one value when something was written and not synced
	synced chan struct{} // closed when the syncer has ended
}

// A record is a file that is done.
type record struct {
	path  string
	size  int64 // in bytes; of a directory 0
	mtime int64 // in ns since 1970
	dir   bool
}

// OpenJournal reads the journal at path, or begins one. A file that is no
// journal is refused. All errors are of type [*localfile.Error].
func OpenJournal(path string) (*Journal, error) {
	j := &Journal{path: path, done: make(map[Key]record), dirty: make(chan struct{}, 1), synced: make(chan struct{})}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, j.failure(errNotJournal) // opening it may wait, or do something
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return nil, j.failure(err)
	}
	j.file = file
	if err := j.read(); err != nil {
		file.Close()
		return nil, j.failure(err)
	}
	go j.sync()
	return j, nil
}

func (j *Journal) failure(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	return &localfile.Error{Op: "use the journal", Path: j.path, Err: err}
}

// read reads what is there. A line that is damaged is left out. After a line
// that was cut off, the next append begins a new line.
func (j *Journal) read() error {
	r := bufio.NewReaderSize(j.file, maxLine)
	head, err := r.ReadString('\n')
	switch {
	case head == "" && err == io.EOF:
		_, err = j.file.WriteString(journalHead)
		return err
	case head != journalHead && !(err == io.EOF && strings.HasPrefix(journalHead, head)):
		return errNotJournal
	case head != journalHead: // the first write was cut off
		_, err = j.file.WriteString(journalHead[len(head):])
		return err
	}
	for {
		line, err := r.ReadSlice('\n')
		if key, rec, ok := parseRecord(line); ok && err == nil {
			j.done[key] = rec
		}
		switch {
		case err == io.EOF && len(line) > 0:
			_, err = j.file.WriteString("\n")
			return err
		case err == io.EOF:
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}

// append appends the line of a record to b.
func (r record) append(b []byte, k Key) []byte {
	kind := "f"
	if r.dir {
		kind = "d"
	}
	at := len(b)
	b = fmt.Appendf(b, "%x %s %d %d %q", k, kind, r.size, r.mtime, r.path)
	return fmt.Appendf(b, " %08x\n", crc32.Checksum(b[at:], castagnoli))
}

// parseRecord reads a line with its end.
func parseRecord(line []byte) (k Key, r record, ok bool) {
	text, ended := strings.CutSuffix(string(line), "\n")
	at := strings.LastIndexByte(text, ' ')
	if !ended || at < 0 {
		return k, r, false
	}
	sum, err := strconv.ParseUint(text[at+1:], 16, 32)
	if err != nil || len(text)-at != 9 || uint32(sum) != crc32.Checksum(line[:at], castagnoli) {
		return k, r, false
	}
	parts := strings.SplitN(text[:at], " ", 5)
	if len(parts) != 5 || len(parts[0]) != hex.EncodedLen(len(k)) {
		return k, r, false
	}
	_, errKey := hex.Decode(k[:], []byte(parts[0]))
	size, errSize := strconv.ParseInt(parts[2], 10, 64)
	mtime, errTime := strconv.ParseInt(parts[3], 10, 64)
	path, errPath := strconv.Unquote(parts[4])
	if errors.Join(errKey, errSize, errTime, errPath) != nil || parts[1] != "f" && parts[1] != "d" {
		return k, r, false
	}
	return k, record{path, size, mtime, parts[1] == "d"}, true
}

// look returns the record of what lies at a path now.
func look(path string) (r record, err error) {
	info, err := os.Lstat(path)
	if err != nil {
		return r, err
	}
	r = record{path: path, mtime: info.ModTime().UnixNano(), dir: info.IsDir()}
	if !r.dir {
		r.size = info.Size()
	}
	if !r.dir && !info.Mode().IsRegular() {
		return r, localfile.ErrNotRegular
	}
	return r, nil
}

// Has reports where the file of a key is, if it is done and still there as it
// was.
func (j *Journal) Has(k Key) (path string, ok bool) {
	if j == nil {
		return "", false
	}
	j.mu.Lock()
	then, ok := j.done[k]
	j.mu.Unlock()
	if !ok {
		return "", false
	}
	now, err := look(then.path)
	return then.path, err == nil && now == then
}

// Done notes that the file of a key is at a path, which is absolute. After its
// first error it notes nothing more, and returns that error.
func (j *Journal) Done(k Key, path string) error {
	if j == nil {
		return nil
	}
	now, err := look(path)
	if err != nil { // the file is gone: it is not done
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken != nil {
		return j.broken
	}
	if j.done[k] == now {
		return nil
	}
	if _, err := j.file.Write(now.append(nil, k)); err != nil {
		j.broken = j.failure(err)
		return j.broken
	}
	j.done[k] = now
	select {
	case j.dirty <- struct{}{}:
	default:
	}
	return nil
}

// sync makes durable what was written, while more is written.
func (j *Journal) sync() {
	defer close(j.synced)
	for range j.dirty {
		if err := j.file.Sync(); err != nil {
			j.mu.Lock()
			if j.broken == nil {
				j.broken = j.failure(err)
			}
			j.mu.Unlock()
		}
	}
}

// Close makes the journal durable. After an error the journal may lack records.
// Done must not be called afterwards.
func (j *Journal) Close() error {
	if j == nil {
		return nil
	}
	close(j.dirty)
	<-j.synced
	err := j.file.Close()
	if j.broken != nil {
		return j.broken
	}
	if err != nil {
		return j.failure(err)
	}
	return nil
}
