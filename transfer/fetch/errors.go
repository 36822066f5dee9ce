package fetch

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"malcolm/certs"
	"malcolm/transfer/localfile"
	"malcolm/transfer/partfile"
	"malcolm/transfer/source"
	"malcolm/transfer/vote"
)

// A Kind is the class of a session's error, by what its user can do about it.
type Kind int

// The kinds of errors.
const (
	KindUnexpected Kind = iota
	KindIntegrity       // every server was refused for wrong bytes
	KindVote            // no majority, too few votes, nobody offers the checksum, or a file
	KindIdentity        // an identity was refused
	KindLocal           // a local file: full, exists, locked, no permission
	KindNetwork         // no server left, or none reached
	KindChanged         // the source changed during the transfer
)

// KindOf returns an error's kind.
func KindOf(err error) Kind {
	var left *NoServerLeftError
	if errors.As(err, &left) {
		return left.kind()
	}
	var nobody *NobodyAnsweredError
	var undecided *UndecidedError
	if errors.As(err, &nobody) && anyRefused(nobody.Servers) || errors.As(err, &undecided) && anyRefused(undecided.Servers) {
		return KindIdentity
	}
	for _, c := range kinds {
		if c.is(err) {
			return c.kind
		}
	}
	return KindUnexpected
}

var kinds = []struct {
	kind Kind
	is   func(error) bool
}{
	{KindIntegrity, as[*MismatchError]},
	{KindIntegrity, as[*FinishedError]},
	{KindIntegrity, as[*UnprovedError]},
	{KindVote, as[*NoProofError]},
	{KindIntegrity, as[*ListingError]},
	{KindChanged, as[*GoneError]},
	{KindIntegrity, as[*TreeMismatchError]},
	{KindVote, as[*TreeOfferedError]},
	{KindVote, as[*FileOfferedError]},
	{KindVote, as[*NotInTreeError]},
	{KindVote, as[*UndecidedError]},
	{KindNetwork, as[*NobodyAnsweredError]},
	{KindNetwork, as[*SilentError]},
	{KindLocal, as[*NameError]},
	{KindLocal, as[*TargetError]},
	{KindLocal, as[*LinksError]},
	{KindLocal, as[*DeleteError]},
	{KindLocal, as[*InTheWayError]},
	{KindLocal, as[*TooLargeError]},
	{KindLocal, as[*NotDirectoryError]},
	{KindLocal, as[*localfile.Error]},
	{KindLocal, as[*partfile.Error]},
	{KindLocal, as[*certs.KeyFileError]},
	{KindLocal, as[*certs.KnownFileError]},
	{KindLocal, as[*certs.StateError]},
	{KindLocal, as[*certs.TokenError]},
	{KindIdentity, as[*certs.TrustError]},
	{KindIdentity, source.IsRefused},
}

func anyRefused(servers []ServerReport) bool {
	return slices.ContainsFunc(servers, func(s ServerReport) bool { return s.State == StateRefused })
}

