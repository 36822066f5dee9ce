package config

import (
	"slices"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"
)

// A line is read as the setting that was written, whatever its texts are.
func TestLineIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Setting{Key: "limit", List: rapid.Bool().Draw(t, "list"), Path: "c", Line: 2}
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`-?[0-9]{1,20}(\.[0-9]+)?`))
		if want.List {
			want.Texts = rapid.SliceOf(text).Draw(t, "texts")
		} else {
			want.Texts = []string{text.Draw(t, "text")}
		}
		line := Line(want)
		if strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Fatalf("%q has something invisible", line)
		}
		f, err := parse("c", "[get]\n"+line+"\n")
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		got, ok := f.Lookup("get", "limit")
		if !ok || !slices.Equal(got.Texts, want.Texts) || got.List != want.List {
			t.Fatalf("%s is read as %q, want %q", line, got.Texts, want.Texts)
		}
	})
}

func TestLine(t *testing.T) {
	tests := []struct {
		setting Setting
		want    string
	}{
		{Setting{Key: "limit", Texts: []string{"10M"}}, `limit = "10M"`},
		{Setting{Key: "quorum", Texts: []string{"2"}}, `quorum = 2`},
		{Setting{Key: "quorum", Texts: []string{"007"}}, `quorum = "007"`},
		{Setting{Key: "resume", Texts: []string{"true"}, Bool: true}, `resume = true`},
		{Setting{Key: "port", Texts: []string{"1", "2-3"}, List: true}, `port = [1, "2-3"]`},
		{Setting{Key: "port", List: true}, `port = []`},
		{Setting{Key: "name", Texts: []string{"a\x1b[2J\u009b\xff\n"}}, "name = \"a\\u001b[2J\\U0000009B\uFFFD\\n\""},
	}
	for _, test := range tests {
		if got := Line(test.setting); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
}
