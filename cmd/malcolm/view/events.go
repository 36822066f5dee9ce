package view

import (
	"fmt"
	"strings"
	"time"

	"malcolm/certs"
	"malcolm/cmd/malcolm/human"
	"malcolm/cmd/malcolm/spool"
)

// A Failure says how a run went wrong.
type Failure struct {
	Exit    int    // code
	Kind    string // the code as a word
	Message string
	Hints   []string
	Path    string // of a file that is there all the same; else empty
}

// Event is the last event of the run, "error".
func (f Failure) Event() Event {
	return errorEvent{
		head: is("error"), Exit: f.Exit, Kind: f.Kind, Message: jsonText(f.Message),
		Hint: jsonText(strings.Join(f.Hints, "\n")), Path: jsonText(f.Path),
	}
}

// Dropped is the event that stands for missing events.
func Dropped(g spool.Gap) Event {
	return droppedEvent{head: is("dropped"), Events: g.Events, Reports: g.Reports}
}

// Compared is demo's event that says whether the copy of size bytes is the
// same.
func Compared(size int64, same bool) Event {
	return comparedEvent{head: is("compared"), Bytes: size, Same: same}
}

// Hashed shows whether a file of size bytes has the checksum that was asked
// for.
func Hashed(on Printer, path string, size int64, checksum [32]byte, right bool) {
	on.Emit(verifiedEvent{
		head: is("verified"), Path: jsonText(path), Right: right, Bytes: size, TotalBytes: size, Checksum: human.Hex(checksum),
	})
	if right {
		Right(on, path, size, checksum)
	}
}

// Right shows that a file is the right one.
func Right(on Printer, path string, size int64, checksum [32]byte) {
	on.Result(fmt.Sprintf("%s: right, %s, BLAKE3 %s", human.ShellQuote(path), human.Bytes(size), human.Hex(checksum)))
}

// Known shows a remembered server.
func Known(on Printer, s certs.KnownServer) {
	seen := s.FirstSeen.Format(time.RFC3339)
	on.Result(fmt.Sprintf("%s\t%s\t%s", s.Address(), s.ID, seen))
	on.Emit(knownServerEvent{head: is("known_server"), Address: jsonText(s.Address()), ID: idOf(s.ID), FirstSeen: seen})
}

// Forgotten shows that n servers with the name server are forgotten.
func Forgotten(on Printer, server string, n int) {
	on.Emit(forgottenEvent{head: is("forgotten"), Server: jsonText(server), Count: n})
	if n == 0 {
		on.Warn("%s is not among the known servers", human.Quote(server))
	} else {
		on.Say("%s: %s forgotten", human.Quote(server), human.Plural(n, "server", "servers"))
	}
}
