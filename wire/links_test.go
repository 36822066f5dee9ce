package wire

import (
	"strings"
	"testing"
)

// at returns the tree of one link.
func at(path, target string) []Entry { return []Entry{link(path, target)} }

func TestListingTargets(t *testing.T) {
	long := strings.Repeat("a/", 2047) + "ab" // 4096 bytes
	checkTrees(t, []tree{
		{"beside it", []Entry{file("a"), link("b", "a")}, ""},
		{"missing", at("a", "no/such/file"), ""},
		{"itself", at("a", "a"), ""},
		{"an empty directory", []Entry{dir("a"), link("b", "a")}, ""},
		{"a directory with entries", []Entry{file("a/b"), link("b", "a")}, ""},
		{"a name in a directory", []Entry{file("a/b"), link("b", "a/b")}, ""},
		{"beneath a file, so missing", []Entry{file("a"), link("b", "a/b")}, ""},
		{"any byte", at("a", "\x01\xff\n"), ""},
		{"255 bytes in a part", at("a", text(255)), ""},
		{"256 bytes in a part", at("a", text(256)), "part of 256 bytes"},
		{"4096 bytes", at("z", long), ""},
		{"4097 bytes", at("z", long+"c"), "4097"},
		{"empty", at("a", ""), "empty part"},
		{"from the root of the disk", at("a", "/etc/passwd"), "empty part"},
		{"a slash", at("a", "/"), "empty part"},
		{"slash behind", at("a", "b/"), "empty part"},
		{"two slashes", at("a", "b//c"), "empty part"},
		{"NUL", at("a", "b\x00"), "NUL"},
		{"three dots", at("a", ".../b"), ""},
	})
}

func TestListingTargetDots(t *testing.T) {
	checkTrees(t, []tree{
		{"its directory", at("a", "."), ""},
		{"its directory, twice", at("a", "./."), ""},
		{". in front", at("a", "./b"), ""},
		{". within", at("a", "b/./c"), ""},
		{". behind", at("a", "b/."), ""},
		{".. out of the tree", at("a", ".."), "out of the tree"},
		{".. out of the tree and a name", at("a", "../a"), "out of the tree"},
		{". and .. out of the tree", at("a", "./.."), "out of the tree"},
		{".. to the root", at("a/b", ".."), ""},
		{".. to the root and a name", at("a/b", "../c"), ""},
		{"one .. too many", at("a/b", "../.."), "out of the tree"},
		{"one .. too many and back", at("a/b", "../../a/b"), "out of the tree"},
		{"two of two ..", at("a/b/c", "../.."), ""},
		{"three of two ..", at("a/b/c", "../../.."), "out of the tree"},
		{". between ..", at("a/b/c", ".././../d"), ""},
		{". before ..", at("a/b", "./../c"), ""},
		{".. behind a name", at("a/b", "c/.."), "behind a name"},
		{".. behind a name, within", at("a/b/c", "../d/../e"), "behind a name"},
		{".. behind a name and .", at("a/b", "c/./.."), "behind a name"},
		{"the most ..", at(strings.Repeat("a/", 1365)+"b", strings.Repeat("../", 1364)+".."), ""},
		{"one more than the most ..", at(strings.Repeat("a/", 1364)+"b", strings.Repeat("../", 1364)+".."), "out of the tree"},
	})
}

// TestListingTargetThroughLinks: the file system would follow the first link,
// and the second would end where its text does not say.
func TestListingTargetThroughLinks(t *testing.T) {
	through := "through another link"
	checkTrees(t, []tree{
		{"to a link", []Entry{link("a", "."), link("b", "a")}, ""},
		{"to each other", []Entry{link("a", "b"), link("b", "a")}, ""},
		{"to a link, with . in front", []Entry{link("a", "."), link("b", "./a")}, ""},
		{"through a link", []Entry{link("a", "z"), link("b", "a/c")}, through},
		{"through a link behind it", []Entry{link("a", "b/c"), link("b", "z")}, through},
		{"through a link, deep", []Entry{link("a", "z"), link("b", "a/c/d/e")}, through},
		{"through a link, with .", []Entry{link("a", "z"), link("b", "a/./c")}, through},
		{"through a link to .", []Entry{link("a", "z"), link("b", "a/.")}, through},
		{"through a link to . and .", []Entry{link("a", "z"), link("b", "./a/./.")}, through},
		{"through itself", at("a", "a/b"), through},
		{"through itself to .", at("a", "a/."), through},
		{"through itself from above", at("a/b", "../a/b/c"), through},
		{"through a link in a directory", []Entry{link("d/a", "z"), link("e", "d/a/b")}, through},
		{"through a link in its directory", []Entry{link("d/a", "z"), link("d/b", "a/c")}, through},
		{"through a link above", []Entry{link("a", "z"), link("d/b", "../a/c")}, through},
		{"beside a link that begins alike", []Entry{link("a", "z"), link("b", "ab/c")}, ""},
		{"through a directory beside a link", []Entry{link("a", "z"), file("a!/c"), link("b", "a!/c")}, ""},
		{"with many between", []Entry{link("a", "z"), file("a!"), file("a0"), link("b", "a/c")}, through},
		{"through a missing directory", []Entry{link("a", "z"), link("c", "b/c")}, ""},
		{"to . of a directory", []Entry{file("a/!"), link("b", "a/.")}, ""},
	})
}
