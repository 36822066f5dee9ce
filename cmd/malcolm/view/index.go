package view

import (
	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/beside"
	"malcolm/transfer/scan"
)

// An Index is the result of the command index.
type Index struct {
	Path string // of the file or directory
	Made *beside.Made
	// Values is the path of the file of values, Metalink that of the
	// Metalink; empty: it has no path, or was not asked for.
	Values, Metalink Written
}

// A Written is a file that was to be written.
type Written struct {
	Path      string
	Unchanged bool // it was there, and the same
}

// An indexedEvent is the event of index.
type indexedEvent struct {
	head
	Path     string `json:"path"`
	Kind     string `json:"kind"`     // file, tree
	Bytes    int64  `json:"bytes"`    // of the file, or of all files
	Checksum string `json:"checksum"` // of the file or tree
	SHA256   string `json:"sha256"`   // of a file with a Metalink; else empty
	Values   string `json:"values"`   // where the values are; empty: on stdout, without --json
	Metalink string `json:"metalink"` // where the Metalink is; empty: not asked for
	// Unchanged says that what an earlier run wrote is still right.
	Unchanged bool `json:"unchanged"`
}

// Indexed shows the end of index: for each file that is there a line with the
// checksum and the path.
func Indexed(on Printer, i Index) {
	if i.Made.Unkept != nil {
		on.Warn("the index is not kept for the next time: %s", i.Made.Unkept.Error())
	}
	isTree := i.Made.Snapshot != nil
	e := indexedEvent{
		head: is("indexed"), Path: jsonText(i.Path), Kind: jsonKind(isTree), Bytes: i.Made.Offer.Size,
		Checksum: human.Checksum(isTree, i.Made.Offer.Checksum), Values: jsonText(i.Values.Path), Metalink: jsonText(i.Metalink.Path),
		Unchanged: i.Values.Unchanged && (i.Metalink.Path == "" || i.Metalink.Unchanged),
	}
	if isTree {
		left(on, i.Made.Snapshot.LeftOut())
		e.Bytes = i.Made.Snapshot.Totals().Bytes
		on.Say("%s: %s", human.ShellQuote(i.Path), totalsOf(i.Made.Snapshot.Totals()))
	} else {
		for file := range i.Made.Files() {
			if file.SHA256 != nil {
				e.SHA256 = human.Hex(*file.SHA256)
			}
		}
		on.Say("%s: %s", human.ShellQuote(i.Path), human.Bytes(i.Made.Offer.Size))
	}
	on.Emit(e)
	for _, w := range []Written{i.Values, i.Metalink} {
		if w.Path == "" {
			continue
		}
		if w.Unchanged {
			on.Say("%s is unchanged", human.ShellQuote(w.Path))
		}
		on.Result(e.Checksum + "  " + human.ShellQuote(w.Path))
	}
}

// left says what is not in the index of a directory.
func left(on Printer, l scan.LeftOut) {
	if l.Count > 0 {
		warnLeft(on, l)
		on.Emit(leftOf(l))
	}
}
