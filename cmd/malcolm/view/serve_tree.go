package view

import (
	"fmt"
	"strings"

	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/scan"
	"malcolm/transfer/serve"
)

// readyText says what is offered.
func readyText(e serve.Ready) string {
	if e.Tree != nil {
		return fmt.Sprintf("%s, %s", totalsOf(*e.Tree), human.Checksum(true, e.Checksum))
	}
	return fmt.Sprintf("%s, BLAKE3 %s", human.Bytes(e.Size), human.Hex(e.Checksum))
}

// furtherNames says how many files of a directory are other files once more.
func furtherNames(n int) string {
	return human.Plural(n, "file is a further name of another one", "files are further names of others")
}

// hashedFiles says how many files of a directory are hashed; "" for a file.
func hashedFiles(s serve.Status) string {
	if s.TotalFiles == 0 {
		return ""
	}
	return fmt.Sprintf(", %s of %s", human.Comma(s.Files), human.Plural(int(s.TotalFiles), "file", "files"))
}

// whyLeft says why something is left out of a directory.
func whyLeft(l scan.Left) string {
	switch l.Reason {
	case scan.BadLink, scan.BadPath:
		return l.Detail
	case scan.Special:
		return "a socket, a device or a pipe"
	case scan.TooLarge:
		return "larger than 16 TiB"
	case scan.Changing:
		return "it changes while it is hashed"
	case scan.SizeLies:
		return "it has another size than the system says"
	}
	if l.Err != nil {
		return "it cannot be read: " + l.Err.Error()
	}
	return "it cannot be read"
}

// LeftOut names what is left out of a directory, at most three of it.
func LeftOut(l scan.LeftOut) string {
	const most = 3
	var list []string
	for _, one := range l.First[:min(len(l.First), most)] {
		list = append(list, human.Quote(one.Path)+" ("+whyLeft(one)+")")
	}
	if more := l.Count - len(list); more > 0 {
		list = append(list, human.Comma(int64(more))+" more")
	}
	return strings.Join(list, ", ")
}

// leftOut says what is not offered of a directory.
func (v *serveText) leftOut(e serve.LeftOut) {
	if e.Count == 0 {
		v.Say("nothing is left out any more")
		return
	}
	warnLeft(v, scan.LeftOut(e))
}

func warnLeft(on Printer, l scan.LeftOut) {
	for _, left := range l.First {
		on.Warn("%s is left out: %s", human.Quote(left.Path), whyLeft(left))
	}
	if more := l.Count - len(l.First); more > 0 {
		on.Warn("%s more are left out", human.Comma(int64(more)))
	}
}

// A leftOutEvent says what is not offered of a directory.
type leftOutEvent struct {
	head
	Count int         `json:"count"`
	First []leftEntry `json:"first"`
}

type leftEntry struct {
	jsonPath
	Reason string `json:"reason"`
}

func (s *serveJSON) leftOut(e serve.LeftOut) { s.out.Emit(leftOf(scan.LeftOut(e))) }

func leftOf(l scan.LeftOut) leftOutEvent {
	e := leftOutEvent{head: is("left_out"), Count: l.Count, First: []leftEntry{}}
	for _, left := range l.First {
		e.First = append(e.First, leftEntry{pathOf(left.Path), jsonText(whyLeft(left))})
	}
	return e
}
