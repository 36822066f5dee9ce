package partfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"time"
)

// JournalSuffix is added to the final name to make the journal's.
const JournalSuffix = PartSuffix + ".journal"

// JournalState is what lies under the journal's name.
type JournalState int

// States of the journal.
const (
	JournalNone     JournalState = iota
	JournalUsable                // its header checks and has a known version
	JournalUnusable              // torn, cut, unreadable, of another version, ...
	JournalForeign               // not a journal
)

// tells reports whether the journal says that malcolm made a part file of that
// size. A torn journal says so of an empty part file: a crash left both as they
// were begun.
func (s JournalState) tells(size int64) bool {
	return s == JournalUsable || s == JournalUnusable && size == 0
}

// journal is the journal of an output, open from prepare until removeJournal or
// Close. It is written only while the part file's lock and output.end are held.
type journal struct {
	handle Handle
	sealer sealer
	made   bool  // by this run
	before int64 // offset where the records of earlier runs end
	end    int64 // offset where the next record goes

	torn     bool // something followed its last good record
	recorded bool // this run has appended records
}

// readBuffer is the number of bytes of a journal read at once.
const readBuffer = 64 << 10

// peekJournal reads header and holder of the journal without a lock: a hint. It
// fails only if the name has no regular file (a link, a device), or the
// directory cannot be read.
func peekJournal(fsys FS, name string) (state JournalState, header Header, holder Holder, err error) {
	info, err := lstatJournal(fsys, name)
	if err != nil || info.Kind == None {
		return JournalNone, Header{}, Holder{}, err
	}
	h, err := fsys.Open(name + JournalSuffix)
	if err != nil {
		return JournalUnusable, Header{}, Holder{}, nil
	}
	defer h.Close()
	header, holder, ok := readFront(h)
	switch {
	case ok:
		return JournalUsable, header, holder, nil
	case isForeign(h):
		return JournalForeign, Header{}, Holder{}, nil
	}
	return JournalUnusable, Header{}, holder, nil
}

// isForeign reports whether a file that is no usable journal never was one. A
// journal that a crash or a bad disk spoiled is not foreign: it has no bytes,
// or zeros, or most of its magic.
func isForeign(r io.ReaderAt) bool {
	b := make([]byte, len(magic))
	n, err := r.ReadAt(b, 0)
	if err != nil && err != io.EOF || len(bytes.Trim(b, "\x00")) == 0 {
		return false
	}
	same := 0
	for i := range n {
		if b[i] == magic[i] {
			same++
		}
	}
	return same < (n+1)/2
}

// lstatJournal looks at the journal's name. It returns nothing there, or a
// regular file with one link; else the error is NotRegular.
func lstatJournal(fsys FS, name string) (Info, error) {
	info, err := lstat(fsys, name+JournalSuffix)
	if err == nil && info.Kind != None {
		err = plain(fsys, name+JournalSuffix, info)
	}
	return info, err
}

// plain refuses what neither a part file nor a journal may be. With two links,
// a write here would change another file's bytes.
func plain(fsys FS, name string, info Info) error {
	if info.Kind != Regular {
		return reasoned(fsys, "open", name, NotRegular, errNotRegular)
	}
	if info.Links > 1 {
		return reasoned(fsys, "open", name, NotRegular, errLinks)
	}
	return nil
}

// readFront reads what lies before the records. The holder is zero if it does
// not check.
func readFront(r io.ReaderAt) (header Header, holder Holder, ok bool) {
	var front [recordsAt]byte
	n, _ := r.ReadAt(front[:], 0) // what could not be read does not check
	header, ok = parseHeader(front[:min(n, headerLen)])
	if n == recordsAt {
		holder, _ = parseHolder(front[headerLen:])
	}
	return header, holder, ok
}

