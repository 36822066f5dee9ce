package view

import (
	"fmt"
	"strings"

	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/fetch"
	"malcolm/transfer/tree"
)

// How a path of a local directory differs from the servers'.
const (
	missing = "missing"
	extra   = "extra"
	differs = "differs"
	unread  = "unread" // it could not be compared
)

// A differsEvent is a path at which a local directory differs from the
// servers'.
type differsEvent struct {
	head
	jsonPath
	// How is missing, extra or unread. For an entry that is there and wrong
	// it is the first of kind, target, content and mode that is wrong.
	How string `json:"how"`
}

// howOf says in one word how a local entry differs from the servers': word for
// people, exact for programs.
func howOf(c tree.Change) (word, exact string) {
	switch {
	case c == tree.Added:
		return extra, extra
	case c == tree.Removed:
		return missing, missing
	case c&tree.Kind != 0:
		return differs, "kind"
	case c&tree.Target != 0:
		return differs, "target"
	case c&(tree.Size|tree.Checksum) != 0:
		return differs, "content"
	}
	return differs, "mode"
}

// Differences shows what VerifyTree found in the directory at a path: one
// difference a line, and whether it is right.
func Differences(on Printer, path string, r *fetch.VerifyTreeResult) {
	count := make(map[string]int)
	for i := range r.Differences {
		d := &r.Differences[i]
		word, exact := howOf(d.Change)
		count[word]++
		difference(on, word, exact, d.Path)
	}
	for _, left := range r.Unread.First {
		difference(on, unread, unread, left.Path)
	}
	if more := r.Unread.Count - len(r.Unread.First); more > 0 {
		on.Say("%s cannot be compared either", human.Plural(more, "entry", "entries"))
	}
	right := len(r.Differences) == 0 && r.Unread.Count == 0
	on.Emit(verifiedEvent{
		head: is("verified"), Path: jsonText(path), Right: right, Bytes: r.Have.Bytes, TotalBytes: r.Want.Bytes,
		Checksum: human.Checksum(true, r.Listing),
		Missing:  count[missing], Differs: count[differs], Extra: count[extra], Unread: r.Unread.Count,
	})
	if right {
		on.Result(fmt.Sprintf("%s: right, %s, %s", human.ShellQuote(path), totalsOf(r.Want), human.Checksum(true, r.Listing)))
	}
}

func difference(on Printer, word, exact, path string) {
	on.Result(word + "\t" + human.ShellQuote(path))
	on.Emit(differsEvent{head: is("differs"), jsonPath: pathOf(path), How: exact})
}

// mended tells how a run ended that has repaired a directory.
func (v *getText) mended(r *fetch.RepairTreeResult) {
	for _, path := range r.Extra[:min(len(r.Extra), mostExtra)] {
		v.Say("extra: %s", human.ShellQuote(path))
	}
	if more := len(r.Extra) - mostExtra; more > 0 {
		v.Say("extra: %s more", human.Comma(int64(more)))
	}
	line := human.ShellQuote(r.Path) + ": "
	if r.AlreadyRight {
		line += "right" + leftAlone(r) + ", " + proofOf(r.Tree.Voted, r.Checksum)
	} else {
		line += doneIn(r) + leftAlone(r) + fmt.Sprintf(", in %s, %s, from %s",
			human.Duration(r.Elapsed), proofOf(r.Tree.Voted, r.Checksum), sources(r.Servers))
	}
	v.lacked(r.Servers)
	v.Say("%s", v.Green(line))
	v.Result(r.Path)
}

// mostExtra bounds how many paths are named that a directory has and the
// servers' directory does not.
const mostExtra = 10

// doneIn says what a repair has changed: "3 replaced, 1 made, 2 removed".
func doneIn(r *fetch.RepairTreeResult) string {
	var parts []string
	for _, done := range []struct {
		n    int
		what string
	}{{r.Replaced, "replaced"}, {r.Made, "made"}, {r.Removed, "removed"}} {
		if done.n > 0 {
			parts = append(parts, human.Comma(int64(done.n))+" "+done.what)
		}
	}
	return strings.Join(parts, ", ")
}

// leftAlone says what a repair has not removed.
func leftAlone(r *fetch.RepairTreeResult) string {
	n := len(r.Extra)
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("; %s extra left alone: --delete removes %s", human.Comma(int64(n)), map[bool]string{true: "it", false: "them"}[n == 1])
}
