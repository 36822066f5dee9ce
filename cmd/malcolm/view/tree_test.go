package view

import (
	"slices"
	"strings"
	"testing"
	"time"

	"malcolm/certs"
	"malcolm/cmd/malcolm/human"
	"malcolm/cmd/malcolm/view/schema"
	"malcolm/transfer/fetch"
	"malcolm/transfer/tree"
	"malcolm/transfer/vote"
	"malcolm/wire"
)

// someTotals are those of a directory.
var someTotals = tree.Totals{Files: 10000, Directories: 1, Links: 2, Bytes: 3 * giB / 2}

// treeOf makes a group offer a directory.
func treeOf(g vote.Group) vote.Group {
	g.Tree, g.Size = true, 1258291
	return g
}

func TestVoteLineOfTrees(t *testing.T) {
	five := targetsOn("a", "b", "c", "d", "e")
	other := [32]byte{1}
	for want, groups := range map[string][]vote.Group{
		"2 of 3 servers, 2 of 3 votes, agree on tree:9f86d081… (listing of 1.2 MiB); c:10002 has another directory, left out": {
			treeOf(groupOf(sum9f, 2, 2, 0, 1)), treeOf(groupOf(other, 1, 1, 2))},
		"2 of 3 servers, 2 of 3 votes, agree on tree:9f86d081… (listing of 1.2 MiB); c:10002 has a file, left out": {
			treeOf(groupOf(sum9f, 2, 2, 0, 1)), groupOf(other, 1, 1, 2)},
		"2 of 3 servers, 2 of 3 votes, agree on 9f86d081… (1.0 GiB); c:10002 has a directory, left out": {
			groupOf(sum9f, 2, 2, 0, 1), treeOf(groupOf(other, 1, 1, 2))},
	} {
		e := fetch.Voted{Targets: five, Result: vote.Result{Groups: groups, Total: 3, Answered: []int{0, 1, 2}}}
		if got := voteLine(e); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// The votes for what is chosen of several versions count together.
func TestVoteLineOfChoice(t *testing.T) {
	r := vote.Result{Groups: []vote.Group{treeOf(groupOf(sum9f, 1, 1, 0)), treeOf(groupOf([32]byte{1}, 1, 1, 1))}, Total: 2, Answered: []int{0, 1}}
	want := "2 of 2 votes agree on what is chosen; the whole directories have no majority: that of a:10000 is taken (tree:9f86d081…, listing of 1.2 MiB)"
	if got := voteLine(fetch.Voted{Targets: targetsOn("a", "b"), Result: r, Choice: 2}); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestTreeLines is what a person reads of a run that copies a directory.
func TestTreeLines(t *testing.T) {
	term, _, said := newTestTerminal()
	v := &getText{Terminal: term}
	result := vote.Result{Groups: []vote.Group{treeOf(groupOf(sum9f, 2, 2, 0, 1))}, Total: 2, Answered: []int{0, 1}}
	v.event(fetch.Voted{Targets: targetsOn("a", "b"), Result: result})
	v.event(fetch.LeftOut{Target: here, Tree: true, Checksum: sum9f, Size: 512})
	v.event(fetch.LeftOut{Target: here, Checksum: sum9f, Size: 512})
	v.event(fetch.Joined{Target: here})
	v.event(fetch.Joined{Target: here, Other: true})
	v.event(fetch.Listed{Totals: someTotals, Size: giB})
	v.event(fetch.Started{Name: "photos", Size: giB, Chunks: 12000, Tree: true, Totals: someTotals})
	v.run.Mending = "my photos"
	v.event(fetch.Started{Name: "x", Size: 3 * giB / 2, Tree: true, Totals: someTotals})
	v.event(fetch.FileDone{Path: "a\n/b", Size: 4096})
	v.event(fetch.ChunkRefused{Target: here, Path: "a/b", Chunk: 3, Offset: 768 << 10, Length: 256 << 10})
	v.event(fetch.ChunkRefused{Target: here, Listing: true, Chunk: 0, Length: 256 << 10, Changed: true})
	v.done(&fetch.Result{
		Size: giB, Amounts: fetch.Amounts{Fetched: giB}, Elapsed: 10 * time.Second, Checksum: sum9f, Path: "copy/photos",
		Tree: fetch.TreeReport{Voted: true, Listed: true, Totals: someTotals, FilesDone: 10000},
	})
	want := strings.TrimPrefix(`
2 of 2 servers, 2 of 2 votes, agree on tree:9f86d081… (listing of 1.2 MiB)
malcolm: warning: 127.0.0.1:10001 answered late and has another directory (tree:9f86d081…, listing of 512 B): left out
malcolm: warning: 127.0.0.1:10001 answered late and has a file (9f86d081…, 512 B): left out
127.0.0.1:10001 answered late and has the same directory: it takes part
127.0.0.1:10001 has another version of the directory: it is asked for the files that are the same
getting "photos": 10,000 files, 1 empty directory, 2 links, 1.5 GiB, 1.0 GiB without what is there twice
mending 'my photos': fetching 10,000 files, 1 empty directory, 2 links, 1.5 GiB
"a\n/b": 4.0 KiB
malcolm: warning: 127.0.0.1:10001 sent wrong bytes: "a/b", chunk 3 (256.0 KiB at 768.0 KiB) is refused, and the server is out for this run
malcolm: warning: 127.0.0.1:10001: its directory changed: the listing's chunk 0 (256.0 KiB at 0 B) is refused, and the server is out for this run
10,000 files, 1 empty directory, 2 links, 1.5 GiB in 10.0s, 102.4 MiB/s, tree:9f86d081`, "\n") + strings.Repeat("0", 56) + ", from no server\n"
	if got := said.String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// treeProgress is a run that has copied some of a directory's files.
func treeProgress() fetch.Snapshot {
	p := fetching()
	p.Tree = fetch.TreeReport{Voted: true, Listed: true, Totals: someTotals, FilesDone: 1234}
	return p
}

func TestProgressOfTrees(t *testing.T) {
	p := treeProgress()
	if got, want := totalLine(p), "total  45.0 %  90.0 MiB of 200.0 MiB  20.0 MiB/s  1,234 of 10,000 files  6s left"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	listing := fetch.Snapshot{Phase: fetch.PhasePreparing, Size: 2 * miB, Good: miB, Tree: fetch.TreeReport{Voted: true}}
	if got, want := totalLine(listing), "fetching the listing: 1.0 MiB of 2.0 MiB"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	bar := func(p fetch.Snapshot, width int) string { return shows.totalLine(getFrame{p: p}, width) }
	for width, want := range map[int]string{
		119: " 45.0 %  ▓▓████████████████░░░░░░░░░░░░░░░░░░░░░  90.0 MiB of 200.0 MiB  20.0 MiB/s   1,234 of 10,000 files  6s left",
		79:  " 45.0 %  ▓█████████░░░░░░░░░░░░░  90.0 MiB of 200.0 MiB  20.0 MiB/s  6s left",
	} {
		if got := bar(p, width); got != want {
			t.Errorf("%d columns: got\n%s\nwant\n%s", width, got, want)
		}
	}
	if got, want := bar(listing, 79), "listing   50.0 %"; !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want %q at the front", got, want)
	}
}

// TestTreeEvents: each event of a run that copies a directory is as the schema
// says, and has what programs need.
func TestTreeEvents(t *testing.T) {
	root, err := schema.Read("../schema.json")
	if err != nil {
		t.Fatal(err)
	}
	term, out, _ := newTestTerminal()
	g := newGetJSON(term, targetsOn("a", "b"))
	won := treeOf(groupOf(sum9f, 2, 2, 0))
	g.event(fetch.Voted{Targets: targetsOn("a", "b"), Result: vote.Result{Groups: []vote.Group{won, groupOf(sum9f, 1, 1, 1)}, Total: 2, Answered: []int{0, 1}}})
	g.event(fetch.LeftOut{Target: here, Tree: true, Checksum: [32]byte{1}, Size: 512})
	g.event(fetch.Listed{Totals: someTotals, Size: giB})
	g.event(fetch.FileDone{Path: "a\xff", Size: 5, Checksum: sum9f, Executable: true})
	refused := fetch.ChunkRefused{Target: here, Path: "b", Chunk: 1, Length: 5}
	g.event(refused)
	g.progress(treeProgress())
	g.ended(Outcome{Got: &fetch.Result{
		Size: giB, Checksum: sum9f, Path: "copy/photos", Refusals: []fetch.ChunkRefused{refused},
		Tree:    fetch.TreeReport{Voted: true, Listed: true, Totals: someTotals},
		Servers: []fetch.ServerReport{{Target: here, ID: certs.ServerID{1}, State: fetch.StateWrong, Lacked: []string{"c\xff"}}},
	}})
	for line := range strings.Lines(out.String()) {
		if _, err := root.Check(line); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	sum := `"tree:` + human.Hex(sum9f) + `"`
	for _, want := range []string{
		`"groups":[{"kind":"tree","checksum":` + sum + `,"size":1258291,`,
		`{"kind":"file","checksum":"9f86`,
		`"majority":` + sum,
		`"reason":"has a file: 9f86`,
		`"reason":"has another directory: tree:0100`,
		`{"event":"listing","v":1,"checksum":` + sum + `,"files":10000,"directories":1,"links":2,"bytes":1610612736,"distinct_bytes":1073741824}`,
		`{"event":"file","v":1,"path":"a�","raw":"Yf8=","bytes":5,"checksum":"9f86`,
		`"path":"b","raw":"","listing":false,"chunk":1,"offset":0,"bytes":5,"changed":false}` + "\n",
		`"files":1234,"total_files":10000,"rate":`,
		`{"event":"done","v":1,"path":"copy/photos","kind":"tree","files":10000,"directories":1,"links":2,"bytes":1610612736,`,
		`"lacked":[{"path":"c�","raw":"Y/8="}]}]`,
		`"refused":[{"address":"127.0.0.1:10001","id":"` + certs.ServerID{1}.String() + `","path":"b"`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s is missing in:\n%s", want, out)
		}
	}
}

// TestLacked: the summary names who did not have files, and some of these, of
// a crowd not all.
func TestLacked(t *testing.T) {
	term, _, said := newTestTerminal()
	servers := []fetch.ServerReport{
		{Target: here}, {Target: here, Lacked: []string{"a\n"}}, {Target: here, Lacked: []string{"a", "b", "c", "d", "e"}},
	}
	v := &getText{Terminal: term}
	v.lacked(servers)
	want := here.String() + ` did not have 1 file: "a\n"` + "\n" + here.String() + ` did not have 5 files: "a", "b", "c", 2 more` + "\n"
	if got := said.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	said.Reset()
	v.lacked(slices.Repeat(servers[1:2], 100))
	if lines := strings.Split(said.String(), "\n"); len(lines) != 10 || lines[8] != "92 more servers did not have some files" {
		t.Errorf("of a hundred: %q", lines)
	}
}

// TestInfoOfTrees: a file with the bytes of a listing is not its directory.
func TestInfoOfTrees(t *testing.T) {
	id := certs.ServerID{1}
	r := &fetch.InfoResult{
		Servers: []fetch.InfoServer{
			{ServerReport: fetch.ServerReport{Target: targetsOn("a")[0], ID: id}, Offered: true, Tree: true, Size: 1258291, Checksum: sum9f},
			{ServerReport: fetch.ServerReport{Target: targetsOn("b")[0], ID: id}, Offered: true, Size: 1258291, Checksum: sum9f},
		},
		Vote: vote.Result{Groups: []vote.Group{treeOf(groupOf(sum9f, 0, 1, 0))}, Total: 1, Reason: vote.Decided},
	}
	r.Vote.Groups[0].IDs = []vote.ID{vote.ID(id)}
	sum := human.Hex(sum9f)
	lines := infoLines(r)
	if want := "listing of 1.2 MiB, tree:" + sum + ": 1 of 1 vote, the majority"; lines[0] != want {
		t.Errorf("got %q, want %q", lines[0], want)
	}
	if want := "late: 1.2 MiB, BLAKE3 " + sum; lines[3] != want {
		t.Errorf("got %q, want %q", lines[3], want)
	}
	e := infoOf(r)
	if e.Kind != "tree" || e.Checksum != "tree:"+sum || e.Servers[0].Kind != "tree" || e.Servers[1].Kind != "file" {
		t.Errorf("got %+v", e)
	}
}

// oddEntries are those whose names need care.
func oddEntries() []wire.Entry {
	return []wire.Entry{
		{Path: "a b", Size: 5, Checksum: sum9f},
		{Path: `back\slash`, Size: 1, Checksum: sum9f},
		{Path: "bytes\xff", Size: 2, Checksum: sum9f},
		{Path: "hollow", Kind: wire.EntryDirectory},
		{Path: "line\nbreak", Kind: wire.EntryExecutable, Size: 3, Checksum: sum9f},
		{Path: "link", Kind: wire.EntryLink, Target: "a b"},
	}
}

func TestEntries(t *testing.T) {
	root, err := schema.Read("../schema.json")
	if err != nil {
		t.Fatal(err)
	}
	term, out, _ := newTestTerminal()
	Entries(term, oddEntries())
	var lines []string
	for line := range strings.Lines(out.String()) {
		if !strings.HasPrefix(line, "{") {
			lines = append(lines, line)
		} else if _, err := root.Check(line); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	want := "5\t'a b'\n" + "1\t'back\\slash'\n" + "2\t$'bytes\\377'\n" + "0\thollow/\n" + "3\t$'line\\nbreak'\n" + "0\tlink -> 'a b'\n"
	if got := strings.Join(lines, ""); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if want := `"path":"bytes�","raw":"Ynl0ZXP/","bytes":2`; !strings.Contains(out.String(), want) {
		t.Errorf("%s is missing in %s", want, out)
	}
}

func TestSums(t *testing.T) {
	sum := human.Hex(sum9f)
	r := &fetch.Result{Name: "photos", Checksum: sum9f, Tree: fetch.TreeReport{Voted: true, Listed: true, Entries: oddEntries()}}
	text, left := Sums(r)
	want := sum + "  photos/a b\n" + `\` + sum + `  photos/back\\slash` + "\n" + `\` + sum + `  photos/line\nbreak` + "\n"
	if text != want || left != 1 {
		t.Errorf("got %d left, and\n%s\nwant 1, and\n%s", left, text, want)
	}
	if text, left := Sums(&fetch.Result{Name: "data", Checksum: sum9f}); text != sum+"  data\n" || left != 0 {
		t.Errorf("of a file: got %q, %d", text, left)
	}
}
