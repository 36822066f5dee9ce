package view

import (
	"strings"
	"unicode/utf8"

	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/fetch"
)

// Sums writes the checksums of what a run has copied, for b3sum --check in the
// output directory. left is the number of files whose names it cannot read:
// they are not UTF-8.
func Sums(r *fetch.Result) (text string, left int) {
	var b strings.Builder
	if !r.Tree.Listed {
		return sumLine(r.Name, r.Checksum), 0
	}
	for i := range r.Tree.Entries {
		e := &r.Tree.Entries[i]
		switch {
		case !e.IsFile():
		case !utf8.ValidString(e.Path) || strings.ContainsRune(e.Path, utf8.RuneError):
			left++
		default:
			b.WriteString(sumLine(r.Name+"/"+e.Path, e.Checksum))
		}
	}
	return b.String(), left
}

var sumEscapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`)

// sumLine is a line as b3sum writes it: a backslash in front says that there
// are escapes in the name.
func sumLine(name string, checksum [32]byte) string {
	escaped := sumEscapes.Replace(name)
	line := human.Hex(checksum) + "  " + escaped + "\n"
	if escaped != name {
		return `\` + line
	}
	return line
}
