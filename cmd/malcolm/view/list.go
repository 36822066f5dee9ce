package view

import (
	"fmt"

	"malcolm/cmd/malcolm/human"
	"malcolm/wire"
)

// An entryEvent is one entry of a directory: of info --list, get --dry-run.
type entryEvent struct {
	head
	Kind string `json:"kind"`
	jsonPath
	Bytes    int64  `json:"bytes"`
	Checksum string `json:"checksum"` // of a file; else empty
	Target   string `json:"target"`   // of a link; else empty
	// RawTarget is the target in base64 if it is not UTF-8; else empty.
	RawTarget string `json:"raw_target"`
}

// entryKinds are the kinds of entries in events.
var entryKinds = map[wire.EntryKind]string{
	wire.EntryFile: "file", wire.EntryExecutable: "executable", wire.EntryDirectory: "directory", wire.EntryLink: "link",
}

// Entries shows the entries of a directory, one a line: size in bytes, a tab,
// and the path; that of an empty directory ends in a slash, that of a link in
// its target.
func Entries(on Printer, entries []wire.Entry) {
	for i := range entries {
		on.Result(entryLine(&entries[i]))
		on.Emit(entryOf(&entries[i]))
	}
}

func entryLine(e *wire.Entry) string {
	line := fmt.Sprintf("%d\t%s", e.Size, human.ShellQuote(e.Path))
	switch e.Kind {
	case wire.EntryDirectory:
		line += "/"
	case wire.EntryLink:
		line += " -> " + human.ShellQuote(e.Target)
	}
	return line
}

func entryOf(e *wire.Entry) entryEvent {
	target := pathOf(e.Target)
	event := entryEvent{
		head: is("entry"), Kind: entryKinds[e.Kind], jsonPath: pathOf(e.Path), Bytes: e.Size,
		Target: target.Path, RawTarget: target.Raw,
	}
	if e.IsFile() {
		event.Checksum = human.Hex(e.Checksum)
	}
	return event
}
