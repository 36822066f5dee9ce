package wire

import (
	"bytes"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/quic-go/quic-go/quicvarint"
)

// The first bytes of a listing and of a list of times.
const (
	listingMagic = "malcolm listing 1\n"
	timesMagic   = "malcolm times 1\n"
)

// An EntryKind is what an entry of a tree is.
type EntryKind uint8

// The kinds of entries. Their numbers are frozen.
const (
	EntryFile       EntryKind = 0
	EntryExecutable EntryKind = 1 // a file that may be executed
	EntryDirectory  EntryKind = 2 // an empty one
	EntryLink       EntryKind = 3 // a symbolic link
)

// An Entry is one entry of a listing.
type Entry struct {
	Kind     EntryKind
	Path     string   // any bytes but NUL, in parts joined by "/"
	Size     int64    // of a file, in bytes, 0 to MaxFileSize
	Checksum [32]byte // of a file
	Target   string   // of a link
}

// IsFile reports whether the entry has content.
func (e *Entry) IsFile() bool { return e.Kind == EntryFile || e.Kind == EntryExecutable }

// AppendListing appends the listing of a tree to b. The entries must be in
// order. The error is the [*MalformedError] that a reader of the listing would
// get.
func AppendListing(b []byte, entries []Entry) ([]byte, error) {
	if len(entries) > MaxEntries {
		return nil, malformed("listing", fmt.Sprintf("%d entries, at most %d are allowed", len(entries), MaxEntries))
	}
	if err := CheckEntries(entries); err != nil {
		return nil, err
	}
	start := len(b)
	b = append(b, listingMagic...)
	b = quicvarint.Append(b, uint64(len(entries)))
	for i := range entries {
		b = entries[i].append(b)
		if n := len(b) - start; n > MaxListingLen {
			return nil, malformed("listing", fmt.Sprintf("over %d bytes", MaxListingLen))
		}
	}
	return b, nil
}

func (e *Entry) append(b []byte) []byte {
	b = quicvarint.Append(b, uint64(e.Kind))
	b = appendBytes(b, e.Path)
	switch {
	case e.IsFile():
		b = quicvarint.Append(b, uint64(e.Size))
		b = appendChecksum(b, e.Checksum)
	case e.Kind == EntryLink:
		b = appendBytes(b, e.Target)
	}
	return b
}

// leastEntry is the length of the shortest entry, in bytes: an empty directory
// with a name of one byte.
const leastEntry = 3

// ParseListing reads a whole listing and refuses it as a whole if anything in
// it is not as the package comment says. Errors are [*MalformedError].
func ParseListing(b []byte) ([]Entry, error) {
	if len(b) > MaxListingLen {
		return nil, malformed("listing", fmt.Sprintf("%d bytes, at most %d are allowed", len(b), MaxListingLen))
	}
	d := decoder{message: "listing", b: b}
	d.magic(listingMagic)
	n := d.varint("number of entries", MaxEntries)
	if d.err == nil && n > uint64(len(d.b)/leastEntry) {
		d.fail("ends before its %d entries", n)
	}
	if d.err != nil {
		return nil, d.err
	}
	entries := make([]Entry, 0, n)
	for range n {
		entries = append(entries, d.entry())
		if d.err != nil {
			return nil, d.err
		}
	}
	if err := d.done(); err != nil {
		return nil, err
	}
	if err := CheckEntries(entries); err != nil {
		return nil, err
	}
	return entries, nil
}

// ParseEntry reads the entry that b begins with, and returns what is behind it.
// It looks at the entry alone, not at the tree: b is of a listing that was read
// or made before. Errors are [*MalformedError].
func ParseEntry(b []byte) (e Entry, rest []byte, err error) {
	d := decoder{message: "listing", b: b}
	e = d.entry()
	return e, d.b, d.err
}

// EntryOffsets returns where in a listing that was read or made before each of
// its entries begins.
func EntryOffsets(listing []byte) ([]uint32, error) {
	d := decoder{message: "listing", b: listing}
	d.magic(listingMagic)
	n := d.varint("number of entries", MaxEntries)
	offsets := make([]uint32, 0, n)
	for range n {
		offsets = append(offsets, uint32(len(listing)-len(d.b)))
		d.skip()
	}
	return offsets, d.done()
}

// skip passes over an entry.
func (d *decoder) skip() {
	e := Entry{Kind: EntryKind(d.varint("kind of an entry", uint64(EntryLink)))}
	d.bytes("path", MaxPathLen)
	switch {
	case e.IsFile():
		d.varint("size", MaxFileSize)
		d.checksum("checksum")
	case e.Kind == EntryLink:
		d.bytes("target", MaxPathLen)
	}
}

