package partfile

// TreeFound is what lies at a tree's target, by names alone.
type TreeFound struct {
	Final    Kind
	Part     Kind
	Empty    bool // NAME.part is a directory that holds nothing
	Replaced Kind // of NAME.replaced

	// Finished says that the directory under the final name is the one that
	// the journal's run finished: it ended before it removed its journal.
	Finished bool
	// CutOff says that a run may have ended between the two renames of a
	// replacement: there is no NAME, NAME.part is malcolm's, and
	// NAME.replaced is there. That is then what had the name.
	CutOff bool

	Journal JournalState
	Header  Header // of the journal; zero unless Journal is JournalUsable
	Holder  Holder // who wrote to the journal last; zero: not known
}

// LookTree says what lies under the final name, that of the part, of the
// journal and of what was replaced. It takes no lock and follows no link: its
// result is a hint, and OpenTree does not rely on it. fsys must be a [TreeFS].
// If the journal is no regular file, or has more than one link, the error is
// NotRegular.
func LookTree(fsys FS, name string) (TreeFound, error) {
	if err := checkName(fsys, name); err != nil {
		return TreeFound{}, err
	}
	var f TreeFound
	var final Info
	for _, look := range []struct {
		name string
		kind *Kind
	}{{name, &f.Final}, {name + PartSuffix, &f.Part}, {name + ReplacedSuffix, &f.Replaced}} {
		info, err := lstat(fsys, look.name)
		if err != nil {
			return TreeFound{}, err
		}
		*look.kind = info.Kind
		if look.name == name {
			final = info
		}
	}
	var err error
	f.Journal, f.Header, f.Holder, err = peekJournal(fsys, name)
	if err != nil {
		return TreeFound{}, err
	}
	if f.Part == Directory {
		if f.Empty, err = isEmptyFolder(fsys, name+PartSuffix); err != nil {
			return TreeFound{}, err
		}
	}
	return f, f.lookDone(fsys, name, final)
}

// lookDone looks whether the journal's run had finished its directory, or was
// about to.
func (f *TreeFound) lookDone(fsys FS, name string, final Info) error {
	if f.Journal != JournalUsable || !f.Header.IsTree() {
		return nil
	}
	f.CutOff = f.Final == None && f.Part == Directory && f.Replaced == Directory
	if f.Final != Directory || f.Part != None {
		return nil
	}
	sum, ok, err := readDone(fsys, name, f.Header)
	f.Finished = ok && sum == doneSum(final)
	return err
}

// readDone returns the sum in the last record if that says that the directory
// is complete, see doneSum.
func readDone(fsys FS, name string, h Header) (sum [16]byte, ok bool, err error) {
	info, err := lstatJournal(fsys, name)
	if err != nil || info.Kind == None {
		return sum, false, err
	}
	j, err := fsys.Open(name + JournalSuffix)
	if err != nil {
		return sum, false, nil
	}
	defer j.Close()
	s := newSealer(h)
	var b [recordLen]byte
	at := info.Size - (info.Size-recordsAt)%recordLen - recordLen
	if at < recordsAt {
		return sum, false, nil
	}
	if n, _ := j.ReadAt(b[:], at); n < recordLen {
		return sum, false, nil
	}
	r, ok := s.parse(b[:])
	return r.xxh, ok && r.kind == recordDone, nil
}

func isEmptyFolder(fsys FS, name string) (bool, error) {
	trees, ok := fsys.(TreeFS)
	if !ok {
		return false, nil
	}
	d, err := trees.OpenDir(name)
	if err != nil {
		return false, failure(fsys, "open", name, err)
	}
	defer d.Close()
	empty := true
	err = d.EachName(func(string) bool {
		empty = false
		return false
	})
	if err != nil {
		return false, failure(fsys, "read", name, err)
	}
	return empty, nil
}

// FinalState is the state of the final name: FinalNone, FinalRight for the
// directory that an earlier run of the same listing finished, FinalWrong for
// any other directory, FinalOther for the rest.
func (f TreeFound) FinalState(h Header) FinalState {
	switch {
	case f.Final == None:
		return FinalNone
	case f.Final != Directory:
		return FinalOther
	case f.Finished && f.Header == h:
		return FinalRight
	}
	return FinalWrong
}

// PartState is the state of NAME.part, for the tree that h names. An empty
// directory, and one that the journal says is of h, are the same. Without a
// usable journal of a tree it is PartForeign: nothing says that malcolm made
// it.
func (f TreeFound) PartState(h Header) PartState {
	usable := f.Journal == JournalUsable && f.Header.IsTree()
	switch {
	case f.Part == None:
		return PartNone
	case f.Part != Directory:
		return PartOther
	case f.Empty || usable && f.Header == h:
		return PartSame
	case usable:
		return PartOtherChecksum
	}
	return PartForeign
}

// DecideTree is the table of what get does for a tree with what is already
// there:
//
//	final      part             no flag             -r             --force           -r --force
//	none       none             fetch               fetch          fetch             fetch
//	none       same             refuse (-r)         resume         start over        resume
//	none       other checksum   refuse (--force)    refuse         start over        start over
//	any        foreign          refuse: move away   the same       the same          the same
//	finished   none             refuse (repair)     already right  replace           already right
//	directory  any other        refuse (repair)     refuse         replace           replace, using the part
//
// A file or link under the final name or the part's is refused, and so is
// replacing a directory if NAME.replaced is taken, as replaced tells.
func DecideTree(final FinalState, part PartState, replaced Kind, resume, force bool) Decision {
	switch {
	case final == FinalOther || part == PartOther:
		return Decision{Action: Refuse, Hint: HintElsewhere}
	case final == FinalRight && resume:
		return Decision{Action: AlreadyRight}
	case final != FinalNone && !force:
		return Decision{Action: Refuse, Hint: HintRepair}
	case part == PartForeign:
		return Decision{Action: Refuse, Hint: HintMoveAway}
	case final != FinalNone && replaced != None:
		return Decision{Action: Refuse, Hint: HintReplaced}
	}
	return decidePart(part, resume, force)
}

// FinishTree finishes a run that was cut off when its directory already had its
// final name, as [TreeFound.Finished] tells: it makes that name durable, and
// removes the journal. With any other target it does nothing.
func FinishTree(fsys FS, name string) error {
	found, err := LookTree(fsys, name)
	if err != nil || !found.Finished {
		return err
	}
	if err := syncDir(fsys); err != nil {
		return err
	}
	if err := clearTreeScratch(fsys, name); err != nil {
		return err
	}
	return removeUnused(fsys, name, true)
}
