package certs

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	ticketScheme = "malcolm://"

	ticketTree = "tree:" // before the checksum of a directory's listing

	maxTicketLen       = 4 << 10 // bytes
	maxTicketAddresses = 1024    // hosts times ports
)

// A Ticket says all that is needed to fetch one file, or one directory, without
// a leap of faith: the addresses of its servers, the IDs they prove, and its
// checksum. It is one line of printable ASCII:
//
//	malcolm://HOST/NAME?h=HOST,HOST&p=10001-10004,10007&id=ID,ID&c=CHECKSUM
//
// Its parts:
//
//   - HOST is a name or an IP address without a zone, an IPv6 address in
//     brackets. With several hosts the first stands in its usual place, so that
//     every parser of URLs accepts it. The others are in h, where brackets may
//     be left out; [Ticket.String] does so, as a query must not have them.
//   - NAME, the file's, is percent-encoded. It may be missing, with its slash.
//     A directory's name, if there is one, is followed by a slash.
//   - p lists ports and ranges of ports; every host has all of them.
//   - id lists server IDs, with or without dashes; each server must prove one.
//   - c is the file's BLAKE3 in 64 hex digits, or "tree:" and that of the
//     directory's listing. When malcolm writes a ticket it comes last, so that
//     a ticket cut off anywhere is invalid.
//
// The parameters come in any order, each once, and all but h are needed. Values
// may be percent-encoded. A shell needs quotes around the ticket because of "?"
// and "&"; within single or double quotes nothing else in it is special.
type Ticket struct {
	Hosts    []string   // at least one; as [ParsePin] reads them, IPv6 without brackets, each once
	Ports    []uint16   // at least one, each once; at most 1,024 addresses in all
	IDs      []ServerID // at least one, each once
	Checksum [32]byte   // BLAKE3 of the whole file, or of the listing
	Tree     bool       // it is of a directory

	// Name is the ticket's name for the file or directory: any UTF-8
	// without control characters, even "" and "../x". Show it quoted, and
	// do not write to it: the vote gives the name to write to.
	Name string
}

// IsTicket reports whether s is meant as a ticket for [ParseTicket], and not as
// an address.
func IsTicket(s string) bool {
	return len(s) >= len(ticketScheme) && strings.EqualFold(s[:len(ticketScheme)], ticketScheme)
}

// ParseTicket reads what [Ticket.String] writes. Anything else is an error: a
// user name, a port next to a host, a fragment, an unknown or repeated
// parameter, a list with an empty or repeated member, more than 4 KiB. The
// error names the part, and repeats at most 80 bytes of it, quoted.
func ParseTicket(s string) (Ticket, error) {
	if len(s) > maxTicketLen {
		return Ticket{}, fmt.Errorf("ticket: longer than %d bytes", maxTicketLen)
	}
	if !IsTicket(s) {
		return Ticket{}, fmt.Errorf("ticket: %s does not begin with %s", quoted(s), ticketScheme)
	}
	rest, fragment, hasFragment := strings.Cut(s[len(ticketScheme):], "#")
	if hasFragment {
		return Ticket{}, fmt.Errorf("ticket: fragment: %s does not belong there", quoted("#"+fragment))
	}
	rest, query, _ := strings.Cut(rest, "?")
	host, name, _ := strings.Cut(rest, "/")
	name, slash := strings.CutSuffix(name, "/")
	var t Ticket
	if err := t.parseHost(host); err != nil {
		return Ticket{}, fmt.Errorf("ticket: host: %w", err)
	}
	if err := t.parseName(name); err != nil {
		return Ticket{}, fmt.Errorf("ticket: name: %w", err)
	}
	if err := t.parseQuery(query); err != nil {
		return Ticket{}, fmt.Errorf("ticket: %w", err)
	}
	if n := len(t.Hosts) * len(t.Ports); n > maxTicketAddresses {
		return Ticket{}, fmt.Errorf("ticket: %d addresses, at most %d are allowed", n, maxTicketAddresses)
	}
	if t.hasSlash() != slash {
		return Ticket{}, fmt.Errorf("ticket: name: only a directory's ends in %q, and c says whether it is one", "/")
	}
	return t, nil
}

// hasSlash reports whether the name is followed by a slash.
func (t *Ticket) hasSlash() bool { return t.Tree && t.Name != "" }

