// Package partfile owns the output of a download while it is unfinished,
// NAME.part with its journal NAME.part.journal, and its commit to NAME. All lie
// directly in one directory.
//
// The steps:
//
//   - [Look] says what lies at the target, and [Decide] what to do about it.
//   - [Open] takes the part file (created or found, locked, cut to size, its
//     space reserved) and its journal.
//   - [File.Claim], [Claim.WriteAt] and [Claim.Mark] fill it, with one writer a
//     chunk.
//   - [File.Sync] makes what was marked durable and records it in the journal.
//   - [File.Commit] gives the file its final name.
//   - [File.Close] ends it in any case.
//
// To resume: read back the chunks that are [File.Claimed], compare them with
// their records ([File.EachRecord]), and call [File.MarkExisting] for those
// that are right. The others are missing if [File.UsableJournal]. If not, check
// those that have bytes ([File.HasData]) by BLAKE3, and then call
// [File.SurveyDone].
//
// Four promises:
//
//   - The final name never holds anything but a file of which every chunk was
//     marked, synced before it was renamed.
//   - An existing file is replaced only if [Options.Replace] is set.
//   - A part file is used only if it is a regular file with one link, still has
//     its name once it is locked, and nobody else holds its lock.
//   - The journal claims a chunk only if its right bytes were durable before,
//     and nobody has written in its place since.
//
// A directory is written in the same steps, see [LookTree], [DecideTree],
// [OpenTree] and [Tree]: its NAME.part is a directory with all of its files,
// and one journal. Two promises more:
//
//   - NAME.part is taken only if its journal says that malcolm made it, or if it
//     is empty, and only if it holds nothing that is not of the tree.
//   - A directory that is replaced is kept, as NAME.replaced.
//
// The journal is a hint: a program that can write it can write the part file
// too. Its layout is at the head of layout.go.
//
// Everything that touches the disk goes through [FS] and [Handle]; [Dir]
// implements them over an os.Root.
package partfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// PartSuffix is added to the final name to make that of the unfinished file.
const PartSuffix = ".part"

// IsReserved reports whether a name ends like those of the files that this
// package makes beside the finished one.
func IsReserved(name string) bool {
	return slices.ContainsFunc([]string{PartSuffix, JournalSuffix, probeSuffix, triedSuffix, foldSuffix, straySuffix, linkSuffix}, func(suffix string) bool {
		return strings.HasSuffix(name, suffix)
	})
}

// Found is what lies at the target, by names alone. Only the journal's first
// 1024 bytes are read.
type Found struct {
	Final     Kind
	FinalSize int64 // bytes; 0 unless Final is Regular
	Part      Kind
	PartSize  int64 // bytes; 0 unless Part is Regular
	Leftover  bool  // the part file is a second name of the final one: a commit was cut off

	Journal JournalState
	Header  Header // of the journal; zero unless Journal is JournalUsable
	Holder  Holder // who wrote to the journal last; zero: not known
}

// Look says what lies under the final name, the part file's and the journal's.
// It takes no lock and follows no link: its result is a hint, and Open does not
// rely on it. If the journal is no regular file, or has more than one link, the
// error is NotRegular. If it cannot be read it is JournalUnusable.
func Look(fsys FS, name string) (Found, error) {
	if err := checkName(fsys, name); err != nil {
		return Found{}, err
	}
	final, err := lstat(fsys, name)
	if err != nil {
		return Found{}, err
	}
	part, err := lstat(fsys, name+PartSuffix)
	if err != nil {
		return Found{}, err
	}
	found := Found{
		Final: final.Kind, FinalSize: final.Size, Part: part.Kind, PartSize: part.Size, Leftover: leftover(final, part),
	}
	found.Journal, found.Header, found.Holder, err = peekJournal(fsys, name)
	if err != nil {
		return Found{}, err
	}
	return found, nil
}

