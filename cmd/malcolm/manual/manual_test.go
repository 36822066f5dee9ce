package manual

import (
	"strings"
	"testing"
)

const sample = `# All

<!-- flags of x: written -->
| flag | meaning |
<!-- /flags -->

## One thing

A line with ` + "`code | **x**`" + `, **bold**, a [link](#one)
that goes on.

- first
  goes on
- second [a](b)

1. one
2. two

### Deeper

` + "```sh\na   b\n```" + `

| a | b c |
| --- | --- |
| ` + "`x\\|y`" + ` | long words that wrap here |

## Another

text
`

// TestText: each kind of block, with its marks taken away; the flags are not
// there, nor is the next section.
func TestText(t *testing.T) {
	const want = `A line with code | **x**,
bold, a link that goes
on.

- first goes on
- second a

1. one
2. two

DEEPER

    a   b

a    b c
---  --------------------
x|y  long words that wrap
     here
`
	if got := Text(Section(Parse(sample), "One thing"), 25); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if got := Text(Section(Parse(sample), "All"), 80); strings.Contains(got, "meaning") || !strings.Contains(got, "ANOTHER") {
		t.Errorf("the whole is %s", got)
	}
	if Section(Parse(sample), "one thing") != nil {
		t.Error("there is a section that nobody wrote")
	}
}

// TestColumnWidths: narrow columns keep their width, wide ones share the rest,
// and no word is cut.
func TestColumnWidths(t *testing.T) {
	for _, test := range []struct {
		rows  string
		width int
		want  []int
	}{
		{"a;b", 80, []int{1, 1}},
		{"a;b b b b b b", 8, []int{1, 5}},
		{"a a a a a a;b b b b b b", 12, []int{5, 5}},
		{"aaaaaaaaaaaaaaaa;b b b", 10, []int{16, 1}},
		{";b", 5, []int{1, 1}},
	} {
		got := columnWidths([][]string{strings.Split(test.rows, ";")}, test.width)
		if len(got) != len(test.want) || got[0] != test.want[0] || got[1] != test.want[1] {
			t.Errorf("%q in %d: %v, want %v", test.rows, test.width, got, test.want)
		}
	}
}