// parseHost reads the first host, in its usual place in a URL.
func (t *Ticket) parseHost(s string) error {
	switch {
	case strings.Contains(s, "@"):
		return fmt.Errorf("%s has a user name", quoted(s))
	case strings.Contains(s, ","):
		return fmt.Errorf("%s is a list; further hosts stand in h", quoted(s))
	case strings.Count(s, ":") > 1 && !strings.HasPrefix(s, "["):
		return fmt.Errorf("%s: an IPv6 address stands in brackets", quoted(s))
	}
	return t.addHost(s)
}

func (t *Ticket) addHost(s string) error {
	at, err := parseAddress(s)
	switch {
	case err != nil:
		return err
	case at.port != 0:
		return fmt.Errorf("%s has a port; ports stand in p", quoted(s))
	case strings.Contains(at.host, "%"):
		return fmt.Errorf("%s has a zone, which means nothing elsewhere", quoted(s))
	case linkLocal(at.host):
		return fmt.Errorf("%s is of one link only, and means nothing elsewhere", quoted(s))
	case slices.Contains(t.Hosts, at.host):
		return fmt.Errorf("%s is there twice", quoted(at.host))
	}
	t.Hosts = append(t.Hosts, at.host)
	return nil
}

// linkLocal reports whether host is an IPv6 address that needs an interface.
func linkLocal(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Is6() && addr.IsLinkLocalUnicast()
}

func (t *Ticket) parseName(s string) error {
	if at := strings.IndexFunc(s, notInPath); at >= 0 {
		r, _ := utf8.DecodeRuneInString(s[at:])
		return fmt.Errorf("%s: %q must be percent-encoded", quoted(s), r)
	}
	name, err := percentDecode(s)
	switch {
	case err != nil:
		return err
	case !utf8.ValidString(name):
		return fmt.Errorf("%s is not UTF-8", quoted(name))
	case strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("%s has a control character", quoted(name))
	}
	t.Name = name
	return nil
}

