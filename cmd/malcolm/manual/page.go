package manual

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// A Chapter is a part of the manual with the title that a page gives it.
type Chapter struct {
	Title  string
	Blocks []Block
}

// A Page says what a man page has beyond the parser's model.
type Page struct {
	Date     time.Time
	About    []Block   // what the manual says of the command
	Chapters []Chapter // of the program's page: behind the description
	Standard []Chapter // ENVIRONMENT, EXIT STATUS: in the order of mdoc(7)
	SeeAlso  []string  // names of pages, of section 1
}

// PageName is the name of a command's page: malcolm-get.
func PageName(command *kong.Node) string {
	return strings.ReplaceAll(command.FullPath(), " ", "-")
}

// Mdoc returns the page of a command, with those beneath it, or of the program.
func (p *Page) Mdoc(command *kong.Node) string {
	var b strings.Builder
	name := PageName(command)
	fmt.Fprintf(&b, "'\\\" t\n.Dd %s\n.Dt %s 1\n.Os\n", p.Date.UTC().Format("January 2, 2006"), strings.ToUpper(name))
	help, examples := detailOf(command)
	summary := command.Help
	if command.Parent == nil {
		summary, help, examples = programHelp(command.Help)
	}
	fmt.Fprintf(&b, ".Sh NAME\n.Nm %s\n.Nd %s\n.Sh SYNOPSIS\n", name, Arg(strings.TrimSuffix(summary, ".")))
	leaves := []*kong.Node{command}
	if command.Parent != nil && len(command.Children) > 0 {
		leaves = command.Children
	}
	for _, leaf := range leaves {
		b.WriteString(synopsis(leaf))
	}
	b.WriteString(".Sh DESCRIPTION\n")
	if command.Parent != nil {
		help = append([]string{summary}, help...)
	}
	for i, text := range help {
		if i > 0 {
			b.WriteString(".Pp\n")
		}
		b.WriteString(Prose(text))
	}
	if len(p.About) > 0 && p.About[0].Kind == Paragraph {
		b.WriteString(".Pp\n")
	}
	b.WriteString(Mdoc(p.About))
	if command.Parent == nil {
		b.WriteString(commandList(command))
	}
	for _, leaf := range leaves {
		if len(leaves) > 1 {
			b.WriteString(".Sh " + strings.ToUpper(leaf.Name) + "\n")
			of, more := detailOf(leaf)
			examples = append(examples, more...)
			for _, text := range append([]string{leaf.Help}, of...) {
				b.WriteString(Prose(text))
			}
			b.WriteString(options(leaf, ".Ss "))
		} else if command.Parent != nil {
			b.WriteString(options(leaf, ".Sh "))
		}
	}
	for _, c := range slices.Concat(p.Chapters, p.Standard) {
		b.WriteString(".Sh " + strings.ToUpper(c.Title) + "\n" + Mdoc(c.Blocks))
	}
	if len(examples) > 0 {
		b.WriteString(".Sh EXAMPLES\n" + literal(examples))
	}
	b.WriteString(seeAlso(p.SeeAlso))
	return b.String()
}

// detailOf parts what help says of a command: paragraphs and examples.
func detailOf(command *kong.Node) (paragraphs, examples []string) {
	for line := range strings.Lines(command.Detail) {
		text := strings.TrimSpace(line)
		switch {
		case text == "" || text == "Examples:":
		case strings.HasPrefix(line, "  "):
			examples = append(examples, text)
		default:
			paragraphs = append(paragraphs, text)
		}
	}
	return paragraphs, examples
}

// programHelp parts what help says of the program. Its exit codes are left out:
// they have a section.
func programHelp(text string) (summary string, paragraphs, examples []string) {
	paragraphs, examples = detailOf(&kong.Node{Detail: text})
	paragraphs = slices.DeleteFunc(paragraphs, func(p string) bool { return strings.HasPrefix(p, "Exit codes:") })
	return "copy files from several machines at once, and prove them", paragraphs, examples
}

// synopsis is how a command is typed.
func synopsis(command *kong.Node) string {
	var b strings.Builder
	words := strings.Fields(command.FullPath())
	b.WriteString(".Nm " + words[0] + "\n")
	for _, word := range words[1:] {
		b.WriteString(".Cm " + Arg(word) + "\n")
	}
	if command.Parent == nil {
		return b.String() + ".Ar command\n.Op Ar flags\n"
	}
	for _, f := range command.Flags {
		if f.Required && !f.Hidden {
			b.WriteString(".Fl " + flagArgs(f) + "\n")
		}
	}
	if slices.ContainsFunc(command.Flags, func(f *kong.Flag) bool { return !f.Hidden && !f.Required }) {
		b.WriteString(".Op Ar flags\n")
	}
	for _, p := range command.Positional {
		arg := "Ar " + Arg(p.Name)
		if p.IsCumulative() {
			arg += " ..."
		}
		if p.Required {
			b.WriteString("." + arg + "\n")
		} else {
			b.WriteString(".Op " + arg + "\n")
		}
	}
	return b.String()
}

// commandList names the commands and their pages.
func commandList(app *kong.Node) string {
	var b strings.Builder
	b.WriteString(".Pp\nThe commands:\n.Bl -tag -width Ds\n")
	for _, c := range app.Children {
		if !c.Hidden {
			b.WriteString(".It Xr " + PageName(c) + " 1\n" + Prose(c.Help))
		}
	}
	return b.String() + ".El\n"
}

// options are the flags and the arguments of a command, in the groups of help.
func options(command *kong.Node, heading string) string {
	var b strings.Builder
	if len(command.Positional) > 0 {
		b.WriteString(heading + "ARGUMENTS\n.Bl -tag -width Ds\n")
		for _, p := range command.Positional {
			b.WriteString(".It Ar " + Arg(p.Name) + "\n" + Prose(p.Help))
		}
		b.WriteString(".El\n")
	}
	if len(command.Flags) == 0 {
		return b.String()
	}
	b.WriteString(heading + "OPTIONS\n")
	group, open := "", false
	for _, f := range command.Flags {
		if f.Hidden {
			continue
		}
		title := ""
		if f.Group != nil {
			title = strings.TrimSuffix(f.Group.Title, ":")
		}
		if !open || title != group {
			if open {
				b.WriteString(".El\n")
			}
			if title != "" && heading == ".Sh " {
				b.WriteString(".Ss " + Arg(title) + "\n")
			}
			b.WriteString(".Bl -tag -width Ds\n")
			group, open = title, true
		}
		b.WriteString(".It Fl " + flagArgs(f) + "\n" + Prose(f.Help))
	}
	if open {
		b.WriteString(".El\n")
	}
	return b.String()
}

// flagArgs is a flag as arguments of .Fl, which puts a minus before it.
func flagArgs(f *kong.Flag) string {
	text := Arg("-" + f.Name)
	if f.Short != 0 {
		text = Arg(string(f.Short)) + " , Fl " + text
	}
	if !f.IsBool() {
		text += " Ar " + Arg(f.FormatPlaceHolder())
	}
	return text
}

func seeAlso(names []string) string {
	if len(names) == 0 {
		return ""
	}
	names = slices.Sorted(slices.Values(names))
	var b strings.Builder
	b.WriteString(".Sh SEE ALSO\n")
	for i, name := range names {
		b.WriteString(".Xr " + name + " 1")
		if i < len(names)-1 {
			b.WriteString(" ,")
		}
		b.WriteString("\n")
	}
	return b.String()
}
