package web

import (
	"net/http"
	"strings"
	"time"
)

// A state is what conditions are compared with.
type state struct {
	tag      string // a strong entity tag, with its quotes; empty: none
	modified time.Time
}

// A verdict is what conditions say.
type verdict int

const (
	goOn      verdict = iota // answer the request
	unchanged                // 304
	failed                   // 412
)

// judge evaluates the conditions of a GET or HEAD in the order of RFC 9110,
// section 13.2.2.
func judge(h http.Header, s state) verdict {
	switch match := list(h, "If-Match"); {
	case match != "":
		if !matches(match, s.tag, isStrong) {
			return failed
		}
	case isAfter(s.modified, h.Get("If-Unmodified-Since")):
		return failed
	}
	switch none := list(h, "If-None-Match"); {
	case none != "":
		if matches(none, s.tag, isAny) {
			return unchanged
		}
	case isNotAfter(s.modified, h.Get("If-Modified-Since")):
		return unchanged
	}
	return goOn
}

// mayRange reports whether If-Range lets ranges be sent: it is missing, or has
// the strong tag or the very date of what is there (section 13.1.5).
func mayRange(h http.Header, s state) bool {
	field := strings.Trim(h.Get("If-Range"), " \t")
	switch {
	case field == "":
		return true
	case strings.HasPrefix(field, `"`), strings.HasPrefix(field, "W/"):
		return s.tag != "" && field == s.tag
	}
	at, err := http.ParseTime(field)
	return err == nil && hasDate(s.modified) && seconds(s.modified).Equal(at)
}

// list joins the fields of a name, which may be several.
func list(h http.Header, name string) string { return strings.Join(h.Values(name), ",") }

// strength is how tags are compared.
type strength bool

const (
	isStrong strength = true
	isAny    strength = false // weak tags are equal to strong ones
)

// matches reports whether a list of tags has tag, or is "*". A malformed rest
// of a list is ignored.
func matches(tags, tag string, how strength) bool {
	for {
		tags = strings.TrimLeft(tags, " \t,")
		if strings.HasPrefix(tags, "*") {
			return true
		}
		rest, weak := strings.CutPrefix(tags, "W/")
		if !strings.HasPrefix(rest, `"`) {
			return false
		}
		end := strings.IndexByte(rest[1:], '"')
		if end < 0 {
			return false
		}
		if tag != "" && rest[:end+2] == tag && !(weak && how == isStrong) {
			return true
		}
		tags = rest[end+2:]
	}
}

// isAfter reports whether a file was modified after the date of a field.
func isAfter(modified time.Time, field string) bool {
	at, err := http.ParseTime(field)
	return err == nil && hasDate(modified) && seconds(modified).After(at)
}

// isNotAfter reports whether a file was not modified after the date of a field.
func isNotAfter(modified time.Time, field string) bool {
	at, err := http.ParseTime(field)
	return err == nil && hasDate(modified) && !seconds(modified).After(at)
}

// seconds cuts a time to whole seconds, as HTTP has it.
func seconds(t time.Time) time.Time { return t.Truncate(time.Second) }

// hasDate reports whether HTTP can write a time.
func hasDate(t time.Time) bool {
	year := t.UTC().Year()
	return t.Unix() != 0 && year > 0 && year <= 9999
}

// dateOf returns the field Last-Modified. It is empty, and not sent, if HTTP
// cannot write the time or if the time is in the future (RFC 9110, section
// 8.8.2.1).
func dateOf(modified, now time.Time) string {
	if !hasDate(modified) || modified.After(now) {
		return ""
	}
	return modified.UTC().Format(http.TimeFormat)
}