// scanRecords calls each for the records from the first on. It ends at one that
// does not check, at limit, or when each returns false. end is where the next
// record begins: behind the last good one if each did not end it. err is a read
// error other than io.EOF.
func scanRecords(r io.ReaderAt, s *sealer, limit int64, each func(record) bool) (end int64, err error) {
	buf := make([]byte, readBuffer)
	end = recordsAt
	for end+recordLen <= limit {
		n, err := r.ReadAt(buf[:min(int64(len(buf)), limit-end)], end)
		if err != nil && err != io.EOF {
			return end, err
		}
		whole := n - n%recordLen
		for at := 0; at < whole; at += recordLen {
			rec, ok := s.parse(buf[at : at+recordLen])
			if !ok {
				return end, nil
			}
			end += recordLen
			if !each(rec) {
				return end, nil
			}
		}
		if err == io.EOF || whole == 0 {
			return end, nil
		}
	}
	return end, nil
}

// openJournal decides whether the existing journal is continued. If so it opens
// f.journal and reads its records. It holds the part file's lock and changes
// nothing on disk. info is of the part file.
func (f *output) openJournal(info Info, action Action) error {
	keep, err := f.resumeJournal(info, action)
	if err != nil || keep {
		return err
	}
	return f.checkForeign(action, info.Size)
}

// resumeJournal takes over the existing journal if it can be continued.
func (f *output) resumeJournal(info Info, action Action) (keep bool, err error) {
	named, err := lstatJournal(f.fs, f.name)
	if err != nil || named.Kind == None || action != Resume && action != ResumeOwn || info.Size == 0 {
		return false, err
	}
	h, err := f.fs.OpenWrite(f.name + JournalSuffix)
	if unreadable(err) && (!f.header.IsTree() || errors.Is(err, fs.ErrNotExist)) {
		return false, nil
	}
	if err != nil {
		return false, failure(f.fs, "open", f.name+JournalSuffix, err)
	}
	keep, err = f.readJournal(h, named)
	if err != nil || !keep {
		h.Close()
	}
	return keep, err
}

// checkForeign fails with Foreign if another program's file has one of our
// names and nobody said that it may go: under the journal's name something that
// is not a journal; with ResumeOwn also a part file without a journal that says
// that malcolm made it.
func (f *output) checkForeign(action Action, size int64) error {
	state, _, _, err := peekJournal(f.fs, f.name)
	switch {
	case err != nil:
		return err
	case state == JournalForeign && action != StartOver:
		return reasoned(f.fs, "open", f.name+JournalSuffix, Foreign, errNoJournal)
	case !state.tells(size) && action == ResumeOwn && !f.fresh:
		return reasoned(f.fs, "resume", f.part, Foreign, errForeign)
	}
	return nil
}

// unreadable reports whether err means that an existing journal is lost, and
// not only unreadable right now.
func unreadable(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || IsDiskError(err)
}

// readJournal takes over h if it is a usable journal of f. named is what lay
// under its name.
func (f *output) readJournal(h Handle, named Info) (keep bool, err error) {
	opened, err := h.Stat()
	if err != nil {
		return false, failure(f.fs, "stat", f.name+JournalSuffix, err)
	}
	if same, err := f.sameJournal(named, opened); err != nil || !same {
		if err != nil {
			return false, err
		}
		return false, reasoned(f.fs, "open", f.name+JournalSuffix, Changed, errReplaced)
	}
	if err := f.distrustCache(h, f.name+JournalSuffix); err != nil {
		return false, err
	}
	header, _, ok := readFront(h)
	if !ok {
		return false, nil
	}
	if header != f.header {
		err := fmt.Errorf("its journal names another file: %d bytes, checksum %x", header.Size, header.Checksum)
		return false, reasoned(f.fs, "resume", f.part, OtherFile, err)
	}
	f.journal.sealer = newSealer(header)
	end, err := scanRecords(h, &f.journal.sealer, opened.Size, f.replay)
	if err != nil {
		if !unreadable(err) || f.header.IsTree() { // without it nothing says whose a directory is
			return false, failure(f.fs, "read", f.name+JournalSuffix, err)
		}
		f.claimed, f.surveyed = newBits(f.Chunks()), false
		return false, nil
	}
	f.journal.handle, f.journal.before, f.journal.end = h, end, end
	f.journal.torn = opened.Size != end
	return true, nil
}

