// Package manual reads the manual, which is written in Markdown, and writes
// parts of it for terminals and as pages for man. So one wording stands for the
// manual, help and man pages.
//
// It reads what the manual uses: headings, paragraphs, tables, lists, fenced
// code; in a line code, bold words and links. What stands between the comments
// "flags of NAME" and "/flags" is left out: help and man pages have the flags
// from the parser.
package manual

import (
	"regexp"
	"strings"
)

// A Kind is what a block is.
type Kind int

// The kinds of blocks.
const (
	Paragraph Kind = iota
	Heading
	Table
	Bullets
	Numbered
	Code
)

// A Block is a part of the manual. Lines are what it consists of: of code its
// lines, of a list its items; else one line.
type Block struct {
	Kind  Kind
	Level int // of a heading: 1 is the manual's own
	Lines []string
	Rows  [][]string // of a table: the cells; the first row names the columns
}

// Parse returns the blocks of a text in Markdown.
func Parse(markdown string) (blocks []Block) {
	r := &reader{lines: strings.Split(markdown, "\n")}
	for len(r.lines) > 0 {
		if b, ok := r.block(); ok {
			blocks = append(blocks, b)
		}
	}
	return blocks
}

// Section returns what stands beneath a heading, up to the next one that is not
// deeper; nothing if there is no such heading.
func Section(blocks []Block, title string) []Block {
	for i, b := range blocks {
		if b.Kind != Heading || b.Lines[0] != title {
			continue
		}
		end := i + 1
		for end < len(blocks) && (blocks[end].Kind != Heading || blocks[end].Level > b.Level) {
			end++
		}
		return blocks[i+1 : end]
	}
	return nil
}

// A reader takes blocks from the front of lines.
type reader struct{ lines []string }

var (
	heading = regexp.MustCompile(`^(#+) (.*)$`)
	item    = regexp.MustCompile(`^(?:- |[0-9]+\. )(.*)$`)
	rule    = regexp.MustCompile(`^\|(?: *:?-+:? *\|)+$`)
)

// block takes the next block. It is false for an empty line and a
// comment.
func (r *reader) block() (Block, bool) {
	line := r.next()
	switch {
	case strings.TrimSpace(line) == "":
		return Block{}, false
	case strings.HasPrefix(line, "<!-- flags of "):
		r.takeUntil("<!-- /flags -->")
		return Block{}, false
	case strings.HasPrefix(line, "<!--"):
		return Block{}, false
	case strings.HasPrefix(line, "```"):
		return Block{Kind: Code, Lines: r.takeUntil("```")}, true
	case strings.HasPrefix(line, "|"):
		return r.table(line), true
	case item.MatchString(line):
		return r.list(line), true
	}
	if m := heading.FindStringSubmatch(line); m != nil {
		return Block{Kind: Heading, Level: len(m[1]), Lines: []string{m[2]}}, true
	}
	return Block{Kind: Paragraph, Lines: []string{r.joined(line)}}, true
}

func (r *reader) next() string {
	line := r.lines[0]
	r.lines = r.lines[1:]
	return line
}

// takeUntil takes the lines before one that is end, and that one too.
func (r *reader) takeUntil(end string) (lines []string) {
	for len(r.lines) > 0 {
		line := r.next()
		if line == end {
			break
		}
		lines = append(lines, line)
	}
	return lines
}

// joined returns a line with those that continue it.
func (r *reader) joined(line string) string {
	for len(r.lines) > 0 && !begins(r.lines[0]) {
		line += " " + strings.TrimSpace(r.next())
	}
	return line
}

// begins reports whether a line ends the block before it.
func begins(line string) bool {
	if strings.TrimSpace(line) == "" || item.MatchString(line) || heading.MatchString(line) {
		return true
	}
	return strings.HasPrefix(line, "|") || strings.HasPrefix(line, "```") || strings.HasPrefix(line, "<!--")
}

func (r *reader) list(line string) Block {
	b := Block{Kind: Bullets}
	if line[0] != '-' {
		b.Kind = Numbered
	}
	for {
		b.Lines = append(b.Lines, r.joined(item.FindStringSubmatch(line)[1]))
		if len(r.lines) == 0 || !item.MatchString(r.lines[0]) {
			return b
		}
		line = r.next()
	}
}

func (r *reader) table(line string) Block {
	b := Block{Kind: Table}
	for {
		if !rule.MatchString(line) {
			b.Rows = append(b.Rows, cells(line))
		}
		if len(r.lines) == 0 || !strings.HasPrefix(r.lines[0], "|") {
			return b
		}
		line = r.next()
	}
}

// cells returns the cells of a table's row. In a cell \| is a bar.
func cells(row string) (texts []string) {
	const bar = "\x00"
	row = strings.Trim(strings.ReplaceAll(row, `\|`, bar), "|")
	for _, cell := range strings.Split(row, "|") {
		texts = append(texts, strings.ReplaceAll(strings.TrimSpace(cell), bar, "|"))
	}
	return texts
}

// A span is a piece of a line.
type span struct {
	text string
	bold bool
	code bool
}

var inline = regexp.MustCompile("`([^`]+)`" + `|\*\*([^*]+)\*\*|\[([^\]]+)\]\([^)]*\)`)

// spans returns the pieces of a line. The targets of links are left out.
func spans(line string) (all []span) {
	at := 0
	for _, m := range inline.FindAllStringSubmatchIndex(line, -1) {
		if m[0] > at {
			all = append(all, span{text: line[at:m[0]]})
		}
		switch {
		case m[2] >= 0:
			all = append(all, span{text: line[m[2]:m[3]], code: true})
		case m[4] >= 0:
			all = append(all, bolder(spans(line[m[4]:m[5]]))...)
		default:
			all = append(all, spans(line[m[6]:m[7]])...)
		}
		at = m[1]
	}
	if at < len(line) {
		all = append(all, span{text: line[at:]})
	}
	return all
}

func bolder(all []span) []span {
	for i := range all {
		all[i].bold = true
	}
	return all
}

// plain is a line without its marks.
func plain(line string) string {
	var b strings.Builder
	for _, s := range spans(line) {
		b.WriteString(s.text)
	}
	return b.String()
}
