package transfer

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"malcolm/wire"
)

// A NameError says why a name that a server offers, or that the user chose, is
// not written to.
type NameError struct {
	Name    string // hostile when it was offered: quote it
	Problem string // "is empty", "contains a path separator", ...
	Chosen  bool   // the user chose it
}

func (e *NameError) Error() string {
	if e.Chosen {
		return "the name " + quote(e.Name) + " " + e.Problem
	}
	return "the servers offer the name " + quote(e.Name) + ", which " + e.Problem
}

const (
	partSuffix    = ".part"
	journalSuffix = ".part.journal"
)

// checkOffered applies the rules for names that come from a server: one plain
// file name that hides nothing and surprises nobody.
func checkOffered(name string) error {
	problem := nameProblem(name)
	switch {
	case problem != "":
	case strings.HasPrefix(name, "."):
		problem = "begins with a dot"
	case strings.HasPrefix(name, "-"):
		problem = "begins with a hyphen"
	}
	if problem != "" {
		return &NameError{Name: name, Problem: problem}
	}
	return nil
}

// CheckName applies the rules for a name that the user chose. The error is a
// [*NameError].
func CheckName(name string) error {
	if problem := nameProblem(name); problem != "" {
		return &NameError{Name: name, Problem: problem, Chosen: true}
	}
	return nil
}

func nameProblem(name string) string {
	switch {
	case name == "":
		return "is empty"
	case name == "." || name == "..":
		return "is a directory"
	case len(name) > wire.MaxNameLen:
		return "is longer than 230 bytes"
	case !utf8.ValidString(name):
		return "is not UTF-8"
	case strings.ContainsAny(name, `/\`):
		return "contains a path separator"
	case strings.ContainsFunc(name, hidden):
		return "contains a control character"
	case strings.HasSuffix(name, partSuffix), strings.HasSuffix(name, journalSuffix):
		return "ends as an unfinished download does"
	}
	return systemNameProblem(name)
}

// hidden reports whether a character does not show, or changes how others
// show: controls, and formats such as the bidirectional overrides.
func hidden(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}

// offerable returns the name that a server offers for its file: name itself,
// or nothing when the protocol cannot carry it.
func offerable(name string) string {
	if len(name) > wire.MaxNameLen || !utf8.ValidString(name) {
		return ""
	}
	return name
}
