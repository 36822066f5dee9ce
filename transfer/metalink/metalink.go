// Package metalink reads and writes Metalink 4 documents (RFC 5854): files by
// name, with their sizes, SHA-256 and the addresses of mirrors. It is pure.
//
// A document may come from anybody. [Parse] refuses what is over a limit or
// says two things at once; it knows no entities but the five of XML, so none
// can grow. Other protocols and hashes are skipped.
package metalink

import (
	"bytes"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Suffix is what the name of a document ends in.
const Suffix = ".meta4"

// Limits of a document that is read.
const (
	// MaxLen bounds a document, in bytes.
	MaxLen = 32 << 20
	// MaxFiles bounds the files of a document.
	MaxFiles = 100_000
	// MaxURLs bounds the addresses of one file.
	MaxURLs = 1000
	// MaxURLLen bounds one address, in bytes.
	MaxURLLen = 8 << 10
	// MaxNameLen bounds the name of a file, in bytes.
	MaxNameLen = 4096
	// LastPriority is that of addresses that are used last.
	LastPriority = 999_999
)

const namespace = "urn:ietf:params:xml:ns:metalink"

// A Document is the files of a Metalink.
type Document struct{ Files []File }

// A File is one file of a document.
type File struct {
	// Name is a relative path, in parts joined by "/"; none is "." or "..".
	Name string
	// Size is in bytes; below 0: not said.
	Size int64
	// SHA256 is nil if it is not said.
	SHA256 *[32]byte
	// URLs are the http and https addresses, those to use first in front.
	URLs []URL
	// Others are the schemes of the addresses that were passed over, each
	// once, in order.
	Others []string
}

// A URL is the address of a mirror.
type URL struct {
	Address  string
	Priority int // 1 is used first; 1 to LastPriority
}

// An Error says why something is no Metalink, or cannot be in one. Its text
// quotes nothing of a document.
type Error struct{ Reason string }

func (e *Error) Error() string { return e.Reason }

func refuse(format string, args ...any) error { return &Error{fmt.Sprintf(format, args...)} }

// Append appends the document to b. The error says that a file of it cannot be
// written; see [CheckName].
func (d Document) Append(b []byte) ([]byte, error) {
	if len(d.Files) > MaxFiles {
		return nil, refuse("%d files, a Metalink has at most %d", len(d.Files), MaxFiles)
	}
	b = AppendHead(b)
	for i := range d.Files {
		var err error
		if b, err = d.Files[i].Append(b); err != nil {
			return nil, err
		}
	}
	return AppendEnd(b), nil
}

// AppendHead appends to b what a document begins with. Files follow, then what
// [AppendEnd] appends.
func AppendHead(b []byte) []byte {
	return append(b, xml.Header+`<metalink xmlns="`+namespace+"\">\n  <generator>malcolm</generator>\n"...)
}

// AppendEnd appends to b what a document ends with.
func AppendEnd(b []byte) []byte { return append(b, "</metalink>\n"...) }

// Append appends the file to a document in b. The error says that it cannot be
// written; see [CheckName].
func (f *File) Append(b []byte) ([]byte, error) {
	if err := CheckName(f.Name); err != nil {
		return b, err
	}
	w := bytes.NewBuffer(b)
	w.WriteString(`  <file name="`)
	xml.EscapeText(w, []byte(f.Name))
	w.WriteString("\">\n")
	if f.Size >= 0 {
		fmt.Fprintf(w, "    <size>%d</size>\n", f.Size)
	}
	if f.SHA256 != nil {
		fmt.Fprintf(w, "    <hash type=\"sha-256\">%x</hash>\n", *f.SHA256)
	}
	for _, u := range f.URLs {
		fmt.Fprintf(w, `    <url priority="%d">`, u.Priority)
		xml.EscapeText(w, []byte(u.Address))
		w.WriteString("</url>\n")
	}
	w.WriteString("  </file>\n")
	return w.Bytes(), nil
}

// CheckName refuses a name that a document cannot have: one that leads
// elsewhere, or has what XML cannot carry.
func CheckName(name string) error {
	switch {
	case name == "":
		return refuse("a file without a name")
	case len(name) > MaxNameLen:
		return refuse("a name of %d bytes, at most %d are allowed", len(name), MaxNameLen)
	case !utf8.ValidString(name):
		return refuse("a name that is not UTF-8")
	case strings.ContainsFunc(name, notXML):
		return refuse("a name with a character that XML cannot have")
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == "." || part == ".." {
			return refuse("a name that is no relative path")
		}
	}
	return nil
}

// notXML reports whether a character is outside of XML 1.0, section 2.2.
func notXML(r rune) bool {
	switch {
	case r == '\t', r == '\n', r == '\r':
		return false
	}
	return r < 0x20 || r == 0xfffe || r == 0xffff
}

// CheckURL returns an address that was parsed, if it is one of http or https
// with a host; other: it has the scheme of another protocol.
func CheckURL(address string) (u *url.URL, other string, err error) {
	if len(address) > MaxURLLen {
		return nil, "", refuse("an address of %d bytes, at most %d are allowed", len(address), MaxURLLen)
	}
	u, err = url.Parse(address)
	switch {
	case err != nil:
		return nil, "", refuse("an address that cannot be read")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, u.Scheme, nil
	case u.Host == "":
		return nil, "", refuse("an address without a host")
	}
	return u, "", nil
}

func parseSum(text string) (*[32]byte, error) {
	sum, err := hex.DecodeString(text)
	if err != nil || len(sum) != 32 {
		return nil, refuse("a sha-256 that is not one of 64 hexadecimal digits")
	}
	return (*[32]byte)(sum), nil
}

func parseNumber(text string, least, most int64) (int64, bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && n >= least && n <= most
}
