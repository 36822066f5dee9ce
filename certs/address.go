package certs

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of a host name, RFC 1035, section 2.3.4, in bytes.
const (
	maxHostLen  = 253 // without the length bytes
	maxLabelLen = 63
)

// maxQuoted bounds the bytes of a foreign text that an error repeats, before
// quoting.
const maxQuoted = 64

// quoted returns the first maxQuoted bytes of s, quoted for an error.
func quoted(s string) string {
	if len(s) <= maxQuoted {
		return strconv.Quote(s)
	}
	end := maxQuoted
	for end > maxQuoted-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return strconv.Quote(s[:end]) + "..."
}

// An address is a host, as parseHost returns it, and a port. In a pin either
// may be missing.
type address struct {
	host string
	port uint16
}

// String returns host:port with IPv6 addresses in brackets, or the host alone
// if there is no port.
func (a address) String() string {
	if a.port == 0 {
		return a.host
	}
	return net.JoinHostPort(a.host, strconv.Itoa(int(a.port)))
}

// parseAddress reads HOST, HOST:PORT, IPV6, [IPV6] and [IPV6]:PORT. Without a
// port it is 0.
func parseAddress(s string) (address, error) {
	if s == "" {
		return address{}, fmt.Errorf("the address is empty")
	}
	if rest, ok := strings.CutPrefix(s, "["); ok {
		inside, rest, closed := strings.Cut(rest, "]")
		host, isIPv6 := parseIPv6(inside)
		switch {
		case !closed:
			return address{}, fmt.Errorf("%s lacks the closing bracket", quoted(s))
		case !isIPv6:
			return address{}, fmt.Errorf("%s is no IPv6 address; only those stand in brackets", quoted(inside))
		case rest == "":
			return address{host: host}, nil
		case rest[0] != ':':
			return address{}, fmt.Errorf("%s after the bracket; a port is written [ADDRESS]:PORT", quoted(rest))
		}
		port, err := parsePort(rest[1:])
		return address{host, port}, err
	}
	if strings.Count(s, ":") > 1 {
		host, ok := parseIPv6(s)
		if !ok {
			return address{}, fmt.Errorf("%s has several colons and is no IPv6 address; with a port it is written [ADDRESS]:PORT", quoted(s))
		}
		return address{host: host}, nil
	}
	name, digits, hasPort := strings.Cut(s, ":")
	host, err := parseHost(name)
	if err != nil || !hasPort {
		return address{host: host}, err
	}
	port, err := parsePort(digits)
	return address{host, port}, err
}

// parseServer is parseAddress for an address that has a port.
func parseServer(s string) (address, error) {
	a, err := parseAddress(s)
	if err == nil && a.port == 0 {
		err = fmt.Errorf("%s has no port", quoted(s))
	}
	if err != nil {
		return address{}, err
	}
	return a, nil
}

// parsePort reads a decimal number from 1 to 65535 in its one spelling.
func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || s[0] < '1' || s[0] > '9' {
		return 0, fmt.Errorf("%s is no port: ports are 1 to 65535", quoted(s))
	}
	return uint16(n), nil
}

// parseIPv6 reads an IPv6 address, which may have a zone, and returns its
// shortest form. A mapped IPv4 address is returned as IPv4.
func parseIPv6(s string) (string, bool) {
	addr, err := netip.ParseAddr(s)
	if err != nil || !addr.Is6() || strings.ContainsFunc(addr.Zone(), notInName) {
		return "", false
	}
	return addr.Unmap().String(), true
}

// notInName reports whether r occurs neither in host names nor in the names of
// interfaces.
func notInName(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
}

// parseHost reads a host name or an IPv4 address, and returns it in lower case:
// the form in which addresses are compared.
func parseHost(s string) (string, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Is4() {
		return addr.String(), nil
	}
	name := strings.TrimSuffix(s, ".")
	last := ""
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || label[0] == '-' || len(label) > maxLabelLen || strings.ContainsFunc(label, notInName) {
			return "", fmt.Errorf("%s is no host name", quoted(s))
		}
		last = label
	}
	if len(name) > maxHostLen {
		return "", fmt.Errorf("%s is longer than a host name may be: %d bytes", quoted(s), maxHostLen)
	}
	if strings.Trim(last, "0123456789") == "" {
		return "", fmt.Errorf("%s is no host name and no IPv4 address", quoted(s))
	}
	return strings.ToLower(s), nil
}

// bracketed returns a host as written before a colon.
func bracketed(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}
