package wire

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The rules of the section "Listing", a test for each sentence.

func dir(path string) Entry          { return Entry{Kind: EntryDirectory, Path: path} }
func file(path string) Entry         { return Entry{Path: path, Size: 1, Checksum: filled(0)} }
func link(path, target string) Entry { return Entry{Kind: EntryLink, Path: path, Target: target} }
func many(paths ...string) (all []Entry) {
	for _, p := range paths {
		all = append(all, file(p))
	}
	return all
}

// unchecked encodes entries that may break the rules.
func unchecked(entries []Entry) []byte {
	b := body(listingMagic, len(entries))
	for i := range entries {
		b = entries[i].Append(b)
	}
	return b
}

// A tree is entries and what is wrong with them, or "".
type tree struct {
	name    string
	entries []Entry
	want    string
}

// checkTrees checks that reader and writer agree on each tree, and with
// naiveCheck.
func checkTrees(t *testing.T, trees []tree) {
	t.Helper()
	for _, tt := range trees {
		b := unchecked(tt.entries)
		check(t, func(b []byte) error { _, err := ParseListing(b); return err }, []bound{{tt.name + ", read", b, tt.want}})
		got, err := AppendListing(nil, tt.entries)
		switch {
		case tt.want == "" && (err != nil || !bytes.Equal(got, b)):
			t.Errorf("%s: written as %x, %v, want %x", tt.name, got, err, b)
		case tt.want != "" && (got != nil || !isMalformed(err) || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: written as %x, %v, want a *MalformedError with %q", tt.name, got, err, tt.want)
		}
		if problem := naiveCheck(tt.entries); (problem == "") != (tt.want == "") {
			t.Errorf("%s: by the rules, in other words: %q, want %q", tt.name, problem, tt.want)
		}
	}
}

// naiveCheck says the rules for paths and links once more, without a thought
// for time: paths in a map, targets walked part by part.
func naiveCheck(entries []Entry) string {
	kinds := map[string]EntryKind{}
	before := ""
	for i, e := range entries {
		for part := range strings.SplitSeq(e.Path, "/") {
			if part == "" || part == "." || part == ".." || len(part) > 255 || strings.Contains(part, "\x00") {
				return "a path has a part that is not allowed"
			}
		}
		key := strings.ReplaceAll(e.Path, "/", "\x00")
		if len(e.Path) > 4096 || i > 0 && key <= before {
			return "a path is too long or out of order"
		}
		before = key
		kinds[e.Path] = e.Kind
	}
	for _, e := range entries {
		for i, c := range []byte(e.Path) {
			if _, is := kinds[e.Path[:i]]; c == '/' && is {
				return "a path lies beneath an entry"
			}
		}
		if problem := naiveWalk(kinds, e); e.Kind == EntryLink && problem != "" {
			return problem
		}
	}
	return ""
}

// naiveWalk goes from the directory of a link to its target.
func naiveWalk(kinds map[string]EntryKind, e Entry) string {
	at := strings.Split(e.Path, "/")
	at = at[:len(at)-1]
	named := false
	for part := range strings.SplitSeq(e.Target, "/") {
		if kind, is := kinds[strings.Join(at, "/")]; is && kind == EntryLink {
			return "a target leads through a link"
		}
		switch {
		case part == "" || len(part) > 255 || len(e.Target) > 4096 || strings.Contains(part, "\x00"):
			return "a target has a part that is not allowed"
		case part == "..":
			if named || len(at) == 0 {
				return "a target leads up where it may not"
			}
			at = at[:len(at)-1]
		case part != ".":
			named = true
			at = append(at, part)
		}
	}
	return ""
}

func TestListingPaths(t *testing.T) {
	p255, p256 := text(255), text(256)
	long := strings.Repeat("a/", 2047) + "ab" // 4096 bytes
	checkTrees(t, []tree{
		{"one part", many("a"), ""},
		{"parts", many("a/b/c"), ""},
		{"255 bytes in a part", many("a/" + p255 + "/" + p255), ""},
		{"256 bytes in a part", many("a/" + p256 + "/b"), "part of 256 bytes"},
		{"256 bytes in the last part", many("a/" + p256), "part of 256 bytes"},
		{"4096 bytes", many(long), ""},
		{"4097 bytes", many(long + "c"), "4097"},
		{"no part", many(""), "empty part"},
		{"a slash alone", many("/"), "empty part"},
		{"slash in front", many("/a"), "empty part"},
		{"slash behind", many("a/"), "empty part"},
		{"two slashes", many("a//b"), "empty part"},
		{"part .", many("a/./b"), "dots"},
		{"part . alone", many("."), "dots"},
		{"part ..", many("a/../b"), "dots"},
		{"part .. alone", many(".."), "dots"},
		{"part .. in front", many("../a"), "dots"},
		{"part .. behind", many("a/.."), "dots"},
		{"three dots", many("..."), ""},
		{"dots in a part", many("..a", ".a", "a.", "a.."), ""},
		{"NUL", many("a\x00b"), "NUL"},
		{"NUL in a part", many("a/\x00"), "NUL"},
		{"any other byte", many("\x01", "\n", "\x1b[2J", " ", "C:\\a", "\x7f", "\xff\xfe"), ""},
	})
	for c := 1; c < 256; c++ {
		if c != '/' && c != '.' {
			checkTrees(t, []tree{{fmt.Sprintf("byte %#x", c), many("a/" + string([]byte{byte(c)})), ""}})
		}
	}
}

func TestListingOrder(t *testing.T) {
	checkTrees(t, []tree{
		{"by bytes", many("A", "B", "a", "b", "\x80", "\xff"), ""},
		{"not by bytes", many("b", "a"), "not behind"},
		{"case counts", many("a", "A"), "not behind"},
		{"bytes are unsigned", many("\xff", "\x7f"), "not behind"},
		{"the shorter first", many("a", "aa", "aaa"), ""},
		{"the longer first", many("aa", "a"), "not behind"},
		{"slash before all", many("a/z", "a\x01", "a!", "a-", "a.b", "a0"), ""},
		{"slash not before !", many("a!", "a/z"), "not behind"},
		{"slash not before byte 1", many("a\x01", "a/z"), "not behind"},
		{"slash by its byte, against .", many("a.b", "a/z"), "not behind"},
		{"slash before all, deeper", many("d/a/z", "d/a!/z"), ""},
		{"twice", many("a", "a"), "not behind"},
		{"twice as two kinds", []Entry{file("a"), dir("a")}, "not behind"},
		{"twice at a distance", many("a", "b", "a"), "not behind"},
		{"alike for 200 bytes, then in order", many(text(200)+"a", text(200)+"b"), ""},
		{"alike for 200 bytes, then out of order", many(text(200)+"b", text(200)+"a"), "not behind"},
		{"alike for 64 bytes, then a slash", many(text(64)+"/a", text(64)+"!"), ""},
		{"alike for 64 bytes, then a slash too late", many(text(64)+"!", text(64)+"/a"), "not behind"},
	})
}

func TestListingNothingBeneath(t *testing.T) {
	for kind, at := range map[string]Entry{
		"file": file("a"), "executable": {Kind: EntryExecutable, Path: "a"}, "directory": dir("a"), "link": link("a", "z"),
	} {
		checkTrees(t, []tree{
			{"beneath a " + kind, []Entry{at, file("a/b")}, "beneath"},
			{"deep beneath a " + kind, []Entry{at, file("a/b/c/d")}, "beneath"},
			{"a directory beneath a " + kind, []Entry{at, dir("a/b")}, "beneath"},
			{"beside a " + kind, []Entry{at, file("a!/b")}, ""},
			{"a " + kind + " beside what begins alike", []Entry{at, file("ab/c")}, ""},
		})
	}
	checkTrees(t, []tree{
		// By bytes alone, "a!" would come between "a" and "a/b" and
		// hide the one from the other.
		{"beneath, with others between", []Entry{dir("a"), file("a!"), file("a/b")}, "not behind"},
		{"beneath a part", many("x/a", "x/a/b"), "beneath"},
	})
}

func TestListingEntries(t *testing.T) {
	checkTrees(t, []tree{{"none", nil, ""}, {"largest file", []Entry{{Path: "a", Size: 1 << 44}}, ""}, {"empty file", []Entry{{Path: "a"}}, ""}})
	check(t, func(b []byte) error { _, err := ParseListing(b); return err }, []bound{
		{"size 2^44 + 1", body(listingMagic, 1, 0, 1, "a", u64(1<<44+1), sum), "size is 17592186044417"},
		{"checksum of another kind", body(listingMagic, 1, 0, 1, "a", 0, 1, hash), "kind 1"},
		{"kind 4", body(listingMagic, 1, 4, 1, "a"), "kind of an entry is 4"},
		{"kind 2^62 - 1", body(listingMagic, 1, u64(1<<62-1), 1, "a"), "kind of an entry"},
		{"kind 256", body(listingMagic, 1, 256, 1, "a"), "kind of an entry is 256"},
		{"path of 4097", body(listingMagic, 1, 2, 4097, text(4097)), "path length is 4097"},
		{"target of 4097", body(listingMagic, 1, 3, 1, "a", 4097, text(4097)), "target length is 4097"},
		{"one entry fewer", body(listingMagic, 2, 2, 1, "a", text(3)), "malformed"},
		{"one entry more", body(listingMagic, 1, 2, 1, "a", 2, 1, "b"), "3 bytes too many"},
		{"2^20 + 1 entries", body(listingMagic, 1<<20+1, text(9)), "number of entries is 1048577"},
		{"first bytes of a list of times", body(timesMagic+"12", 0), "begin"},
		{"another revision", body("malcolm listing 2\n", 0), "begin"},
		{"no line feed", body("malcolm listing 1 ", 0), "begin"},
	})
	for name, e := range map[string]Entry{
		"size -1":       {Path: "a", Size: -1},
		"size 2^44 + 1": {Path: "a", Size: 1<<44 + 1},
		"kind 4":        {Kind: 4, Path: "a"},
		"kind 255":      {Kind: 255, Path: "a"},
	} {
		if b, err := AppendListing(nil, []Entry{e}); !isMalformed(err) || b != nil {
			t.Errorf("%s: written as %x, %v, want a *MalformedError", name, b, err)
		}
	}
	if _, err := AppendListing(nil, make([]Entry, MaxEntries+1)); !isMalformed(err) {
		t.Errorf("2^20 + 1 entries written: got %v, want a *MalformedError", err)
	}
}

// TestListingsAgree: what breaks a rule in a small tree is found by naiveCheck
// and by the reader alike. Trees of three entries out of a few names are tried,
// all of them.
func TestListingsAgree(t *testing.T) {
	paths := []string{"a", "a!", "a/a", "a/b", "a/b/c", "b", "b/a"}
	targets := []string{".", "..", "a", "b", "a/b", "a/.", "b/.", "../a", "./../b", "../../a", "a/..", "a/b/c", "../b/a", "b/./a"}
	var all []Entry
	for _, p := range paths {
		all = append(all, dir(p))
		for _, to := range targets {
			all = append(all, link(p, to))
		}
	}
	accepted, refused := 0, 0
	for i, a := range all {
		for j := i; j < len(all); j += 1 + j%3 {
			for k := j; k < len(all); k += 1 + (i+k)%5 {
				entries := slices.Compact([]Entry{a, all[j], all[k]})
				err, want := CheckEntries(entries), naiveCheck(entries)
				if (err == nil) != (want == "") {
					t.Fatalf("%+v: got %v, want %q", entries, err, want)
				}
				if err == nil {
					accepted++
				} else {
					refused++
				}
			}
		}
	}
	if accepted < 1000 || refused < 1000 {
		t.Errorf("%d trees were accepted and %d refused, want many of both", accepted, refused)
	}
}