func (d *decoder) magic(want string) {
	if got := d.take("first bytes", len(want)); d.err == nil && string(got) != want {
		d.fail("does not begin as one")
	}
}

func (d *decoder) entry() Entry {
	e := Entry{Kind: EntryKind(d.varint("kind of an entry", uint64(EntryLink)))}
	e.Path = string(d.bytes("path", MaxPathLen))
	switch {
	case e.IsFile():
		e.Size = int64(d.varint("size", MaxFileSize))
		e.Checksum = d.checksum("checksum")
	case e.Kind == EntryLink:
		e.Target = string(d.bytes("target", MaxPathLen))
	}
	return e
}

// CheckEntries checks that entries are in order and make a tree that can be
// written below one directory: no path twice or beneath another entry, no link
// that leads out or through another link. It does not check their number. The
// error is a [*MalformedError].
func CheckEntries(entries []Entry) error {
	fail := func(i int, reason string) error {
		return malformed("listing", fmt.Sprintf("entry %d: %s", i, reason))
	}
	for i := range entries {
		e := &entries[i]
		if reason := checkEntry(e); reason != "" {
			return fail(i, reason)
		}
		if i > 0 {
			if before := entries[i-1].Path; !PathLess(before, e.Path) {
				return fail(i, "path is not behind the one before it")
			} else if isBeneath(e.Path, before) {
				return fail(i, "path lies beneath that of another entry")
			}
		}
	}
	for i := range entries {
		if reason := linkProblem(entries, i); reason != "" {
			return fail(i, reason)
		}
	}
	return nil
}

// EntryProblem returns why an entry cannot be in a listing, or "". The entries
// are in order, and beneath none of them lies another.
func EntryProblem(entries []Entry, i int) string {
	if reason := checkEntry(&entries[i]); reason != "" {
		return reason
	}
	return linkProblem(entries, i)
}

// linkProblem returns what is wrong with the target of an entry, or "": nothing
// is, or it is no link.
func linkProblem(entries []Entry, i int) string {
	e := &entries[i]
	if e.Kind != EntryLink {
		return ""
	}
	to, reason := resolve(e)
	if reason == "" && throughLink(entries, to) {
		reason = "target leads through another link"
	}
	return reason
}

// PathLess is the order of the paths of a listing: that of bytes, with "/"
// before all. So all that lies beneath a directory stands together.
func PathLess(a, b string) bool {
	const step = 64 // long paths that begin alike are compared by steps
	i, n := 0, min(len(a), len(b))
	for i+step <= n && a[i:i+step] == b[i:i+step] {
		i += step
	}
	for ; i < n; i++ {
		if x, y := a[i], b[i]; x != y {
			return x == '/' || y != '/' && x < y
		}
	}
	return len(a) < len(b)
}

// isBeneath reports whether path lies beneath dir.
func isBeneath(path, dir string) bool {
	return len(path) > len(dir) && path[len(dir)] == '/' && path[:len(dir)] == dir
}

// checkEntry returns what is wrong with an entry by itself, or "". The target
// of a link is checked by resolve.
func checkEntry(e *Entry) string {
	switch {
	case e.Kind > EntryLink:
		return fmt.Sprintf("unknown kind %d", e.Kind)
	case e.IsFile() && (e.Size < 0 || e.Size > MaxFileSize):
		return fmt.Sprintf("size is %d, at most %d is allowed", e.Size, int64(MaxFileSize))
	}
	return checkPath(e.Path)
}

// checkPath returns what is wrong with a path, or "".
func checkPath(path string) string {
	if len(path) > MaxPathLen {
		return fmt.Sprintf("path of %d bytes, at most %d are allowed", len(path), MaxPathLen)
	}
	for more := true; more; {
		var part string
		part, path, more = strings.Cut(path, "/")
		if part == "." || part == ".." {
			return "path has a part of dots"
		}
		if reason := checkPart(part); reason != "" {
			return "path " + reason
		}
	}
	return ""
}

func checkPart(part string) string {
	switch {
	case part == "":
		return "has an empty part"
	case len(part) > MaxPartLen:
		return fmt.Sprintf("has a part of %d bytes, at most %d are allowed", len(part), MaxPartLen)
	case strings.IndexByte(part, 0) >= 0:
		return "has a NUL byte"
	}
	return ""
}

