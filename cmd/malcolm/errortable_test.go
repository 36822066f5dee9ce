package main

import (
	"bufio"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// An errorTable is what errors.md says.
type errorTable struct {
	rows []errorRow
}

// An errorRow is one row: what stderr gets when something happens.
type errorRow struct {
	number int      // of the line in the file
	kinds  []string // Go's names of the errors and kinds that cause it
	cause  string
	level  string // error, warning
	text   *regexp.Regexp
	plain  string
	hints  []*regexp.Regexp
	exit   string // code, or - where the run goes on
}

// readErrorTable reads the table that lies beside the program.
func readErrorTable() (*errorTable, error) {
	f, err := os.Open("errors.md")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t := new(errorTable)
	level := ""
	lines := bufio.NewScanner(f)
	for number := 1; lines.Scan(); number++ {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "## Errors"):
			level = "error"
		case strings.HasPrefix(line, "## Warnings"):
			level = "warning"
		}
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| ---") || strings.HasPrefix(line, "| cause") {
			continue
		}
		row, err := parseErrorRow(line, level)
		if err != nil {
			return nil, fmt.Errorf("errors.md:%d: %w", number, err)
		}
		row.number = number
		t.rows = append(t.rows, row)
	}
	return t, lines.Err()
}

// parseErrorRow reads | cause | text | hint | exit | kinds |.
func parseErrorRow(line, level string) (r errorRow, err error) {
	const escaped = "\x00" // a bar within a cell
	cells := strings.Split(strings.Trim(strings.ReplaceAll(line, `\|`, escaped), "|"), "|")
	if len(cells) != 5 {
		return r, fmt.Errorf("%d cells, want 5", len(cells))
	}
	for i := range cells {
		cells[i] = strings.ReplaceAll(strings.TrimSpace(cells[i]), escaped, "|")
	}
	r = errorRow{cause: cells[0], level: level, plain: unquoteCell(cells[1]), exit: cells[3]}
	if r.text, err = textPattern(r.plain); err != nil {
		return r, err
	}
	for _, hint := range strings.Split(cells[2], "<br>") {
		if hint = unquoteCell(strings.TrimSpace(hint)); hint != "" {
			pattern, err := textPattern(hint)
			if err != nil {
				return r, err
			}
			r.hints = append(r.hints, pattern)
		}
	}
	for _, kind := range strings.Split(cells[4], ",") {
		if kind = unquoteCell(strings.TrimSpace(kind)); kind != "" {
			r.kinds = append(r.kinds, kind)
		}
	}
	if _, err := strconv.Atoi(r.exit); err != nil && r.exit != "-" {
		return r, fmt.Errorf("exit code %q", r.exit)
	}
	return r, nil
}

func unquoteCell(s string) string { return strings.Trim(s, "`") }

var placeholder = regexp.MustCompile(`‹([^›]+)›`)

// placeholders are what some placeholders of the table match. The others match
// any text.
var placeholders = map[string]string{
	"server": `(?:srv:[0-9a-z_.-]+|https?://[^\s?#]+|(?:\[[0-9A-Fa-f:.%a-z]+\]|[^\s:"]+):[0-9]{1,5})`, "port": `(?:[0-9]{1,5}(?:[-,][0-9]{1,5})*(?: and [0-9]+ more)?|a free port)`,
	"N": `[0-9][0-9,]*`, "M": `[0-9][0-9,]*`, "operation": `[a-z]+(?: [a-z]+)*`, "hex": `[0-9a-f]+`,
	"ID": `[A-Z2-7]{7}(?:-[A-Z2-7]{7}){7}`, "size": `[0-9.]+ [KMGTPE]?i?B`, "time": `[0-9.]+(?:ms|[smhd])(?:[0-9.]+[smhd])*`,
	"date": `[0-9]{4}-[0-9]{2}-[0-9]{2}`, "checksum": `(?:tree:)?[0-9a-f]+(?:…|\.\.\.)?`, "flag": `-{0,2}[a-zA-Z0-9-]+(?:=\S+)?`, "config": `\S+\.toml`, "path": `[^"]*(?:\\.[^"]*)*`,
}

