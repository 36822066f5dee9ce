package manual

import (
	"fmt"
	"strings"
)

// fill is the width of the sources of man pages, in bytes.
const fill = 78

// Mdoc returns blocks in mdoc, the language of man pages. Headings become
// subsections.
func Mdoc(blocks []Block) string {
	var b strings.Builder
	open := false // something stands above, in this section
	for _, block := range blocks {
		if open && (block.Kind == Paragraph || block.Kind == Table && len(block.Rows[0]) > 2) {
			b.WriteString(".Pp\n")
		}
		open = block.Kind != Heading
		switch block.Kind {
		case Heading:
			b.WriteString(".Ss " + Arg(plain(block.Lines[0])) + "\n")
		case Paragraph:
			b.WriteString(Prose(block.Lines[0]))
		case Code:
			b.WriteString(literal(block.Lines))
		case Bullets:
			b.WriteString(listMdoc("-bullet", block.Lines))
		case Numbered:
			b.WriteString(listMdoc("-enum", block.Lines))
		case Table:
			b.WriteString(tableMdoc(block.Rows))
		}
	}
	return b.String()
}

func listMdoc(kind string, items []string) string {
	var b strings.Builder
	b.WriteString(".Bl " + kind + "\n")
	for _, text := range items {
		b.WriteString(".It\n" + Prose(text))
	}
	return b.String() + ".El\n"
}

// tableMdoc writes a table of two columns as a list, and a wider one for tbl.
func tableMdoc(rows [][]string) string {
	var b strings.Builder
	if len(rows[0]) == 2 {
		b.WriteString(".Bl -tag -width Ds\n")
		for _, row := range rows[1:] {
			if row[1] == "" {
				row = []string{row[0], "-"}
			}
			b.WriteString(".It " + Arg(plain(row[0])) + "\n" + Prose(row[1]))
		}
		return b.String() + ".El\n"
	}
	b.WriteString(".TS\n")
	for _, font := range []string{"lb", "l"} {
		format := strings.TrimSpace(strings.Repeat(font+"x ", len(rows[0])))
		b.WriteString(format)
		if font == "l" {
			b.WriteString(".")
		}
		b.WriteString("\n")
	}
	for _, row := range rows {
		var texts []string
		for _, cell := range row {
			texts = append(texts, "T{\n"+Prose(cell)+"T}")
		}
		b.WriteString(strings.Join(texts, "\t") + "\n")
	}
	return b.String() + ".TE\n"
}

// literal shows lines as they are.
func literal(lines []string) string {
	var b strings.Builder
	b.WriteString(".Bd -literal -offset indent\n")
	for _, line := range lines {
		text := escape(line, true)
		for len(text) > fill {
			cut := strings.LastIndexByte(text[:fill], ' ')
			if cut <= 0 {
				break
			}
			b.WriteString(guarded(text[:cut+1]) + "\\c\n") // the line goes on
			text = text[cut+1:]
		}
		b.WriteString(guarded(text) + "\n")
	}
	return b.String() + ".Ed\n"
}

// Prose returns a line of the manual as text: filled, with each sentence on a
// line of its own, as mandoc wants it.
func Prose(line string) string {
	var text strings.Builder
	for _, s := range spans(line) {
		t := escape(s.text, s.code)
		if s.code || s.bold {
			t = `\fB` + t + `\fP`
		}
		text.WriteString(t)
	}
	var b strings.Builder
	out := ""
	flush := func() {
		if out != "" {
			b.WriteString(guarded(out) + "\n")
		}
		out = ""
	}
	for _, word := range strings.Fields(text.String()) {
		if out != "" && len(out)+1+len(word) > fill {
			flush()
		}
		if out != "" {
			out += " "
		}
		out += word
		if endsSentence(word) {
			flush()
		}
	}
	flush()
	return b.String()
}

// endsSentence reports whether a word ends a sentence. Quotes and brackets may
// follow its full stop.
func endsSentence(word string) bool {
	word = strings.TrimRight(strings.ReplaceAll(word, `\fP`, ""), `)"]`)
	return word != "" && strings.ContainsRune(".!?", rune(word[len(word)-1]))
}

// guarded keeps a line of text from being taken as a request.
func guarded(line string) string {
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		return `\&` + line
	}
	return line
}

var (
	always = strings.NewReplacer(`\`, `\e`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`)
	exact  = strings.NewReplacer(`\`, `\e`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, "-", `\-`, "'", `\(aq`)
)

// escape returns text as roff shows it. In code each character is the one that
// can be pasted: a hyphen is a minus. In prose this holds for flags.
func escape(text string, code bool) string {
	if code {
		return exact.Replace(text)
	}
	words := strings.Split(always.Replace(text), " ")
	for i, word := range words {
		if bare := strings.TrimLeft(word, "(,"); strings.HasPrefix(bare, "-") && len(bare) > 1 {
			words[i] = strings.ReplaceAll(word, "-", `\-`)
		}
	}
	return strings.Join(words, " ")
}

// Arg returns text as one argument of a macro, which is never another macro.
func Arg(text string) string {
	text = strings.ReplaceAll(exact.Replace(text), `"`, `\(dq`)
	return fmt.Sprintf(`"\&%s"`, text)
}
