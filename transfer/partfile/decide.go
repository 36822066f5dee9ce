package partfile

// FinalState is what lies under the final name, compared with the file to be
// fetched.
type FinalState int

// States of the final name.
const (
	FinalNone   FinalState = iota
	FinalUnread            // a regular file of the right size that was not hashed
	FinalRight             // a regular file of the right size and BLAKE3
	FinalWrong             // any other regular file
	FinalOther             // a directory, a symbolic link, a FIFO, a device, ...
)

// PartState is what lies under the part file's name.
type PartState int

// States of the part file.
const (
	PartNone          PartState = iota
	PartSame                    // of the checksum to be fetched, as far as anybody knows
	PartOtherChecksum           // its journal names another checksum
	PartOther                   // no regular file
	PartForeign                 // without a usable journal: nothing says that malcolm made it
)

// Action is what get does with what it found.
type Action int

// Actions. Open takes the first four.
const (
	Fetch        Action = iota // create the part file, which must not exist
	Resume                     // keep the right chunks of the part file
	ResumeOwn                  // the same, if the journal says that malcolm made it for this file
	StartOver                  // empty the part file first
	AlreadyRight               // say so, print the path, exit 0
	Refuse                     // exit 6, nothing touched
)

// Hint says which advice fits a refusal.
type Hint int

// Hints.
const (
	HintNone      Hint = iota
	HintResume         // -r continues the part file, --force starts over
	HintCheck          // -r accepts the file if it is the right one, --force replaces it
	HintForce          // --force starts over, or replaces the file
	HintElsewhere      // no flag helps, only another directory or name (-o DIR, --name NAME)
	HintMoveAway       // neither a flag nor another name helps: the part file must be moved away
	HintRepair         // malcolm repair brings a directory that is there to what the majority holds
	HintReplaced       // the directory that an earlier run replaced must be moved away
)

// Decision is what to do, by the flags as they are.
type Decision struct {
	Action  Action
	Replace bool // the commit may replace a file under the final name, even one that appears meanwhile
	Hint    Hint // HintNone unless Action is Refuse
}

// NeedsHash reports whether the file under the final name must be hashed before
// Decide. Only -r asks whether it is right, and only a regular file of the
// right size can be.
func NeedsHash(final FinalState, resume bool) bool {
	return resume && final == FinalUnread
}

// Decide is the table of what get does with files that are already there:
//
//	final    part             no flag         -r              --force      -r --force
//	none     none             fetch           fetch           fetch        fetch
//	none     same             refuse (-r)     resume          start over   resume
//	none     other checksum   refuse          refuse          start over   start over
//	right    any              refuse          already right   replace      already right
//	wrong    any              refuse          refuse          replace      replace, using the part
//
// If either is no regular file it refuses. "Replace" starts the part file over
// if there is one; "using the part" resumes it if it is of the same checksum.
// Replace is set with --force wherever something is fetched. Decide panics if
// NeedsHash was true and nobody hashed.
func Decide(final FinalState, part PartState, resume, force bool) Decision {
	if final == FinalOther || part == PartOther {
		return Decision{Action: Refuse, Hint: HintElsewhere}
	}
	if NeedsHash(final, resume) {
		panic("malcolm: internal error: decision about a file that was not hashed")
	}
	switch {
	case final == FinalRight && resume:
		return Decision{Action: AlreadyRight}
	case final != FinalNone && !force && resume:
		return Decision{Action: Refuse, Hint: HintForce}
	case final != FinalNone && !force:
		return Decision{Action: Refuse, Hint: HintCheck}
	}
	return decidePart(part, resume, force)
}

// decidePart decides where nothing but the part stands in the way.
func decidePart(part PartState, resume, force bool) Decision {
	switch {
	case part == PartNone:
		return Decision{Action: Fetch, Replace: force}
	case part == PartSame && resume:
		return Decision{Action: Resume, Replace: force}
	case force:
		return Decision{Action: StartOver, Replace: true}
	case part == PartSame:
		return Decision{Action: Refuse, Hint: HintResume}
	}
	return Decision{Action: Refuse, Hint: HintForce}
}

// DecideRepair is the table of what repair does with a part file that is
// already there:
//
//	none             fetch
//	same             resume
//	anything else    refuse
//
// It replaces the file that it repairs. Nobody asked it to take what another
// program may have made.
func DecideRepair(part PartState) Decision {
	switch part {
	case PartNone:
		return Decision{Action: Fetch, Replace: true}
	case PartSame:
		return Decision{Action: ResumeOwn, Replace: true}
	}
	return Decision{Action: Refuse, Hint: HintMoveAway}
}