// resolve returns the path in the tree that a link leads to ("": its root), or
// what is wrong with its target. A "." at the end of a target stays behind a
// name: what has that name is not the target, but on the way to it.
func resolve(e *Entry) (to, wrong string) {
	if len(e.Target) > MaxPathLen {
		return "", fmt.Sprintf("target of %d bytes, at most %d are allowed", len(e.Target), MaxPathLen)
	}
	at := []byte(e.Path[:max(strings.LastIndexByte(e.Path, '/'), 0)])
	front := true
	for rest, more := e.Target, true; more; {
		var part string
		part, rest, more = strings.Cut(rest, "/")
		if reason := checkPart(part); reason != "" {
			return "", "target " + reason
		}
		switch {
		case part == ".":
		case part == ".." && !front:
			return "", `target has ".." behind a name`
		case part == ".." && len(at) == 0:
			return "", "target leads out of the tree"
		case part == "..":
			at = at[:max(bytes.LastIndexByte(at, '/'), 0)]
		default:
			front = false
			at = appendPart(at, part)
		}
	}
	if !front && strings.HasSuffix(e.Target, "/.") {
		at = appendPart(at, ".")
	}
	return string(at), ""
}

func appendPart(path []byte, part string) []byte {
	if len(path) > 0 {
		path = append(path, '/')
	}
	return append(path, part...)
}

// throughLink reports whether a path lies beneath a link. The entries are in
// order, and none lies beneath another: then such a link is the last entry that
// does not come behind the path.
func throughLink(entries []Entry, path string) bool {
	i := sort.Search(len(entries), func(i int) bool { return PathLess(path, entries[i].Path) })
	if i == 0 {
		return false
	}
	e := &entries[i-1]
	return e.Kind == EntryLink && isBeneath(path, e.Path)
}

// AppendTimes appends the list of times of a tree's entries to b; their number
// is at most [MaxEntries]. Times beyond what can be said become the nearest
// ones that can.
func AppendTimes(b []byte, times []time.Time) []byte {
	b = append(b, timesMagic...)
	b = quicvarint.Append(b, uint64(len(times)))
	for _, t := range times {
		b = appendTime(b, t)
	}
	return b
}

// ParseTimes reads the list of times of a tree of n entries. Errors are
// [*MalformedError].
func ParseTimes(b []byte, n int) ([]time.Time, error) {
	d := decoder{message: "list of times", b: b}
	d.magic(timesMagic)
	if got := d.varint("number of times", MaxEntries); d.err == nil && got != uint64(n) {
		d.fail("%d times for %d entries", got, n)
	}
	if d.err == nil && n > len(d.b)/2 {
		d.fail("ends before its %d times", n)
	}
	if d.err != nil {
		return nil, d.err
	}
	times := make([]time.Time, 0, n)
	for range n {
		times = append(times, d.time("time"))
	}
	if err := d.done(); err != nil {
		return nil, err
	}
	return times, nil
}

// valuesMagic are the first bytes of a file of values.
const valuesMagic = "malcolm values 1\n"

// A ValuesFile is the content of NAME.malcolm beside an object: what a server
// would say of it.
type ValuesFile struct {
	Offer   Offer  // its ValuesLen is 0, its Tail is empty
	Listing []byte // of a tree, else nil
	// Values are those of the file; of a tree, those of each of its files
	// of more than one chunk, in the order of the listing, one after the
	// other, those of one checksum once.
	Values []byte
}

// Append appends the encoding of f to b.
func (f ValuesFile) Append(b []byte) []byte {
	b = append(b, valuesMagic...)
	b = appendBytes(b, f.Offer.Append(nil))
	if f.Offer.Kind == KindTree {
		b = appendBytes(b, f.Listing)
	}
	return append(b, f.Values...)
}

// ParseValuesFile reads a file of values, and keeps b. Which values there must
// be follows from the sizes, which is for the caller to check, like everything
// that a checksum says. Errors are [*MalformedError].
func ParseValuesFile(b []byte) (ValuesFile, error) {
	d := decoder{message: "file of values", b: b}
	d.magic(valuesMagic)
	offer := d.bytes("offer", MaxOfferLen)
	if d.err != nil {
		return ValuesFile{}, d.err
	}
	o, err := ParseOffer(offer)
	if err != nil {
		return ValuesFile{}, err
	}
	if o.ValuesLen != 0 || len(o.Tail) != 0 {
		d.fail("its offer announces values, or has a tail")
	}
	f := ValuesFile{Offer: o}
	if o.Kind == KindTree {
		f.Listing = d.bytes("listing", MaxListingLen)
		if d.err == nil && int64(len(f.Listing)) != o.Size {
			d.fail("listing of %d bytes, want %d", len(f.Listing), o.Size)
		}
	}
	if d.err == nil && len(d.b)%ValueLen != 0 {
		d.fail("values of %d bytes, want a multiple of %d", len(d.b), ValueLen)
	}
	f.Values = d.take("values", len(d.b))
	if err := d.done(); err != nil {
		return ValuesFile{}, err
	}
	return f, nil
}
