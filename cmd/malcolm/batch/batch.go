// Package batch reads the list of files that one command copies, and keeps the
// journal of those that are done.
//
// # The list
//
// It is what aria2 reads as its input file. A line names the sources of one
// file, separated by tabs. The lines behind it that begin with a space or a tab
// are its options, one a line, as NAME=VALUE or NAME alone. A line that begins
// with # is a comment, and an empty one is nothing:
//
//	10.0.0.5:10001-10004	10.0.0.7:9000
//	  out=data.bin
//	  checksum=8dac432f…
//
// # The journal
//
// It is a text file of its own, to which a line is appended for each file that
// is done: what was asked for, the size and modification time of what is there
// now, its path, and a check value. While all of that still holds, the file is
// not asked for again. A changed line of the list counts as new, and so does a
// file that was changed or removed. The journal is a hint: if a record is lost
// or damaged, the file is asked for once more, and found right.
package batch

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of a list.
const (
	// MaxLen is the longest list, in bytes. It is held in memory.
	MaxLen = 256 << 20
	// MaxEntries is the largest number of files.
	MaxEntries = 1 << 20
	maxLine    = 64 << 10 // bytes
	maxOptions = 64       // of one file
)

// An Entry is one file of a list.
type Entry struct {
	Line    int // of the list, from 1 on
	Sources []string
	Options []Option
}

// An Option is a line below the sources of a file.
type Option struct {
	Line     int
	Name     string
	Value    string
	HasValue bool // there was a "=" behind the name
}

// An Error says what is wrong with a line of a list.
type Error struct {
	Line    int
	Problem string
}

func (e *Error) Error() string { return fmt.Sprintf("line %d %s", e.Line, e.Problem) }

// Parse reads a list. It keeps parts of text. The error is an [*Error].
func Parse(text string) (entries []Entry, err error) {
	text = strings.TrimPrefix(text, "\uFEFF")
	number := 0
	for line := range strings.SplitSeq(text, "\n") {
		number++
		line = strings.TrimSuffix(line, "\r")
		switch {
		case strings.TrimLeft(line, " \t") == "", line[0] == '#':
			continue
		case len(line) > maxLine:
			return nil, &Error{number, fmt.Sprintf("is longer than %d bytes", maxLine)}
		case !utf8.ValidString(line) && line[0] != ' ' && line[0] != '\t':
			return nil, &Error{number, "is not UTF-8"}
		case strings.ContainsRune(line, 0):
			return nil, &Error{number, "has a zero byte in it"}
		case line[0] != ' ' && line[0] != '\t':
			if len(entries) == MaxEntries {
				return nil, &Error{number, fmt.Sprintf("is one too many: a list has at most %d files", MaxEntries)}
			}
			entries = append(entries, Entry{Line: number, Sources: sourcesOf(line)})
		case len(entries) == 0:
			return nil, &Error{number, "is an option of no file: it begins with a space"}
		default:
			if err := entries[len(entries)-1].add(number, strings.Trim(line, " \t")); err != nil {
				return nil, err
			}
		}
	}
	return entries, nil
}

// sourcesOf splits a line at its tabs.
func sourcesOf(line string) (sources []string) {
	for word := range strings.SplitSeq(line, "\t") {
		if word = strings.Trim(word, " "); word != "" {
			sources = append(sources, word)
		}
	}
	return sources
}

// add takes an option.
func (e *Entry) add(line int, text string) error {
	if strings.HasPrefix(text, "#") {
		return nil
	}
	if len(e.Options) == maxOptions {
		return &Error{line, fmt.Sprintf("is one too many: a file has at most %d options", maxOptions)}
	}
	o := Option{Line: line}
	o.Name, o.Value, o.HasValue = strings.Cut(text, "=")
	if o.Name = strings.TrimRight(o.Name, " "); o.Name == "" {
		return &Error{line, "has no name before the ="}
	}
	e.Options = append(e.Options, o)
	return nil
}

// A Key names what was asked for: sources, options, the directory that is
// written into, and what is chosen of directories.
type Key [16]byte

// KeyOf returns the key of an entry. dir is the directory that its file goes
// to, as an absolute path. chosen says what is chosen of a directory.
func (e *Entry) KeyOf(dir, chosen string) (k Key) {
	h := sha256.New()
	part := func(s string) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	part(dir)
	for _, s := range e.Sources {
		part(s)
	}
	part("")
	for _, o := range e.Options {
		part(o.Name)
		part(o.Value)
	}
	part("")
	part(chosen)
	copy(k[:], h.Sum(nil))
	return k
}
