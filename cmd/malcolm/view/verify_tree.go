package view

import (
	"fmt"

	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/fetch"
	"malcolm/transfer/tree"
)

// A differenceEvent is a path of a local directory that is not as the servers
// have it.
type differenceEvent struct {
	head
	jsonPath
	Change string `json:"change"`
}

// changeOf says in a word how a local entry differs from the servers'.
func changeOf(c tree.Change) string {
	switch c {
	case tree.Added:
		return "extra"
	case tree.Removed:
		return "missing"
	}
	return "wrong"
}

// unread is the change of what could not be compared.
const unread = "unread"

// Differences shows what VerifyTree found in the directory at a path: one
// difference a line, and whether it is right.
func Differences(on Printer, path string, r *fetch.VerifyTreeResult) {
	for i := range r.Differences {
		d := &r.Differences[i]
		difference(on, changeOf(d.Change), d.Path)
	}
	for _, left := range r.Unread.First {
		difference(on, unread, left.Path)
	}
	if more := r.Unread.Count - len(r.Unread.First); more > 0 {
		on.Say("%s cannot be compared either", human.Plural(more, "entry", "entries"))
	}
	right := len(r.Differences) == 0 && r.Unread.Count == 0
	on.Emit(verifiedEvent{
		head: is("verified"), Path: jsonText(path), Right: right, Bytes: r.Have.Bytes, TotalBytes: r.Want.Bytes,
		Checksum: human.Checksum(true, r.Listing),
	})
	if right {
		on.Result(fmt.Sprintf("%s: right, %s, %s", human.ShellQuote(path), totalsOf(r.Want), human.Checksum(true, r.Listing)))
	}
}

func difference(on Printer, change, path string) {
	on.Result(change + "\t" + human.ShellQuote(path))
	on.Emit(differenceEvent{head: is("difference"), jsonPath: pathOf(path), Change: change})
}

// mended says what a repair of a directory did.
func mended(r *fetch.RepairTreeResult) string {
	return fmt.Sprintf("%s replaced, %s made, %s removed", human.Comma(int64(r.Replaced)), human.Comma(int64(r.Made)), human.Comma(int64(r.Removed)))
}

// mostExtra bounds the paths that are named of what a directory has and the
// servers' has not.
const mostExtra = 10

// Extra warns of what a repaired directory has besides.
func Extra(on Printer, extra []string) {
	if len(extra) == 0 {
		return
	}
	text := ""
	for i, path := range extra[:min(len(extra), mostExtra)] {
		if i > 0 {
			text += ", "
		}
		text += human.Quote(path)
	}
	if more := len(extra) - mostExtra; more > 0 {
		text += fmt.Sprintf(", and %s more", human.Comma(int64(more)))
	}
	on.Warn("what the servers' directory does not have is left alone: %s", text)
	on.WarnHint("--delete removes it")
}
