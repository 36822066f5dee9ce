package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/BurntSushi/toml"
)

// wholeNumber matches what TOML reads as the same number.
var wholeNumber = regexp.MustCompile(`^(0|-?[1-9][0-9]{0,17})$`)

// Line writes a setting as a line of a file that reads back as the same
// setting. Text that is not UTF-8 gets U+FFFD. The line has nothing invisible.
func Line(s Setting) string {
	var value any
	switch {
	case s.List:
		list := make([]any, 0, len(s.Texts))
		for _, text := range s.Texts {
			list = append(list, valueOf(text))
		}
		value = list
	case s.Bool:
		value = s.Texts[0] == "true"
	default:
		value = valueOf(s.Texts[0])
	}
	line, err := toml.Marshal(map[string]any{s.Key: value})
	if err != nil {
		panic("malcolm: internal error: a setting is no TOML: " + err.Error())
	}
	return visible(strings.TrimSuffix(string(line), "\n"))
}

func valueOf(text string) any {
	if wholeNumber.MatchString(text) {
		n, _ := strconv.ParseInt(text, 10, 64) // it fits
		return n
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

// visible escapes what a terminal does not show. It stands between quotes.
func visible(line string) string {
	var b strings.Builder
	for _, r := range line {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\U%08X`, r)
		}
	}
	return b.String()
}