// sameJournal reports whether the opened file is the one that had the journal's
// name, as far as its identity tells.
func (f *output) sameJournal(named, opened Info) (bool, error) {
	if opened.Kind != Regular || opened.Links > 1 {
		return false, nil
	}
	if opened.ID == named.ID {
		return true, nil
	}
	now, err := lstat(f.fs, f.name+JournalSuffix)
	if err != nil || now.Kind != Regular {
		return false, err
	}
	return isUnsteady(f.fs, f.name+JournalSuffix, now)
}

// replay takes in one record of an earlier run.
func (f *output) replay(r record) bool {
	switch r.kind {
	case recordGood:
		f.claimed.set(int(r.chunk))
	case recordVoid:
		f.claimed.clear(int(r.chunk))
	case recordOpen, recordClosed:
		f.surveyed = r.kind == recordClosed
	}
	return true
}

// holdJournal makes this run the journal's holder and cuts off a torn end. All
// of it is durable when it returns. Otherwise the records behind the torn place
// could come back after those written now.
func (f *output) holdJournal(holder Holder) error {
	j := &f.journal
	if err := f.writeJournal(holder.append(nil), headerLen); err != nil {
		return err
	}
	if f.journal.torn {
		if err := j.handle.Truncate(j.end); err != nil {
			return failure(f.fs, "truncate", f.name+JournalSuffix, err)
		}
		f.surveyed = false
		if err := f.writeJournal(j.sealer.append(nil, record{kind: recordOpen}), j.end); err != nil {
			return err
		}
		j.end += recordLen
	}
	return f.syncJournal(j.handle.Sync)
}

func (f *output) writeJournal(b []byte, off int64) error {
	n, err := f.journal.handle.WriteAt(b, off)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return failure(f.fs, "write", f.name+JournalSuffix, err)
	}
	return nil
}

func (f *output) syncJournal(call func() error) error {
	if err := f.synced(call()); err != nil {
		return failure(f.fs, "sync", f.name+JournalSuffix, err)
	}
	return nil
}

// makeJournal replaces any existing journal by a new one. It is durable when
// this returns. whole says that nothing was there before, so that a chunk
// without a record is missing.
func (f *output) makeJournal(holder Holder, whole bool) error {
	name := f.name + JournalSuffix
	if named, err := lstatJournal(f.fs, f.name); err != nil {
		return err
	} else if named.Kind != None {
		if err := f.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return failure(f.fs, "remove", name, err)
		}
	}
	h, err := f.fs.Create(name)
	switch {
	case f.leased && errors.Is(err, fs.ErrExist): // made by a run that began at the same moment
		return locked(f.fs, f.name)
	case err != nil:
		return failure(f.fs, "create", name, err)
	}
	f.surveyed = whole
	kind := recordOpen
	if f.surveyed {
		kind = recordClosed
	}
	s := newSealer(f.header)
	front := s.append(holder.append(f.header.append(nil)), record{kind: kind})
	end := int64(len(front))
	f.journal = journal{handle: h, sealer: s, made: true, before: recordsAt, end: end}
	if err := f.writeJournal(front, 0); err != nil {
		return err
	}
	if err := f.syncJournal(h.Sync); err != nil {
		return err
	}
	return syncDir(f.fs)
}

// removeJournal closes the journal, and removes it if it still has its name.
// After the rename another run may have a part file of that name, and then the
// journal is its own, or soon will be.
func (f *output) removeJournal() error {
	h := f.journal.handle
	if h == nil {
		return nil
	}
	f.journal.handle = nil
	name := f.name + JournalSuffix
	ours, err := f.hasJournalName(h)
	if closed := h.Close(); err == nil && closed != nil {
		err = failure(f.fs, "close", name, closed)
	}
	if err == nil && ours {
		err = removeUnused(f.fs, f.name, f.committed)
	}
	return err
}