// FinalState is the state by names alone, for a download of size bytes. For a
// regular file of the right size it is FinalUnread: only reading tells more,
// and [NeedsHash] says whether to do that.
func (f Found) FinalState(size int64) FinalState {
	switch {
	case f.Final == None:
		return FinalNone
	case f.Final != Regular:
		return FinalOther
	case f.FinalSize != size:
		return FinalWrong
	}
	return FinalUnread
}

// PartState is the state by names alone, for the download that h names. A part
// file without a usable journal counts as one of the same checksum, as its
// chunks are checked one by one. So does one of 0 bytes, which holds nothing of
// another version. One that is the final file's second name counts as none:
// Open takes that name away.
func (f Found) PartState(h Header) PartState {
	switch {
	case f.Part == None || f.Leftover:
		return PartNone
	case f.Part != Regular:
		return PartOther
	case f.Journal == JournalUsable && f.Header != h && f.PartSize > 0:
		return PartOtherChecksum
	}
	return PartSame
}

// OwnPartState is PartState for a run that was not told to take an existing
// part file. That counts as the same only if its journal says so, or if both
// were only just begun. Any other is PartForeign.
func (f Found) OwnPartState(h Header) PartState {
	state := f.PartState(h)
	if state == PartSame && !f.Journal.tells(f.PartSize) || f.Leftover && f.Journal == JournalNone {
		return PartForeign
	}
	return state
}

// Reader is an existing file opened for reading. Any goroutine may call ReadAt.
type Reader interface {
	io.ReaderAt
	io.Closer
}

// OpenFinal opens the regular file under the final name, and returns its size
// in bytes. Its hash tells FinalRight from FinalWrong. Anything else under that
// name is NotRegular, and is never opened on purpose.
func OpenFinal(fsys FS, name string) (Reader, int64, error) {
	if err := checkName(fsys, name); err != nil {
		return nil, 0, err
	}
	before, err := lstat(fsys, name)
	switch {
	case err != nil:
		return nil, 0, err
	case before.Kind == None:
		return nil, 0, failure(fsys, "open", name, fs.ErrNotExist)
	case before.Kind != Regular:
		return nil, 0, reasoned(fsys, "open", name, NotRegular, errNotRegular)
	}
	h, err := fsys.Open(name)
	if err != nil {
		return nil, 0, failure(fsys, "open", name, err)
	}
	after, err := h.Stat()
	if err == nil {
		err = sameFinal(fsys, name, before, after)
	}
	if err != nil {
		h.Close()
		return nil, 0, failure(fsys, "stat", name, err)
	}
	return h, after.Size, nil
}

// sameFinal fails unless the opened file is the one seen before. If identities
// change at every look, any regular file passes.
func sameFinal(fsys FS, name string, before, opened Info) error {
	if opened.Kind == Regular && opened.ID == before.ID {
		return nil
	}
	now, err := lstat(fsys, name)
	if err != nil {
		return err
	}
	if opened.Kind == Regular && now.Kind == Regular && now.Size == opened.Size {
		if unsteady, err := isUnsteady(fsys, name, now); err != nil || unsteady {
			return err
		}
	}
	return reasoned(fsys, "open", name, Changed, errReplaced)
}

// lstat is FS.Lstat, but a name without a file is Kind None and no error.
func lstat(fsys FS, name string) (Info, error) {
	info, err := fsys.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return Info{}, nil
	}
	if err != nil {
		return Info{}, failure(fsys, "lstat", name, err)
	}
	if info.Kind != Regular {
		info.Size = 0
	}
	return info, nil
}

// checkName refuses what is not a plain file name. The caller decides which
// plain names are acceptable.
func checkName(fsys FS, name string) error {
	plain := name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\x00") &&
		!strings.ContainsRune(name, os.PathSeparator) && filepath.IsLocal(name)
	if !plain {
		return reasoned(fsys, "use", name, Internal, errNotPlainName)
	}
	return nil
}
