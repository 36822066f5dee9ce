package localfile

import (
	"errors"
	"fmt"

	"malcolm/transfer/partfile"
)

// An Error says which operation on a local file failed.
type Error struct {
	Op   string // "open", "read", "hash"
	Path string // "": not about one file
	Err  error
}

func (e *Error) Error() string {
	if e.Path == "" {
		return e.Op + ": " + e.Err.Error()
	}
	return fmt.Sprintf("%s %q: %v", e.Op, e.Path, partfile.Bare(e.Err))
}

func (e *Error) Unwrap() error { return e.Err }

// Why a file cannot be used, as the Err of an [Error].
var (
	ErrDirectory  = errors.New("is a directory; malcolm offers one regular file")
	ErrNotRegular = errors.New("is not a regular file")
	ErrTooLarge   = errors.New("is larger than 16 TiB") // more bytes than the protocol can offer
)

// A TakeoverError says that the file under the name of an [Offered] must not be
// offered.
type TakeoverError struct{ what string }

func (e *TakeoverError) Error() string { return e.what }

var (
	errBecameLink = &TakeoverError{"has become a symbolic link: it is not offered, since it may lead anywhere"}
	errOtherOwner = &TakeoverError{"belongs to another user now: it is not offered"}
)
