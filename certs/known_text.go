package certs

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// The file of known servers is text. Each line has the address of a server, its
// ID, and since when it is known, separated by spaces or tabs. Lines that are
// empty or begin with "#" are kept as they are.
const (
	maxKnownFile = 16 << 20 // bytes
	maxKnownLine = 1 << 10  // bytes, without the line's end

	knownHeader = "# malcolm's known servers: address, server ID, known since"

	// seenLayout is RFC 3339 in UTC, to the second.
	seenLayout = "2006-01-02T15:04:05Z"
)

// A KnownServer is a server whose ID was recorded.
type KnownServer struct {
	Host      string // lower-case name, or shortest form of an IP address without brackets
	Port      uint16
	ID        ServerID
	FirstSeen time.Time // when ID was recorded for this server, UTC, to the second
}

// Address returns host:port with IPv6 addresses in brackets.
func (s KnownServer) Address() string { return address{s.Host, s.Port}.String() }

func (s KnownServer) line() string {
	return s.Address() + " " + s.ID.String() + " " + s.FirstSeen.Format(seenLayout)
}

// A knownText is the content of the file.
type knownText struct {
	lines   []string // without their ends; or forgotten
	servers map[address]knownRecord
}

// forgotten replaces a removed line. No line can contain it.
const forgotten = "\n"

type knownRecord struct {
	KnownServer
	line int // place in knownText.lines
}

func newKnownText() *knownText {
	return &knownText{lines: []string{knownHeader}, servers: make(map[address]knownRecord)}
}

// parseKnown reads the content of the file. On an error, line is the damaged
// line, from 1; 0 if it is not one line.
func parseKnown(content string) (text *knownText, line int, err error) {
	switch {
	case len(content) == 0:
		return nil, 0, errors.New("it is empty, and malcolm never leaves it so")
	case len(content) > maxKnownFile:
		return nil, 0, fmt.Errorf("it is longer than %d bytes", maxKnownFile)
	}
	text = &knownText{servers: make(map[address]knownRecord)}
	for row := range strings.SplitSeq(strings.TrimSuffix(content, "\n"), "\n") {
		line++
		if err := text.parseLine(strings.TrimSuffix(row, "\r")); err != nil {
			return nil, line, err
		}
	}
	return text, 0, nil
}

func (t *knownText) parseLine(s string) error {
	if len(s) > maxKnownLine {
		return fmt.Errorf("it is longer than %d bytes", maxKnownLine)
	}
	if at := strings.IndexFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }); at >= 0 {
		return fmt.Errorf("it has a control character at byte %d", at+1)
	}
	if begin := strings.TrimLeft(s, " \t"); begin == "" || begin[0] == '#' {
		t.lines = append(t.lines, s)
		return nil
	}
	server, err := parseKnownServer(strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '\t' }))
	if err != nil {
		return err
	}
	at := address{server.Host, server.Port}
	if _, twice := t.servers[at]; twice {
		return fmt.Errorf("%s is there twice", quoted(at.String()))
	}
	t.servers[at] = knownRecord{server, len(t.lines)}
	t.lines = append(t.lines, s)
	return nil
}

func parseKnownServer(words []string) (KnownServer, error) {
	if len(words) != 3 {
		return KnownServer{}, fmt.Errorf("%d words, want 3: address, server ID, known since", len(words))
	}
	at, err := parseServer(words[0])
	if err != nil {
		return KnownServer{}, err
	}
	id, err := ParseServerID(words[1])
	if err != nil {
		return KnownServer{}, err
	}
	// time.Parse accepts fractions of a second, which the layout does not
	// have.
	seen, err := time.Parse(seenLayout, words[2])
	if err != nil || seen.Format(seenLayout) != words[2] {
		return KnownServer{}, fmt.Errorf("%s is no time such as %s", quoted(words[2]), seenLayout)
	}
	return KnownServer{Host: at.host, Port: at.port, ID: id, FirstSeen: seen}, nil
}

// set adds a record, or replaces that of the same server.
func (t *knownText) set(s KnownServer) {
	at := address{s.Host, s.Port}
	old, ok := t.servers[at]
	if !ok {
		old.line = len(t.lines)
		t.lines = append(t.lines, "")
	}
	t.lines[old.line] = s.line()
	t.servers[at] = knownRecord{s, old.line}
}

// forget removes the record of one server, or with port 0 those of a host.
func (t *knownText) forget(which address) (n int) {
	for at, record := range t.servers {
		if at == which || which.port == 0 && at.host == which.host {
			t.lines[record.line] = forgotten
			delete(t.servers, at)
			n++
		}
	}
	return n
}

// encode returns the content of the file.
func (t *knownText) encode() string {
	var out strings.Builder
	for _, line := range t.lines {
		if line != forgotten {
			out.WriteString(line)
			out.WriteByte('\n')
		}
	}
	if out.Len() == 0 { // an empty file would be a damaged one
		return knownHeader + "\n"
	}
	return out.String()
}
