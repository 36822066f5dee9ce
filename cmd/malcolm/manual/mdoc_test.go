package manual

import "testing"

// TestMdoc: what roff would take for a request or an escape is shown as it is.
func TestMdoc(t *testing.T) {
	for _, test := range []struct{ markdown, want string }{
		{`a \n b`, "a \\en b\n"},
		{"`.hidden` is first", "\\fB.hidden\\fP is first\n"},
		{".hidden", "\\&.hidden\n"},
		{"'quoted'", "\\&'quoted'\n"},
		{"`--force`, -r, well-known (-q)", "\\fB\\-\\-force\\fP, \\-r, well-known (\\-q)\n"},
		{"One. Two? **Three**", "One.\nTwo?\n\\fBThree\\fP\n"},
		{"`it's ~^`", "\\fBit\\(aqs \\(ti\\(ha\\fP\n"},
		{"```\n.a\n\\b -c\n```", ".Bd -literal -offset indent\n\\&.a\n\\eb \\-c\n.Ed\n"},
		{"- a\n- b", ".Bl -bullet\n.It\na\n.It\nb\n.El\n"},
		{"| a | b |\n| --- | --- |\n| `Fl x` | y |", ".Bl -tag -width Ds\n.It \"\\&Fl x\"\ny\n.El\n"},
		{"| a | b | c |\n| --- | --- | --- |\n| `.x` | | z |", ".TS\nlbx lbx lbx\nlx lx lx.\nT{\na\nT}\tT{\nb\nT}\tT{\nc\nT}\nT{\n\\fB.x\\fP\nT}\tT{\nT}\tT{\nz\nT}\n.TE\n"},
		{"a\n\n### B \"c\"\n\nd\n\ne", "a\n.Ss \"\\&B \\(dqc\\(dq\"\nd\n.Pp\ne\n"},
	} {
		if got := Mdoc(Parse(test.markdown)); got != test.want {
			t.Errorf("%q: got\n%s\nwant\n%s", test.markdown, got, test.want)
		}
	}
}