func as[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

// A NotDirectoryError says that the output is not a directory.
type NotDirectoryError struct {
	Path    string
	Missing bool // there is nothing of that name
}

func (e *NotDirectoryError) Error() string {
	if e.Missing {
		return fmt.Sprintf("the output directory %q does not exist", e.Path)
	}
	return fmt.Sprintf("the output %q is not a directory", e.Path)
}

// A TargetError says that something lies where the file is to be written, and
// that no flag says what to do with it.
type TargetError struct {
	Path  string // of what is in the way
	Tree  bool   // a directory is to be written
	Final partfile.FinalState
	Part  partfile.PartState
	// Unfinished is what the journal of the unfinished download names; zero
	// when there is no usable journal.
	Unfinished partfile.Header
	Hint       partfile.Hint
}

func (e *TargetError) Error() string {
	switch {
	case e.Tree && (e.Final == partfile.FinalOther || e.Part == partfile.PartOther):
		return fmt.Sprintf("%q is not a directory", e.Path)
	case e.Tree && e.Final != partfile.FinalNone:
		return fmt.Sprintf("%q exists", e.Path)
	case e.Final == partfile.FinalOther, e.Final == partfile.FinalNone && e.Part == partfile.PartOther:
		return fmt.Sprintf("%q is not a regular file", e.Path)
	case e.Final == partfile.FinalNone && e.Part == partfile.PartOtherChecksum:
		return fmt.Sprintf("%q is an unfinished download of another version", e.Path)
	case e.Final == partfile.FinalNone && e.Part == partfile.PartForeign:
		return fmt.Sprintf("%q is in the way: no journal says that malcolm made it", e.Path)
	case e.Final == partfile.FinalNone:
		return fmt.Sprintf("%q is an unfinished download", e.Path)
	case e.Final == partfile.FinalWrong:
		return fmt.Sprintf("%q exists and is another file", e.Path)
	}
	return fmt.Sprintf("%q exists", e.Path)
}

// A TooLargeError says that the file that was voted for is larger than the user
// allows.
type TooLargeError struct {
	Size, Max int64 // in bytes
	Tree      bool  // a directory: the size is that of all its files
}

func (e *TooLargeError) Error() string {
	if e.Tree {
		return fmt.Sprintf("the files of the directory have %d bytes, at most %d are allowed", e.Size, e.Max)
	}
	return fmt.Sprintf("the file has %d bytes, at most %d are allowed", e.Size, e.Max)
}

// A TreeOfferedError says that the servers agree on a directory, and the method
// copies only files.
type TreeOfferedError struct{ Name string }

func (e *TreeOfferedError) Error() string {
	return "the servers offer a directory, and not a file"
}

// A FileOfferedError says that the servers agree on a file, and a method needs
// a directory.
type FileOfferedError struct{ Name string }

func (e *FileOfferedError) Error() string {
	return "the servers offer a file, and not a directory"
}

// A ListingError says that the servers agree on a directory whose listing is
// refused.
type ListingError struct{ Err error }

func (e *ListingError) Error() string {
	return "the directory that the servers agree on is refused: " + e.Err.Error()
}

func (e *ListingError) Unwrap() error { return e.Err }

// A NobodyAnsweredError says that no server answered.
type NobodyAnsweredError struct {
	Servers []ServerReport // those that vote
	Mirrors int            // sources that never vote
}

func (e *NobodyAnsweredError) Error() string {
	if len(e.Servers) == 1 {
		return fmt.Sprintf("%s: %v", e.Servers[0].Target, e.Servers[0].Err)
	}
	for _, s := range e.Servers {
		if s.State != StateRefused {
			return fmt.Sprintf("none of %d servers answered", len(e.Servers))
		}
	}
	return fmt.Sprintf("none of %d servers is accepted", len(e.Servers))
}

// An UndecidedError says that the vote chose no file.
type UndecidedError struct {
	Targets []source.Target
	Result  vote.Result
	Quorum  int
	Servers []ServerReport
	Parts   Parts // on which paths directories differ
	Sizes   bool  // mirrors were to agree on a size, see [Whole]
}

func (e *UndecidedError) Error() string {
	switch e.Result.Reason {
	case vote.TooFewVotes:
		return fmt.Sprintf("the majority has only %d of the %d votes that --quorum asks for", e.Result.Groups[0].Votes, e.Quorum)
	case vote.ChecksumNotOffered:
		return "no server offers the checksum asked for"
	}
	if e.Sizes {
		return "no majority: the mirrors do not agree on a size"
	}
	return "no majority: the servers do not agree on one " + e.what()
}

// what is a noun for what was offered.
func (e *UndecidedError) what() string {
	file, dir := false, false
	for _, g := range e.Result.Groups {
		file, dir = file || !g.Tree, dir || g.Tree
	}
	switch {
	case !dir:
		return "file"
	case !file:
		return "directory"
	}
	return "file or directory"
}

// A SilentError says that the remaining servers have sent nothing for too long.
type SilentError struct {
	After   time.Duration
	Missing int64 // bytes
	Servers int   // that are left
}

func (e *SilentError) Error() string {
	if e.Servers == 1 {
		return fmt.Sprintf("the server has sent nothing for %v, %d bytes are missing", e.After, e.Missing)
	}
	return fmt.Sprintf("%d servers have sent nothing for %v, %d bytes are missing", e.Servers, e.After, e.Missing)
}

// A NoServerLeftError says that no server is left to send the rest.
type NoServerLeftError struct {
	Missing int64 // bytes
	Servers []ServerReport
}

func (e *NoServerLeftError) Error() string {
	return fmt.Sprintf("no server is left, %d bytes are missing", e.Missing)
}

// kind puts causes in the order of DESIGN. A server that was only lost may come
// back. If there is one, the network is to blame.
func (e *NoServerLeftError) kind() Kind {
	kind := KindIntegrity
	for _, s := range e.Servers {
		switch s.State {
		case StateLost:
			return KindNetwork
		case StateChanged:
			kind = KindChanged
		}
	}
	return kind
}
