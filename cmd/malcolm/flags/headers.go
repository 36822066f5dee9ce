package flags

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"malcolm/cmd/malcolm/human"
)

const (
	maxHeaderFile = 64 << 10 // bytes of a file of headers
	maxHeaders    = 100
)

// A Header is a line that malcolm sends to mirrors with each request.
type Header struct {
	Host        string // the mirrors' host; empty: all of them
	Name, Value string
}

// Headers are the values of --header, one a flag, as typed.
type Headers []string

// Decode implements [kong.MapperValue]. A repeated flag appends.
func (h *Headers) Decode(ctx *kong.DecodeContext) error {
	line, err := popValue(ctx, "a header")
	if err != nil {
		return err
	}
	*h = append(*h, line)
	return nil
}

// Read returns the headers: those typed, and the lines of @FILE and env:NAME.
// Errors of reading a file are those of the system; all others are of usage. No
// error shows a value. warn is told when others may read a file.
func (h Headers) Read(lookup func(string) (string, bool), warn func(string)) (list []Header, err error) {
	for _, text := range h {
		switch path, isFile := strings.CutPrefix(text, "@"); {
		case isFile:
			b, err := readHeaders(path, warn)
			if err != nil {
				return nil, err
			}
			if list, err = appendHeaders(list, string(b), fmt.Sprintf("file %q", path)); err != nil {
				return nil, err
			}
		case strings.HasPrefix(text, "env:"):
			name := strings.TrimPrefix(text, "env:")
			lines, ok := lookup(name)
			if !ok || lines == "" {
				return nil, fmt.Errorf("--header: the variable %s is not set", human.Quote(name))
			}
			if list, err = appendHeaders(list, lines, "variable "+human.Quote(name)); err != nil {
				return nil, err
			}
		default:
			header, problem := parseHeader(text)
			if problem == "" && isCredential(header.Name) {
				problem = header.Name + " is a credential, which others see on a command line; put the line into a file: --header @FILE"
			}
			if problem != "" {
				return nil, errors.New("--header: " + problem)
			}
			list = append(list, header)
		}
	}
	if len(list) > maxHeaders {
		return nil, fmt.Errorf("--header: more than %d headers", maxHeaders)
	}
	return list, nil
}

// readHeaders reads a file of headers.
func readHeaders(path string, warn func(string)) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode(); mode.IsRegular() && mode.Perm()&0o007 != 0 && os.PathSeparator == '/' {
		warn(fmt.Sprintf("file %q: others may use the headers in it (mode %#o); run: chmod 600 %s", path, mode.Perm(), human.ShellQuote(path)))
	}
	b, err := io.ReadAll(io.LimitReader(f, maxHeaderFile+1))
	if err == nil && len(b) > maxHeaderFile {
		err = &os.PathError{Op: "read", Path: path, Err: errTooLong}
	}
	return b, err
}

var errTooLong = errors.New("too long for a file of headers: at most 64 KiB are allowed")

// appendHeaders appends the headers in lines. Empty lines and those that begin
// with # are skipped.
func appendHeaders(list []Header, lines, from string) ([]Header, error) {
	n := 0
	for line := range strings.Lines(lines) {
		n++
		line = strings.TrimRight(line, "\r\n")
		if strings.TrimSpace(line) == "" || line[0] == '#' {
			continue
		}
		header, problem := parseHeader(line)
		if problem != "" {
			return nil, fmt.Errorf("--header: %s, line %d: %s", from, n, problem)
		}
		list = append(list, header)
	}
	return list, nil
}

// ownHeaders are set by malcolm itself, or belong to a connection.
var ownHeaders = []string{
	"accept-encoding", "connection", "content-length", "expect", "host", "if-match", "if-modified-since", "if-none-match", "if-range",
	"if-unmodified-since", "keep-alive", "proxy-authorization", "proxy-connection", "range", "te", "trailer", "transfer-encoding", "upgrade",
}

// parseHeader reads "NAME: VALUE" or "HOST NAME: VALUE". problem says what is
// wrong, without the value.
func parseHeader(line string) (h Header, problem string) {
	front, value, ok := strings.Cut(line, ":")
	if host, rest, two := strings.Cut(line, " "); two && !strings.HasSuffix(host, ":") && strings.Contains(rest, ":") {
		front, value, ok = strings.Cut(rest, ":")
		name, err := checkHost(strings.Trim(host, "[]"))
		if addr, is := parseIPv6(strings.Trim(host, "[]")); is {
			name, err = addr, nil
		}
		if err != nil {
			return h, "it is written NAME: VALUE, or HOST NAME: VALUE"
		}
		h.Host = name
	}
	h.Name, h.Value = strings.TrimSpace(front), strings.TrimSpace(value)
	switch {
	case !ok || h.Name == "":
		return h, "it is written NAME: VALUE, or HOST NAME: VALUE"
	case strings.ContainsFunc(h.Name, func(r rune) bool { return !isTokenRune(r) }):
		return h, "a header's name has letters, digits and - in it"
	case slices.Contains(ownHeaders, strings.ToLower(h.Name)):
		return h, h.Name + " is set by malcolm itself"
	case strings.ContainsFunc(h.Value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
		return h, "the value of " + h.Name + " has a control character in it"
	}
	return h, ""
}

// isTokenRune reports whether r may be in a header's name (RFC 9110, 5.6.2).
func isTokenRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}

// isCredential reports whether a header says who asks.
func isCredential(name string) bool {
	name = strings.ToLower(name)
	return name == "authorization" || name == "cookie" || strings.HasSuffix(name, "-token") || strings.HasSuffix(name, "-key")
}