// textPattern returns what a text of the table matches.
func textPattern(text string) (*regexp.Regexp, error) {
	var b strings.Builder
	at := 0
	for _, m := range placeholder.FindAllStringSubmatchIndex(text, -1) {
		b.WriteString(regexp.QuoteMeta(text[at:m[0]]))
		if special := placeholders[text[m[2]:m[3]]]; special != "" {
			b.WriteString(special)
		} else {
			b.WriteString(".*")
		}
		at = m[1]
	}
	return regexp.Compile("^" + b.String() + regexp.QuoteMeta(text[at:]) + "$")
}

// lostServer matches the words around a reason when a server is lost or left
// out.
var lostServer = regexp.MustCompile(`^(?:lost )?(\S+: )(?:left out: )?(.*?)(?:; [0-9]+ (?:server|mirror|source)s? left(?:, which takes? its work)?)?$`)

// clockOfLine matches the time before a line that nobody watches.
var clockOfLine = regexp.MustCompile(`^20[0-9]{2}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} `)

// check returns an error for a line of stderr that is not in the table.
func (t *errorTable) check(line string) error {
	line = clockOfLine.ReplaceAllString(stripStyle(line), "")
	rest, ours := strings.CutPrefix(line, "malcolm: ")
	level, text, ok := strings.Cut(rest, ": ")
	if !ours || !ok || level != "error" && level != "warning" && level != "hint" {
		if m := goWords.FindString(line); m != "" {
			return fmt.Errorf("%q has %q in it", line, m)
		}
		return nil
	}
	if m := goWords.FindString(text); m != "" {
		return fmt.Errorf("%q has %q in it", line, m)
	}
	bare := lostServer.ReplaceAllString(text, "$1$2")
	found := slices.ContainsFunc(t.rows, func(r errorRow) bool {
		switch {
		case level == "hint":
			return slices.ContainsFunc(r.hints, func(h *regexp.Regexp) bool { return h.MatchString(text) })
		case r.level == level && r.text.MatchString(text):
			return true
		}
		// A server's problem is an error when it is the only server.
		return r.aboutServer() && (r.text.MatchString(text) || r.text.MatchString(bare))
	})
	if !found {
		return fmt.Errorf("%q is not in errors.md", line)
	}
	return nil
}

// aboutServer reports whether the row is about one server, whatever follows.
func (r *errorRow) aboutServer() bool {
	return strings.HasPrefix(r.plain, "‹server›: ") || strings.HasPrefix(r.plain, `server "‹server›" `)
}

var style = regexp.MustCompile("\x1b\\[[0-9;]*m")

func stripStyle(s string) string { return style.ReplaceAllString(s, "") }

// errorPackages are those whose errors reach people.
var errorPackages = []string{"transfer/fetch", "transfer/source", "transfer/source/malcolm", "certs", "transport", "transfer/localfile", "transfer/partfile", "wire", "transfer/manifest", "transfer/vote", "transfer/scan", "cmd/malcolm/config", "cmd/malcolm/systemd", "transfer/beside", "transfer/metalink"}

// kindTypes are the types whose values tell errors apart.
var kindTypes = []string{
	"transport.PeerKind", "transport.NetworkKind", "transport.LocalKind", "partfile.Reason", "certs.TrustKind",
	"vote.Reason", "fetch.Kind", "source.What", "wire.Status", "wire.CloseCode", "wire.StreamCode",
}

// noErrors are values of such types that no user sees as errors.
var noErrors = []string{
	"certs.ErrNoLink", "certs.ErrLinkExpired", "certs.ErrLinkForged", // what a page of HTTP says
	"wire.StatusOK", "wire.StatusIndexing", "vote.Decided", "source.Unsupported",
}

