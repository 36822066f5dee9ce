// Package config reads config files. A file is TOML with one table a command,
// such as [serve] or [trust.list], and in it the long names of flags as keys. A
// value is a text, a number or a switch; a flag that may be repeated also takes
// a list of them. This package does not check values: it hands them on as they
// would be typed on the command line, each with its line in the file.
//
// A person who can write a config file decides what malcolm does. So a file
// that everybody may write is refused. A file at its usual place, which the
// user did not name, must also belong to its user or to root.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"malcolm/cmd/malcolm/human"
)

// maxSize is the largest size of a file, in bytes.
const maxSize = 1 << 20

// A Place is where a config file may be.
type Place struct {
	Path string
	// Named says that the user named it: it must be there, and may have any
	// owner.
	Named bool
}

// A File is what one file says.
type File struct {
	Path   string
	Tables []Table // in the order of their lines
}

// A Table is what a file says of a command. Its name is empty for what stands
// outside of all tables.
type Table struct {
	Name     string // "serve", "trust.list"
	Line     int
	Settings []Setting // in the order of their lines
}

// A Setting is what a file says of a flag.
type Setting struct {
	Key   string
	Texts []string // the values, as they would be typed
	List  bool     // they stand in an array
	Bool  bool     // the value is true or false
	Path  string   // of the file
	Line  int
}

// At says where a setting stands: config.toml:3.
func (s Setting) At() string { return at(s.Path, s.Line) }

func at(path string, line int) string {
	if line == 0 {
		return human.ShellQuote(path)
	}
	return human.ShellQuote(path) + ":" + strconv.Itoa(line)
}

// An Error says what is wrong with a file.
type Error struct {
	Path string
	Line int // 0: it is not about a line
	Err  error
}

func (e *Error) Error() string { return at(e.Path, e.Line) + ": " + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Read reads the files that are there, in the order of their places. The error
// is an [Error].
func Read(places []Place) (files []*File, err error) {
	for _, p := range places {
		f, err := read(p)
		if !p.Named && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			if e, ok := errors.AsType[*Error](err); ok {
				return nil, e
			}
			return nil, &Error{Path: p.Path, Err: plain(err)}
		}
		files = append(files, f)
	}
	return files, nil
}

// read reads one file.
func read(p Place) (*File, error) {
	f, err := os.Open(p.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := check(p, info, os.Getuid()); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxSize {
		return nil, fmt.Errorf("is larger than %s: a config file is short", human.Bytes(maxSize))
	}
	return parse(p.Path, string(text))
}

var (
	errDirectory = errors.New("is a directory")
	errShared    = errors.New("everybody may write it, and so could make malcolm do anything: chmod o-w takes that away")
	errForeign   = errors.New("belongs to somebody else, who could make malcolm do anything; if that is meant, name it with --config")
)

// check refuses what is no file, and a file that strangers control. A pipe or
// a device is read as it is.
func check(p Place, info fs.FileInfo, user int) error {
	switch {
	case info.IsDir():
		return errDirectory
	case !info.Mode().IsRegular():
		return nil
	case hasModes && info.Mode().Perm()&0o002 != 0:
		return errShared
	}
	if owner, ok := ownerOf(info); ok && !p.Named && owner != 0 && owner != user {
		return errForeign
	}
	return nil
}

// plain takes the operation and the path out of an error.
func plain(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// Check refuses the first table or key, by its line, that known does not have.
// known has the keys of each table.
func (f *File) Check(known map[string][]string) error {
	for _, t := range f.Tables {
		if err := t.check(known); err != nil {
			return &Error{Path: f.Path, Line: cmp.Or(err.line, t.Line), Err: err.err}
		}
	}
	return nil
}

type problem struct {
	line int
	err  error
}

func (t Table) check(known map[string][]string) *problem {
	tables := make([]string, 0, len(known))
	for name := range known {
		tables = append(tables, name)
	}
	slices.Sort(tables)
	keys, ok := known[t.Name]
	if t.Name == "" && len(t.Settings) > 0 {
		return &problem{t.Settings[0].Line, fmt.Errorf("%s stands before the first table: it goes below [COMMAND], such as [serve] or [get]", human.Quote(t.Settings[0].Key))}
	}
	if t.Name != "" && !ok {
		return &problem{t.Line, fmt.Errorf("no command is called %s%s", human.Quote(t.Name), meant(t.Name, tables))}
	}
	for _, s := range t.Settings {
		if slices.Contains(keys, s.Key) {
			continue
		}
		others := slices.DeleteFunc(slices.Clone(tables), func(name string) bool { return !slices.Contains(known[name], s.Key) })
		if len(others) > 0 {
			return &problem{s.Line, fmt.Errorf("%s has no flag %s; %s has it", t.Name, human.Quote(s.Key), others[0])}
		}
		return &problem{s.Line, fmt.Errorf("%s has no flag %s%s", t.Name, human.Quote(s.Key), meant(s.Key, keys))}
	}
	return nil
}

// meant returns what to say of the nearest of words; nothing if it is far.
func meant(word string, words []string) string {
	if near := Nearest(word, words); near != "" {
		return fmt.Sprintf(", did you mean %q?", near)
	}
	return ""
}

// Nearest returns the word of words that is the fewest changes of a letter away
// from word; the first of several. It is empty if more than two letters must
// change, and more than a third of them.
func Nearest(word string, words []string) (nearest string) {
	least := max(2, len(word)/3) + 1
	for _, w := range words {
		if max(len(w)-len(word), len(word)-len(w)) >= least {
			continue
		}
		if d := distance(word, w); d < least {
			nearest, least = w, d
		}
	}
	return nearest
}

// distance is the number of bytes to insert, remove or change to come from a to
// b (Levenshtein). An _ for a - costs nothing.
func distance(a, b string) int {
	a, b = strings.ReplaceAll(a, "_", "-"), strings.ReplaceAll(b, "_", "-")
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// Lookup returns what a file says of a flag of a command.
func (f *File) Lookup(table, key string) (Setting, bool) {
	for _, t := range f.Tables {
		if t.Name != table {
			continue
		}
		for _, s := range t.Settings {
			if s.Key == key {
				return s, true
			}
		}
	}
	return Setting{}, false
}