// hasJournalName reports whether h is the file that has the journal's name.
func (f *output) hasJournalName(h Handle) (bool, error) {
	name := f.name + JournalSuffix
	opened, err := h.Stat()
	if err != nil {
		return false, failure(f.fs, "stat", name, err)
	}
	named, err := lstat(f.fs, name)
	if err != nil || named.Kind != Regular {
		return false, err
	}
	if named.ID == opened.ID {
		return true, nil
	}
	_, _, holder, err := peekJournal(f.fs, f.name)
	return holder.run == f.holder.run, err // identities may be unsteady
}

// removeUnused removes the journal of name. With alone the journal stays if
// there is a part file. A run makes the part file first, so this looks for it
// last.
func removeUnused(fsys FS, name string, alone bool) error {
	if alone {
		part, err := lstat(fsys, name+PartSuffix)
		if err != nil || part.Kind != None {
			return err
		}
	}
	if err := fsys.Remove(name + JournalSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return failure(fsys, "remove", name+JournalSuffix, err)
	}
	return nil
}

// thisRun is the holder that goes into the journal.
func thisRun() Holder {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	return Holder{Host: host, PID: int64(os.Getpid()), Start: time.Unix(time.Now().Unix(), 0).UTC(), run: rand.Uint64()}
}

// JournalPath is the path of the journal, for display.
func (f *output) JournalPath() string { return f.fs.Path(f.name + JournalSuffix) }

// Claimed reports whether the journal of an earlier run claims that the chunk
// is good: its bytes were right and durable when that was written. The caller
// checks whether they still are, see EachRecord.
func (f *output) Claimed(chunk int) bool {
	f.stripe(chunk)
	return f.claimed.has(chunk)
}

// UsableJournal reports whether the journal that Open found or began knows of
// every chunk: then one that is not Claimed is missing. If false, such a chunk
// may still be right. Check it by its BLAKE3 if HasData says that it has bytes,
// then call SurveyDone.
func (f *output) UsableJournal() bool { return f.surveyed }

// EachRecord reads the records of earlier runs again, until yield returns
// false. It yields each Claimed chunk once, with the xxh3-128 that its bytes
// had, in the order of recording. Chunks whose record has vanished, as on a
// failing disk, come last with the zero sum, which no bytes have. EachRecord
// holds a buffer of 64 KiB and one bit a chunk.
func (f *output) EachRecord(yield func(chunk int, xxh [16]byte) bool) error {
	seen := newBits(f.Chunks())
	more := true
	once := func(chunk int, xxh [16]byte) bool {
		seen.set(chunk)
		more = yield(chunk, xxh)
		return more
	}
	var err error
	if f.journal.before != recordsAt {
		_, err = scanRecords(f.journal.handle, &f.journal.sealer, f.journal.before, func(r record) bool {
			chunk := int(r.chunk)
			return r.kind != recordGood || seen.has(chunk) || !f.claimed.has(chunk) || once(chunk, r.xxh)
		})
	}
	if err != nil && !unreadable(err) {
		return failure(f.fs, "read", f.name+JournalSuffix, err)
	}
	for chunk := 0; more && chunk < f.Chunks(); chunk++ {
		if f.claimed.has(chunk) && !seen.has(chunk) {
			once(chunk, [16]byte{})
		}
	}
	return nil
}

// HasData reports whether the n bytes from off on may hold more than a hole,
// which reads as zeros. It is true if the file system cannot say.
func (f *File) HasData(off, n int64) bool {
	next, err := f.handle.NextData(off)
	if errors.Is(err, io.EOF) {
		return false
	}
	return err != nil || n > 0 && next < min(off, math.MaxInt64-n)+n
}
