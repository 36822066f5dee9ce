package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"malcolm/certs"
	"malcolm/cmd/malcolm/flags"
	"malcolm/cmd/malcolm/human"
)

const (
	// mostSources bounds a file of sources, in bytes.
	mostSources = 16 << 20
	// youngFile is the age of a file below which its time may stay the same
	// when it is written again.
	youngFile = 2 * time.Second
)

// errNoSource is what is wrong with a file of sources that names none. It may
// be half written.
var errNoSource = errors.New("names no source")

// A sourceFile is a file that names sources, a line each: @FILE. What it said
// last stays true while it cannot be read, or a line is wrong. Any goroutine
// may call its methods.
type sourceFile struct {
	path  string
	ports flags.PortWords // of lines without their own
	warn  func(string)

	mu     sync.Mutex
	info   os.FileInfo       // of what was read last; nil: that cannot be read again
	young  bool              // it was too young then for its time to tell
	lines  []string          // the sources, as they were read last
	urls   map[string]string // of mirrors: the address now, by linkPlace; empty: there are several
	warned bool              // of what is wrong now
}

// takeSourceFiles replaces each @FILE among the positional targets by the lines
// of the file, and returns how to follow them.
func takeSourceFiles(positional []string, f *ServerFlags, t *terminal) (words []string, m *moving, err error) {
	m = &moving{addresses: f.Addresses, ports: f.Ports, warn: func(w string) { t.Warn("%s", w) }}
	for _, word := range positional {
		path, isFile := strings.CutPrefix(word, "@")
		if !isFile {
			words, m.fixed = append(words, word), append(m.fixed, word)
			continue
		}
		file := &sourceFile{path: path, ports: f.Ports, warn: m.warn}
		lines, err := file.read()
		if err != nil {
			return nil, nil, err
		}
		file.learn(lines)
		words, m.files = append(words, lines...), append(m.files, file)
	}
	return words, m, nil
}

// read reads the file and checks its lines.
func (f *sourceFile) read() (lines []string, err error) {
	info, statErr := os.Stat(f.path)
	b, err := readBounded(f.path, mostSources)
	if err != nil {
		return nil, err
	}
	f.info = nil
	if statErr == nil && info.Mode().IsRegular() {
		f.info, f.young = info, time.Since(info.ModTime()) < youngFile
	}
	return sourceLines(f.path, string(b), f.ports)
}

// sourceLines returns the sources in the text of a file. The error names the
// line.
func sourceLines(path, text string, ports flags.PortWords) (lines []string, err error) {
	number := 0
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if i := strings.Index(line, " #"); i >= 0 {
			line = strings.TrimSpace(line[:i])
		}
		if err := checkSourceLine(line, ports); err != nil {
			return nil, &usageError{fmt.Errorf("@%s:%d: %w", human.ShellQuote(path), number, err)}
		}
		if lines = append(lines, line); len(lines) > flags.MaxPorts {
			return nil, &usageError{fmt.Errorf("@%s:%d: more than %s targets", human.ShellQuote(path), number, human.Comma(flags.MaxPorts))}
		}
	}
	if len(lines) == 0 {
		return nil, &usageError{fmt.Errorf("@%s: %w", human.ShellQuote(path), errNoSource)}
	}
	return lines, nil
}

// checkSourceLine refuses a line that is no source.
func checkSourceLine(line string, ports flags.PortWords) error {
	if line[0] == '@' {
		return errors.New("a file of sources names no other file")
	}
	words, _, _, err := takeTickets([]string{line})
	if err == nil {
		_, _, err = flags.Targets(nil, ports, words)
	}
	return err
}

// learn takes the addresses of mirrors from the lines of the file.
func (f *sourceFile) learn(lines []string) {
	now := make(map[string]string)
	for _, line := range lines {
		if certs.IsTicket(line) {
			continue
		}
		key := linkPlace(line)
		if key == "" {
			continue
		}
		if other, twice := now[key]; twice && other != line {
			line = "" // nobody knows which of them a new one is
		}
		now[key] = line
	}
	f.urls, f.lines = now, lines
}

// linkPlace returns what stays of a mirror's address when a link is renewed:
// all before the query. Empty: it is no such address.
func linkPlace(address string) string {
	if !strings.Contains(address, "://") {
		return ""
	}
	key, _, _ := strings.Cut(address, "?")
	return key
}

// look reads the file if it has changed.
func (f *sourceFile) look() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.info == nil {
		return // a pipe has said all
	}
	info, err := os.Stat(f.path)
	switch {
	case err != nil:
		f.keep(localError("open", f.path, err))
		return
	case !info.Mode().IsRegular():
		return // reading may wait for ever
	case !f.young && os.SameFile(info, f.info) && info.ModTime().Equal(f.info.ModTime()) && info.Size() == f.info.Size():
		return
	}
	last := f.info
	lines, err := f.read()
	if err != nil {
		if f.info == nil {
			f.info = last
		}
		f.keep(err)
		return
	}
	f.learn(lines)
	f.warned = false
}

// keep says once why what is known is kept.
func (f *sourceFile) keep(err error) {
	if !f.warned {
		f.warned = true
		f.warn(fmt.Sprintf("%v; the sources that it named before stay", err))
	}
}

// named returns the sources that the file named when it was last looked at.
func (f *sourceFile) named() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lines
}

// again returns the address that the file has now in place of one that it had;
// empty: it had none.
func (f *sourceFile) again(typed string) string {
	f.look()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.urls[linkPlace(typed)]
}

// again returns what the files have now in place of a mirror's address. It is
// [https.Config].Again.
func again(m *moving) func(string) string {
	if m == nil {
		return nil
	}
	return func(typed string) string {
		for _, f := range m.files {
			if now := f.again(typed); now != "" {
				return now
			}
		}
		return ""
	}
}
