package view

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"malcolm/cmd/malcolm/view/schema"
	"malcolm/transfer/fetch"
	"malcolm/transfer/scan"
	"malcolm/transfer/tree"
)

// checkedLines returns the lines of stdout that are no events. Events are
// checked against the schema.
func checkedLines(t *testing.T, stdout string) (lines, events []string) {
	t.Helper()
	root, err := schema.Read("../schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(stdout) {
		if !strings.HasPrefix(line, "{") {
			lines = append(lines, line)
			continue
		}
		if _, err := root.Check(line); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		events = append(events, line)
	}
	return lines, events
}

func TestDifferences(t *testing.T) {
	term, out, said := newTestTerminal()
	r := &fetch.VerifyTreeResult{
		Listing: sum9f, Want: someTotals, Have: someTotals,
		Differences: []tree.Difference{
			{Path: "a", Change: tree.Added}, {Path: "b", Change: tree.Removed}, {Path: "c\n", Change: tree.Checksum | tree.Executable},
			{Path: "d\xff", Change: tree.Kind}, {Path: "e", Change: tree.Target}, {Path: "f", Change: tree.Executable}, {Path: "g", Change: tree.Size},
		},
		Unread: scan.LeftOut{Count: 3, First: []scan.Left{{Path: "h"}}},
	}
	Differences(term, "here", r)
	lines, events := checkedLines(t, out.String())
	want := "extra\ta\nmissing\tb\ndiffers\t$'c\\n'\ndiffers\t$'d\\377'\ndiffers\te\ndiffers\tf\ndiffers\tg\nunread\th\n"
	if got := strings.Join(lines, ""); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for i, how := range []string{"extra", "missing", "content", "kind", "target", "mode", "content", "unread"} {
		if !strings.Contains(events[i], `"how":"`+how+`"`) {
			t.Errorf("event %d is %s, want %s", i, events[i], how)
		}
	}
	if want := `"right":false`; !strings.Contains(events[len(events)-1], want) {
		t.Errorf("got %s, want %s", events[len(events)-1], want)
	}
	if want := `"missing":1,"differs":5,"extra":1,"unread":3}`; !strings.Contains(events[len(events)-1], want) {
		t.Errorf("got %s, want %s", events[len(events)-1], want)
	}
	if want := "2 entries cannot be compared either\n"; said.String() != want {
		t.Errorf("got %q, want %q", said, want)
	}
	out.Reset()
	Differences(term, "here", &fetch.VerifyTreeResult{Listing: sum9f, Want: someTotals, Have: someTotals})
	if want := "here: right, 10,000 files, 1 empty directory, 2 links, 1.5 GiB, tree:9f86"; !strings.Contains(out.String(), want) {
		t.Errorf("%q is missing in %s", want, out)
	}
}

// TestMended: the last line says what was done and what was not, and at most
// ten paths are named.
func TestMended(t *testing.T) {
	var many []string
	for i := range 12 {
		many = append(many, fmt.Sprintf("x %d", i))
	}
	for _, test := range []struct {
		name string
		r    fetch.RepairTreeResult
		want []string // lines, or their beginnings
	}{
		{"changed", fetch.RepairTreeResult{Replaced: 3, Made: 1, Removed: 2}, []string{"copy: 3 replaced, 1 made, 2 removed, in 1.5s, tree:9f86"}},
		{"one extra", fetch.RepairTreeResult{Made: 1000, Extra: []string{"a\tb"}},
			[]string{"extra: $'a\\tb'", "copy: 1,000 made; 1 extra left alone: --delete removes it, in 1.5s, tree:9f86"}},
		{"many extra", fetch.RepairTreeResult{Replaced: 1, Extra: many}, []string{
			"extra: 'x 0'", "extra: 'x 1'", "extra: 'x 2'", "extra: 'x 3'", "extra: 'x 4'", "extra: 'x 5'", "extra: 'x 6'", "extra: 'x 7'", "extra: 'x 8'",
			"extra: 'x 9'", "extra: 2 more", "copy: 1 replaced; 12 extra left alone: --delete removes them, in 1.5s",
		}},
		{"right", fetch.RepairTreeResult{}, []string{"copy: right, tree:9f86"}},
		{"right but for extra", fetch.RepairTreeResult{Extra: many[:1]}, []string{"extra: 'x 0'", "copy: right; 1 extra left alone: --delete removes it, tree:9f86"}},
	} {
		test.r.Result = &fetch.Result{Path: "copy", Checksum: sum9f, Elapsed: 1500 * time.Millisecond, Tree: fetch.TreeReport{Voted: true}}
		test.r.AlreadyRight = test.r.Replaced+test.r.Made+test.r.Removed == 0
		term, out, said := newTestTerminal()
		v := &getText{Terminal: term}
		v.ended(Outcome{Got: test.r.Result, Mended: &test.r})
		lines := strings.Split(strings.TrimSuffix(said.String(), "\n"), "\n")
		if len(lines) != len(test.want) {
			t.Errorf("%s: got %q, want %q", test.name, lines, test.want)
			continue
		}
		for i, want := range test.want {
			if !strings.HasPrefix(lines[i], want) {
				t.Errorf("%s: got %q, want %q", test.name, lines[i], want)
			}
		}
		if out.String() != "copy\n" {
			t.Errorf("%s: stdout %q, want the path", test.name, out)
		}
		out.Reset()
		(&getJSON{out: term}).ended(Outcome{Got: test.r.Result, Mended: &test.r})
		_, events := checkedLines(t, out.String())
		want := fmt.Sprintf(`"replaced":%d,"made":%d,"removed":%d,"extra":%d,`, test.r.Replaced, test.r.Made, test.r.Removed, len(test.r.Extra))
		if len(events) != 1 || !strings.Contains(events[0], want) {
			t.Errorf("%s: got %q, want %s", test.name, events, want)
		}
	}
}

// TestOtherVersion: people and programs are told of servers that have another
// version of the directory, and of what they lack.
func TestOtherVersion(t *testing.T) {
	term, out, said := newTestTerminal()
	text, events := &getText{Terminal: term}, newGetJSON(term, nil)
	out.Reset()
	for _, e := range []fetch.Event{
		fetch.Joined{Target: here, Other: true}, fetch.Joined{Target: here},
		fetch.Lacking{Target: here, Path: "a\x1b/b", Err: errors.New("the file changed")},
	} {
		text.event(e)
		events.event(e)
	}
	want := here.String() + " has another version of the directory: it is asked for the files that are the same\n" +
		here.String() + " answered late and has the same file: it takes part\n" +
		"malcolm: warning: " + here.String() + ` does not have "a\x1b/b" (and perhaps others): others are asked` + "\n"
	if got := said.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	_, lines := checkedLines(t, out.String())
	for i, want := range []string{
		`"state":"serving","reason":"has another version of the directory: it is asked for the files that are the same"`, `"state":"serving","reason":""`,
		`{"event":"lacking","v":1,"address":"127.0.0.1:10001","id":"","path":"a\u001b/b","raw":"","reason":"the file changed"}`,
	} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("got %s, want %s", lines[i], want)
		}
	}
}