// parseQuery reads the parameters.
func (t *Ticket) parseQuery(query string) error {
	readers := map[string]func(value string) error{
		"h": t.parseHosts, "p": t.parsePorts, "id": t.parseIDs, "c": t.parseChecksum,
	}
	seen := make(map[string]bool)
	for piece := range strings.SplitSeq(query, "&") {
		if query == "" {
			break
		}
		key, value, hasValue := strings.Cut(piece, "=")
		read, known := readers[key]
		switch {
		case !known:
			return fmt.Errorf("parameter %s is unknown", quoted(key))
		case seen[key]:
			return fmt.Errorf("parameter %q is there twice", key)
		case !hasValue || value == "":
			return fmt.Errorf("parameter %q has no value", key)
		}
		seen[key] = true
		value, err := percentDecode(value)
		if err == nil {
			err = read(value)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	for _, key := range []string{"p", "id", "c"} {
		if !seen[key] {
			return fmt.Errorf("parameter %q is missing", key)
		}
	}
	return nil
}

func (t *Ticket) parseHosts(list string) error {
	for host := range strings.SplitSeq(list, ",") {
		if err := t.addHost(host); err != nil {
			return err
		}
	}
	return nil
}

func (t *Ticket) parsePorts(list string) error {
	seen := make(map[uint16]bool)
	for piece := range strings.SplitSeq(list, ",") {
		from, to, isRange := strings.Cut(piece, "-")
		if !isRange {
			to = from
		}
		first, err := parsePort(from)
		if err != nil {
			return err
		}
		last, err := parsePort(to)
		if err != nil {
			return err
		}
		if last < first {
			return fmt.Errorf("%s ends before it begins", quoted(piece))
		}
		for port := int(first); port <= int(last); port++ {
			switch {
			case seen[uint16(port)]:
				return fmt.Errorf("%d is there twice", port)
			case len(t.Ports) == maxTicketAddresses:
				return fmt.Errorf("more than %d ports", maxTicketAddresses)
			}
			seen[uint16(port)] = true
			t.Ports = append(t.Ports, uint16(port))
		}
	}
	return nil
}

func (t *Ticket) parseIDs(list string) error {
	for text := range strings.SplitSeq(list, ",") {
		id, err := ParseServerID(text)
		switch {
		case strings.HasPrefix(text, curlPrefix) || strings.Contains(text, " "):
			return fmt.Errorf("%s is not in the form that malcolm prints", quoted(text))
		case err != nil:
			return err
		case slices.Contains(t.IDs, id):
			return fmt.Errorf("%s is there twice", quoted(text))
		}
		t.IDs = append(t.IDs, id)
	}
	return nil
}

func (t *Ticket) parseChecksum(s string) error {
	digits, isTree := strings.CutPrefix(s, ticketTree)
	t.Tree = isTree
	if len(digits) != hex.EncodedLen(len(t.Checksum)) {
		return fmt.Errorf("%s has %d bytes, want 64 hex digits", quoted(digits), len(digits))
	}
	if _, err := hex.Decode(t.Checksum[:], []byte(digits)); err != nil {
		return fmt.Errorf("%s is not made of hex digits", quoted(digits))
	}
	return nil
}

// Pins returns the ticket's demands: each of its servers must have any of its
// IDs.
func (t Ticket) Pins() Pins {
	pins := make(Pins, 0, len(t.Hosts)*len(t.Ports)*len(t.IDs))
	for _, host := range t.Hosts {
		for _, port := range t.Ports {
			for _, id := range t.IDs {
				pins = append(pins, Pin{Host: host, Port: port, ID: id})
			}
		}
	}
	return pins
}

// Check says why [ParseTicket] would not read t from [Ticket.String]. Call it
// before handing out a ticket.
func (t Ticket) Check() error {
	if len(t.Hosts) == 0 {
		return fmt.Errorf("ticket: host: there is none")
	}
	got, err := ParseTicket(t.String())
	if err != nil {
		return err
	}
	if !slices.Equal(got.Hosts, t.Hosts) {
		return fmt.Errorf("ticket: host: %s is not as addresses are compared", quoted(strings.Join(t.Hosts, ",")))
	}
	return nil
}

// String returns the ticket as [ParseTicket] reads it, without quotes.
func (t Ticket) String() string {
	var b strings.Builder
	b.WriteString(ticketScheme)
	if len(t.Hosts) > 0 {
		b.WriteString(bracketed(t.Hosts[0]))
	}
	b.WriteByte('/')
	b.WriteString(percentEncode(t.Name))
	if t.hasSlash() {
		b.WriteByte('/')
	}
	b.WriteByte('?')
	if len(t.Hosts) > 1 {
		b.WriteString("h=" + strings.Join(t.Hosts[1:], ",") + "&")
	}
	b.WriteString("p=" + portList(t.Ports) + "&id=")
	for i, id := range t.IDs {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strings.ReplaceAll(id.String(), "-", ""))
	}
	b.WriteString("&c=")
	if t.Tree {
		b.WriteString(ticketTree)
	}
	b.WriteString(hex.EncodeToString(t.Checksum[:]))
	return b.String()
}

// portList joins ports in their order, with runs of consecutive ports as
// ranges.
func portList(ports []uint16) string {
	var out []byte
	for i := 0; i < len(ports); i++ {
		if i > 0 {
			out = append(out, ',')
		}
		out = strconv.AppendUint(out, uint64(ports[i]), 10)
		first := i
		for i+1 < len(ports) && ports[i+1] == ports[i]+1 {
			i++
		}
		if i > first {
			out = append(out, '-')
			out = strconv.AppendUint(out, uint64(ports[i]), 10)
		}
	}
	return string(out)
}

// unreserved are the characters that never need percent-encoding: RFC 3986,
// section 2.3.
func unreserved(r rune) bool { return !notInName(r) || r == '~' }

// notInPath reports whether r cannot stand in a segment of a URL's path: RFC
// 3986, section 3.3.
func notInPath(r rune) bool {
	return !unreserved(r) && !strings.ContainsRune("%!$&'()*+,;=:@", r)
}

func percentEncode(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c < utf8.RuneSelf && unreserved(rune(c)) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func percentDecode(s string) (string, error) {
	pieces := strings.Split(s, "%")
	out := []byte(pieces[0])
	for _, p := range pieces[1:] {
		if len(p) < 2 {
			return "", fmt.Errorf("%s: %q lacks two hex digits", quoted(s), "%")
		}
		c, err := strconv.ParseUint(p[:2], 16, 8)
		if err != nil {
			return "", fmt.Errorf("%s: %q is followed by no two hex digits", quoted(s), "%")
		}
		out = append(append(out, byte(c)), p[2:]...)
	}
	return string(out), nil
}
