package flags

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/source"
)

// Limits of the names of targets, in bytes.
const (
	maxTargetLen = 8192 // room for 1,024 ports
	maxHostLen   = 253  // RFC 1035, 2.3.4, without the length bytes
	maxLabelLen  = 63   // RFC 1035, 2.3.4
)

// Addresses are the values of --address, one a flag, as typed. Unlike kong's
// own slices they are not cut at commas, which may separate ports, and
// `-a=HOST` works.
type Addresses []string

// Decode implements [kong.MapperValue]. A repeated flag appends.
func (a *Addresses) Decode(ctx *kong.DecodeContext) error {
	address, err := popValue(ctx, "an address")
	if err != nil {
		return err
	}
	*a = append(*a, address)
	return nil
}

// HostPorts is a host and the port words written next to it, if any.
type HostPorts struct {
	Host  string
	Words []string
}

// ParseTarget reads an address of -a or a positional target:
//
//	127.0.0.1  example.com  ::1  [::1]
//	host:10001-10004  host:1,2,5-7  [::1]:10001  [fe80::1%eth0]:9000
//
// The host comes back in lower case, an IP address in its shortest form. The
// port words, nil without any, are for [ExpandPorts]; they are made of
// digits, "-" and "," but may be invalid. The error says in words what is
// wrong, and repeats at most 80 columns of s.
func ParseTarget(s string) (host string, portWords []string, err error) {
	host, ports, hasPorts, err := splitTarget(s)
	if err != nil {
		return "", nil, err
	}
	if addr, err := netip.ParseAddr(host); err == nil && addr.Is6() && addr.IsLinkLocalUnicast() && addr.Zone() == "" {
		return "", nil, fmt.Errorf("%s is on every link of this machine: name the interface behind a %%, as in %s", human.Quote(s), human.Quote(host+"%eth0"))
	}
	if !hasPorts {
		return host, nil, nil
	}
	if strings.Trim(ports, ",") == "" {
		return "", nil, fmt.Errorf("%s has no port after the colon", human.Quote(s))
	}
	for word := range strings.SplitSeq(ports, ",") {
		if word != "" && !isPortList(word) {
			return "", nil, fmt.Errorf("%s: %s %s", human.Quote(s), human.Quote(word), problemNoPort)
		}
	}
	return host, []string{ports}, nil
}

// splitTarget splits a target and checks its host.
func splitTarget(s string) (host, ports string, hasPorts bool, err error) {
	if err := checkTargetText(s); err != nil {
		return "", "", false, err
	}
	if s[0] == '[' {
		return splitBracketed(s)
	}
	if addr, ok := parseIPv6(s); ok {
		return addr, "", false, nil
	}
	if strings.Count(s, ":") > 1 {
		return "", "", false, fmt.Errorf("%s has several colons and is no IPv6 address; with ports it is written [ADDRESS]:PORT", human.Quote(s))
	}
	host, ports, hasPorts = strings.Cut(s, ":")
	if host == "" {
		return "", "", false, fmt.Errorf("%s has no host before the colon", human.Quote(s))
	}
	host, err = checkHost(host)
	return host, ports, hasPorts, err
}

// checkTargetText refuses text that cannot be a target, whatever its parts are.
func checkTargetText(s string) error {
	switch {
	case s == "":
		return errors.New("the address is empty")
	case len(s) > maxTargetLen:
		return fmt.Errorf("%s is too long for an address: %s bytes, at most %s are allowed",
			human.Quote(s), human.Comma(int64(len(s))), human.Comma(maxTargetLen))
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return fmt.Errorf("%s has a space or control character in it; several addresses are several words", human.Quote(s))
	}
	if scheme, _, ok := strings.Cut(s, "://"); ok {
		if strings.EqualFold(scheme, "malcolm") {
			return fmt.Errorf("%s: an address has no scheme; leave out malcolm:// and write HOST:PORT", human.Quote(s))
		}
		return fmt.Errorf("%s: write a malcolm server as HOST:PORT, and a mirror as https://… or http://…", human.Quote(withoutSecrets(s)))
	}
	if strings.Contains(s, "/") {
		return fmt.Errorf("%s has a %q in it; an address is HOST or HOST:PORT, without a path", human.Quote(s), "/")
	}
	if strings.Contains(s, "@") {
		return fmt.Errorf("%s has a %q in it; an address has no user name", human.Quote(s), "@")
	}
	return nil
}

// splitBracketed splits "[v6]" and "[v6]:ports".
func splitBracketed(s string) (host, ports string, hasPorts bool, err error) {
	inside, rest, closed := strings.Cut(s[1:], "]")
	if !closed {
		return "", "", false, fmt.Errorf("%s lacks the closing bracket", human.Quote(s))
	}
	addr, ok := parseIPv6(inside)
	switch {
	case inside == "":
		return "", "", false, fmt.Errorf("%s has no host within the brackets", human.Quote(s))
	case !ok:
		return "", "", false, fmt.Errorf("%s: %s is no IPv6 address; only those stand in brackets", human.Quote(s), human.Quote(inside))
	case rest == "":
		return addr, "", false, nil
	case rest[0] != ':':
		return "", "", false, fmt.Errorf("%s: %s after the bracket; ports are written [ADDRESS]:PORT", human.Quote(s), human.Quote(rest))
	}
	return addr, rest[1:], true, nil
}

// parseIPv6 reads an IPv6 address with or without a zone, and returns its
// shortest form. A mapped IPv4 address is returned as IPv4. The zone must look
// like the name or number of an interface: netip takes anything, even
// "eth0:9000".
func parseIPv6(s string) (string, bool) {
	addr, err := netip.ParseAddr(s)
	if err != nil || !addr.Is6() {
		return "", false
	}
	if strings.ContainsFunc(addr.Zone(), func(r rune) bool { return !isNameRune(r) }) {
		return "", false
	}
	return addr.Unmap().String(), true
}

