package partfile

import "io"

// Records are what a journal says of a download's chunks, as a resuming run
// would find it.
type Records struct {
	Usable bool             // there is a usable journal of this download
	Whole  bool             // a chunk without a record is missing; else it may still be right
	XXH3   map[int][16]byte // of the chunks that it claims are good
}

// ReadRecords reads the journal of name without a lock, and changes nothing:
// its result is a hint. A journal that is unusable, or of another download than
// h names, has no records.
func ReadRecords(fsys FS, name string, h Header) (Records, error) {
	info, err := lstatJournal(fsys, name)
	if err != nil || info.Kind == None {
		return Records{}, err
	}
	j, err := fsys.Open(name + JournalSuffix)
	if err != nil {
		if unreadable(err) {
			return Records{}, nil
		}
		return Records{}, failure(fsys, "open", name+JournalSuffix, err)
	}
	defer j.Close()
	if header, _, ok := readFront(j); !ok || header != h {
		return Records{}, nil
	}
	return readRecords(fsys, name, j, h, info.Size)
}

func readRecords(fsys FS, name string, j io.ReaderAt, h Header, size int64) (Records, error) {
	r := Records{Usable: true, XXH3: make(map[int][16]byte)}
	s := newSealer(h)
	end, err := scanRecords(j, &s, size, func(rec record) bool {
		switch rec.kind {
		case recordGood:
			r.XXH3[int(rec.chunk)] = rec.xxh
		case recordVoid:
			delete(r.XXH3, int(rec.chunk))
		case recordOpen, recordClosed:
			r.Whole = rec.kind == recordClosed
		}
		return true
	})
	if err != nil {
		if unreadable(err) {
			return Records{}, nil
		}
		return Records{}, failure(fsys, "read", name+JournalSuffix, err)
	}
	r.Whole = r.Whole && end == size
	return r, nil
}
