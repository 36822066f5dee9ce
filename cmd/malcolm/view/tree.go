package view

import (
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/fetch"
	"malcolm/transfer/tree"
)

// A file is offered as its bytes, a directory (tree) as its listing: its size
// and checksum are those of the listing.

// sizeOf says how large an offer is: "1.2 MiB", "listing of 1.2 MiB".
func sizeOf(tree bool, size int64) string {
	if tree {
		return "listing of " + human.Bytes(size)
	}
	return human.Bytes(size)
}

// proofOf is the checksum of an offer: "BLAKE3 HEX", "tree:HEX".
func proofOf(tree bool, checksum [32]byte) string {
	if tree {
		return human.Checksum(tree, checksum)
	}
	return "BLAKE3 " + human.Hex(checksum)
}

// noun names what is offered.
func noun(tree bool) string {
	if tree {
		return "directory"
	}
	return "file"
}

// anotherThan names an offer that is not the one that won.
func anotherThan(won, tree bool) string {
	if won == tree {
		return "another " + noun(tree)
	}
	return "a " + noun(tree)
}

// jsonKind is an offer's kind in events.
func jsonKind(tree bool) string {
	if tree {
		return "tree"
	}
	return "file"
}

// totalsOf says how large a directory is: "10,000 files, 1 link, 1.5 GiB".
func totalsOf(t tree.Totals) string {
	text := human.Plural(t.Files, "file", "files")
	if t.Directories > 0 {
		text += ", " + human.Plural(t.Directories, "empty directory", "empty directories")
	}
	if t.Links > 0 {
		text += ", " + human.Plural(t.Links, "link", "links")
	}
	return text + ", " + human.Bytes(t.Bytes)
}

// filesDone says how many files of a directory are done; "" for a file, or
// before the listing is there.
func filesDone(r fetch.TreeReport) string {
	if !r.Listed {
		return ""
	}
	return fmt.Sprintf("%s of %s", human.Comma(int64(r.FilesDone)), human.Plural(r.Totals.Files, "file", "files"))
}

// filesColumn is filesDone with the width that it has at the end.
func filesColumn(r fetch.TreeReport) string {
	now := filesDone(r)
	r.FilesDone = r.Totals.Files
	return fmt.Sprintf("%*s", len(filesDone(r)), now)
}

// isListing reports whether a directory's listing is fetched.
func isListing(p fetch.Snapshot) bool {
	return p.Phase == fetch.PhasePreparing && p.Tree.Voted && !p.Tree.Listed
}

// A jsonPath is a path within a directory, which may be any bytes.
type jsonPath struct {
	Path string `json:"path"` // bytes that are not UTF-8 are shown as U+FFFD
	Raw  string `json:"raw"`  // the path in base64 if it is not UTF-8; else empty
}

func pathsOf(paths []string) []jsonPath {
	list := make([]jsonPath, len(paths))
	for i, path := range paths {
		list[i] = pathOf(path)
	}
	return list
}

func pathOf(path string) jsonPath {
	if utf8.ValidString(path) {
		return jsonPath{Path: path}
	}
	return jsonPath{strings.ToValidUTF8(path, "\uFFFD"), base64.StdEncoding.EncodeToString([]byte(path))}
}

// The events of a directory.
type (
	listingEvent struct {
		head
		Checksum    string `json:"checksum"`
		Files       int    `json:"files"`
		Directories int    `json:"directories"` // empty ones
		Links       int    `json:"links"`
		Bytes       int64  `json:"bytes"`
		Distinct    int64  `json:"distinct_bytes"` // files of the same bytes counted once
	}
	lackingEvent struct {
		head
		Address  string `json:"address"`
		ID       string `json:"id"`
		jsonPath        // of the first file that the server does not have
		Reason   string `json:"reason"`
	}
	setAsideEvent struct {
		head
		Path   string `json:"path"` // where it is now
		CutOff bool   `json:"cut_off"`
	}
	fileEvent struct {
		head
		jsonPath
		Bytes      int64  `json:"bytes"`
		Checksum   string `json:"checksum"`
		Executable bool   `json:"executable"`
	}
)

func fileOf(e fetch.FileDone) fileEvent {
	return fileEvent{head: is("file"), jsonPath: pathOf(e.Path), Bytes: e.Size, Checksum: human.Hex(e.Checksum), Executable: e.Executable}
}
