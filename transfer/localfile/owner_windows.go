package localfile

import "io/fs"

const (
	openNonblock = 0
	openNoFollow = 0
)

// An owner tells users of the system apart; here all are one.
type owner struct{}

func ownerOf(fs.FileInfo) owner { return owner{} }
