package fetch

import (
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"malcolm/transfer/partfile"
	"malcolm/wire"
)

// A NameError says why nothing is written to a name that a server offers or the
// user chose.
type NameError struct {
	Name    string // hostile if a server offered it: quote it
	Problem string // "is empty", "contains a path separator", ...
	Chosen  bool   // the user chose it
	Given   bool   // a Metalink gives it
}

func (e *NameError) Error() string {
	if e.Chosen {
		return "the name " + quote(e.Name) + " " + e.Problem
	}
	if e.Given {
		return "the Metalink gives the name " + quote(e.Name) + ", which " + e.Problem
	}
	return "the servers offer the name " + quote(e.Name) + ", which " + e.Problem
}

// checkOffered applies the rules for a server's name: one plain file name that
// hides nothing and surprises nobody.
func checkOffered(name string) error {
	if problem := offeredProblem(name); problem != "" {
		return &NameError{Name: name, Problem: problem}
	}
	return nil
}

// CheckGiven applies the rules for a server's name to one that a Metalink
// gives, which may come from anybody.
func CheckGiven(name string) error {
	if problem := offeredProblem(name); problem != "" {
		return &NameError{Name: name, Problem: problem, Given: true}
	}
	return nil
}

// CheckName applies the rules for a name that the user chose. It refuses only
// what the system or the part file cannot have. The error is a [*NameError].
func CheckName(name string) error {
	if problem := chosenProblem(name); problem != "" {
		return &NameError{Name: name, Problem: problem, Chosen: true}
	}
	return nil
}

func offeredProblem(name string) string {
	switch problem := chosenProblem(name); {
	case strings.ContainsFunc(name, hidden):
		return "contains a character that hides, or that changes how others show"
	case problem != "":
		return problem
	case len(name) > wire.MaxNameLen:
		return "is longer than 230 bytes"
	case !utf8.ValidString(name):
		return "is not UTF-8"
	case strings.Trim(name, joiners+" ") == "":
		return "does not show"
	case strings.HasPrefix(name, "."):
		return "begins with a dot"
	case strings.HasPrefix(name, "-"):
		return "begins with a hyphen"
	}
	return ""
}

func chosenProblem(name string) string {
	switch {
	case name == "":
		return "is empty"
	case name == "." || name == "..":
		return "is a directory"
	case strings.ContainsRune(name, '/'), strings.ContainsRune(name, os.PathSeparator):
		return "contains a path separator"
	case strings.ContainsRune(name, 0):
		return "contains a zero byte, which no file name can have"
	case partfile.IsReserved(name):
		return "ends as an unfinished download does"
	}
	return systemNameProblem(name)
}

// joiners are invisible but belong to the spelling of names: the non-joiner of
// Persian, the joiner of emoji and of Indian scripts, the soft hyphen.
const joiners = "\u200c\u200d\u00ad"

// hidden reports whether a character is invisible or changes how others show:
// controls, line separators, and formats such as the bidirectional overrides,
// but not formats that are spelling.
func hidden(r rune) bool {
	if unicode.Is(unicode.Cf, r) {
		return !strings.ContainsRune(joiners, r) && !unicode.Is(unicode.Prepended_Concatenation_Mark, r)
	}
	return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp)
}
