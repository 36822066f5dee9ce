package flags

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/source"
)

// isURL reports whether s is meant as the address of a mirror.
func isURL(s string) bool {
	scheme, _, ok := strings.Cut(s, "://")
	return ok && (strings.EqualFold(scheme, "https") || strings.EqualFold(scheme, "http"))
}

// ParseURL reads the address of a mirror, https://HOST/PATH or http://. The
// target keeps it as it is: its percent-encoding may be signed. The error names
// it without what may be secret.
func ParseURL(s string) (source.Target, error) {
	fail := func(format string, args ...any) (source.Target, error) {
		return source.Target{}, fmt.Errorf("%s "+format, append([]any{human.Quote(withoutSecrets(s))}, args...)...)
	}
	switch {
	case len(s) > maxTargetLen:
		return fail("is too long for an address: %s bytes, at most %s are allowed", human.Comma(int64(len(s))), human.Comma(maxTargetLen))
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return fail("has a space or control character in it; in an address a space is written %%20")
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return fail("is no address: %s", urlProblem(err))
	case u.User != nil:
		return fail("has a user name in it, which others may see: give it as a header, --header @FILE")
	case strings.Contains(s, "#"):
		return fail("has a # in it, and what follows is never sent; in a name it is written %%23")
	case u.Hostname() == "":
		return fail("has no host")
	}
	t := source.Target{URL: s, Port: 443}
	if u.Scheme == "http" {
		t.Port = 80
	}
	if port := u.Port(); port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return fail("has no port after the colon: ports are 1 to 65535")
		}
		t.Port = uint16(n)
	} else if strings.HasSuffix(u.Host, ":") {
		return fail("has no port after the colon")
	}
	if addr, ok := parseIPv6(u.Hostname()); ok {
		t.Host = addr
		return t, nil
	}
	if t.Host, err = checkHost(u.Hostname()); err != nil {
		return fail("is no address: %s", err.Error())
	}
	return t, nil
}

// urlProblem is what is wrong with an address, without the address.
func urlProblem(err error) string {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	return err.Error()
}

// withoutSecrets cuts from an address what may be secret: user, password, query
// and fragment.
func withoutSecrets(s string) string {
	s, _, _ = strings.Cut(s, "?")
	s, _, _ = strings.Cut(s, "#")
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return s
	}
	host, path, _ := strings.Cut(rest, "/")
	if i := strings.LastIndex(host, "@"); i >= 0 {
		host = host[i+1:]
	}
	if path != "" {
		host += "/"
	}
	return scheme + "://" + host + path
}

// IsPlain reports whether everybody on the way to a mirror can read the
// requests.
func IsPlain(t source.Target) bool {
	return t.IsMirror() && len(t.URL) >= 5 && strings.EqualFold(t.URL[:5], "http:")
}