// TestErrorTableIsComplete: every exported error type and kind has a row, and
// every name in the table exists.
func TestErrorTableIsComplete(t *testing.T) {
	table, err := readErrorTable()
	if err != nil {
		t.Fatal(err)
	}
	has := make(map[string]bool)
	for _, r := range table.rows {
		for _, k := range r.kinds {
			has[k] = true
		}
	}
	exported := make(map[string]bool)
	for _, dir := range errorPackages {
		names, err := exportedErrors(filepath.Join("..", "..", filepath.FromSlash(dir)))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			exported[name] = true
			if !has[name] && !slices.Contains(noErrors, name) && !slices.Contains(kindTypes, name) {
				t.Errorf("%s has no row in errors.md", name)
			}
		}
	}
	for name := range has {
		if !exported[name] && !strings.HasPrefix(name, "main.") {
			t.Errorf("errors.md names %s, which is no exported error or kind", name)
		}
	}
	for _, kind := range kindTypes {
		if !exported[kind] {
			t.Errorf("%s has no values any more", kind)
		}
	}
	if len(exported) < 50 {
		t.Errorf("only %d names were found", len(exported))
	}
}

// exportedErrors returns, as package.Name, a package's exported types with an
// Error method, its variables that begin with Err, and the values and names of
// kindTypes.
func exportedErrors(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, name := range errorsOf(file) {
			names = append(names, file.Name.Name+"."+name)
		}
		for _, d := range file.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.CONST {
				names = append(names, kindsOf(file.Name.Name, g)...)
			}
		}
	}
	if len(names) == 0 && filepath.Base(dir) != "vote" {
		return nil, errors.New(dir + ": no errors found")
	}
	return names, nil
}

// errorsOf returns a file's exported types with an Error method, and its
// exported variables named as errors.
func errorsOf(file *ast.File) (names []string) {
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv != nil && d.Name.Name == "Error" {
				of := d.Recv.List[0].Type
				if star, ok := of.(*ast.StarExpr); ok {
					of = star.X
				}
				if id, ok := of.(*ast.Ident); ok && id.IsExported() {
					names = append(names, id.Name)
				}
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if v, ok := spec.(*ast.ValueSpec); ok && d.Tok == token.VAR {
					for _, id := range v.Names {
						if strings.HasPrefix(id.Name, "Err") {
							names = append(names, id.Name)
						}
					}
				}
			}
		}
	}
	return names
}

// kindsOf returns the constants in a declaration whose type is in kindTypes,
// and the type.
func kindsOf(pkg string, g *ast.GenDecl) (names []string) {
	of := ""
	for _, spec := range g.Specs {
		v := spec.(*ast.ValueSpec)
		if id, ok := v.Type.(*ast.Ident); ok {
			of = pkg + "." + id.Name
		} else if v.Type != nil || len(v.Values) > 0 {
			of = ""
		}
		if !slices.Contains(kindTypes, of) {
			continue
		}
		names = append(names, of)
		for _, id := range v.Names {
			names = append(names, pkg+"."+id.Name)
		}
	}
	return names
}

// TestErrorTableRefuses: lines that are not in the table, and Go's own words,
// are found.
func TestErrorTableRefuses(t *testing.T) {
	table, err := readErrorTable()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"malcolm: error: something unheard of", "malcolm: hint: try something", "malcolm: warning: look out",
		"malcolm: error: 10.0.0.5:10003: context deadline exceeded", "malcolm: error: h:1: *errors.errorString",
		"malcolm: error: \"x\" exists goroutine 7", "malcolm: error: 10.0.0.5:10003: odd", "goroutine 7 [running]:",
	} {
		if table.check(line) == nil {
			t.Errorf("%q passes", line)
		}
	}
	for _, line := range []string{"", "total  100 %", "malcolm: error: 10.0.0.5:10003: no answer in 5s", "\x1b[31mmalcolm: error: \x1b[39mno majority: the servers do not agree on one file"} {
		if err := table.check(line); err != nil {
			t.Error(err)
		}
	}
}