// isNameRune reports whether r may occur in a host name or the name of an
// interface.
func isNameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.'
}

// checkHost accepts an IPv4 address or a name, and returns it in lower case.
func checkHost(host string) (string, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.String(), nil
	}
	if isDigits(host) {
		return "", fmt.Errorf("%s is a number, not a host; ports are given with -p or as HOST:PORT", human.Quote(host))
	}
	name := strings.TrimSuffix(host, ".")
	if len(name) > maxHostLen {
		return "", fmt.Errorf("%s is too long for a host name: %s bytes, at most %d are allowed",
			human.Quote(host), human.Comma(int64(len(name))), maxHostLen)
	}
	last := ""
	for label := range strings.SplitSeq(name, ".") {
		switch {
		case strings.ContainsFunc(label, func(r rune) bool { return r > 0x7f }):
			return "", fmt.Errorf("%s is no host name; international names are written in their xn-- form", human.Quote(host))
		case label == "", label[0] == '-', strings.ContainsFunc(label, func(r rune) bool { return !isNameRune(r) }):
			return "", fmt.Errorf("%s is no host name", human.Quote(host))
		case len(label) > maxLabelLen:
			return "", fmt.Errorf("%s is no host name: %s is longer than %d bytes", human.Quote(host), human.Quote(label), maxLabelLen)
		}
		last = label
	}
	if isDigits(last) {
		return "", fmt.Errorf("%s is no IPv4 address", human.Quote(host))
	}
	return strings.ToLower(host), nil
}

// Targets lists the servers and mirrors to ask, first those of addresses, then
// those of positional, each host's in the order of its ports. The ports apply
// to every address without ports of its own. A server named more than once is
// used once and named in a warning. A mirror is an address that begins with
// https:// or http://. An SRV name, srv:NAME, is a target without a host, of
// which DNS says later where it leads.
//
// If no address uses the ports, that is only a warning: the environment may
// have set them for serve, and `get HOST:PORT` must still work. These are
// errors: a word that is not a port, an address without a port, no address at
// all, and more than 1,024 targets.
func Targets(addresses []string, ports PortWords, positional []string) ([]source.Target, []string, error) {
	shared, err := checkPorts(ports)
	if err != nil {
		return nil, nil, err
	}
	var list targetList
	sharedUsed := false
	for _, address := range slices.Concat(addresses, positional) {
		if isURL(address) || isService(address) {
			parse := ParseURL
			if isService(address) {
				parse = parseService
			}
			t, err := parse(address)
			if err == nil {
				err = list.addTarget(t)
			}
			if err != nil {
				return nil, nil, err
			}
			continue
		}
		var at HostPorts
		if at.Host, at.Words, err = ParseTarget(address); err != nil {
			return nil, nil, err
		}
		portsHere := shared
		switch {
		case at.Words != nil:
			if portsHere, err = checkPorts(at.Words); err != nil {
				return nil, nil, fmt.Errorf("%s: %w", human.Quote(address), err)
			}
		case len(shared) == 0:
			return nil, nil, fmt.Errorf("%s has no port: add -p PORT or write %s", human.Quote(address), withPort(at.Host))
		default:
			sharedUsed = true
		}
		if err := list.add(at.Host, portsHere); err != nil {
			return nil, nil, err
		}
	}
	if len(list.targets) == 0 {
		return nil, nil, errors.New("no address: add -a HOST -p PORT, or write HOST:PORT or https://…")
	}
	warnings := list.warnings()
	if len(shared) > 0 && !sharedUsed {
		warnings = append(warnings, "the ports of -p are not used: every address has its own")
	}
	return list.targets, warnings, nil
}

// checkPorts expands words and refuses any that is not a port. Words listed
// twice are kept, to be counted with the targets.
func checkPorts(words []string) ([]PortWord, error) {
	ports, err := ExpandPorts(words)
	if err != nil {
		return nil, err
	}
	for _, w := range ports {
		if w.Port == 0 {
			return nil, fmt.Errorf("%s %s", human.Quote(w.Word), w.Problem)
		}
	}
	return ports, nil
}

// withPort shows how a port is written next to host.
func withPort(host string) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return human.Quote(host + ":PORT")
}

// A targetList is a list of different targets, and how often each was given.
type targetList struct {
	targets []source.Target
	given   map[source.Target]int
}

func (l *targetList) add(host string, ports []PortWord) error {
	for _, w := range ports {
		if err := l.addTarget(source.Target{Host: host, Port: w.Port}); err != nil {
			return err
		}
	}
	return nil
}

func (l *targetList) addTarget(t source.Target) error {
	if l.given == nil {
		l.given = make(map[source.Target]int)
	}
	l.given[t]++
	if l.given[t] > 1 {
		return nil
	}
	if len(l.targets) == MaxPorts {
		return fmt.Errorf("more than %s targets", human.Comma(MaxPorts))
	}
	l.targets = append(l.targets, t)
	return nil
}

// warnings names each target that was given more than once, and each host that
// is asked over http.
func (l *targetList) warnings() []string {
	var out []string
	for _, t := range l.targets {
		if IsPlain(t) {
			host := strings.TrimSuffix(net.JoinHostPort(t.Host, strconv.Itoa(int(t.Port))), ":80")
			if w := "http://" + host + ": anybody on the way sees what is sent, and may change it"; !slices.Contains(out, w) {
				out = append(out, w)
			}
		}
		switch n := l.given[t]; {
		case n == 2:
			out = append(out, t.String()+": given twice, used once")
		case n > 2:
			out = append(out, fmt.Sprintf("%s: given %d times, used once", t, n))
		}
	}
	return out
}
