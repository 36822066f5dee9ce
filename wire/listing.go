package wire

import (
	"bytes"
	"fmt"
	"sort"
	"strings"

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
	if err := CheckListing(len(entries), 0, in(entries)); err != nil {
		return nil, err
	}
	start := len(b)
	b = AppendListingHead(b, len(entries))
	for i := range entries {
		b = entries[i].Append(b)
		if n := len(b) - start; n > MaxListingLen {
			return nil, tooLong()
		}
	}
	return b, nil
}

func tooLong() error { return malformed("listing", fmt.Sprintf("over %d bytes", MaxListingLen)) }

// AppendListingHead appends what a listing has in front of its entries.
func AppendListingHead(b []byte, entries int) []byte {
	b = append(b, listingMagic...)
	return quicvarint.Append(b, uint64(entries))
}

// CheckListing returns the error of [AppendListing] for a listing of size bytes
// and n entries that are encoded one by one. See [FirstFault] for entry.
func CheckListing(n int, size int64, entry func(i int) *Entry) error {
	switch {
	case n > MaxEntries:
		return malformed("listing", fmt.Sprintf("%d entries, at most %d are allowed", n, MaxEntries))
	case size > MaxListingLen:
		return tooLong()
	}
	return checkEntries(n, entry)
}

// in returns what gives entries by their number.
func in(entries []Entry) func(i int) *Entry { return func(i int) *Entry { return &entries[i] } }

// Append appends an entry as a listing has it.
func (e *Entry) Append(b []byte) []byte {
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

// ParseEntry reads the first entry of b and returns the rest. It checks the
// entry alone, not the tree: b must come from a listing that was parsed or made
// before. Errors are [*MalformedError].
func ParseEntry(b []byte) (e Entry, rest []byte, err error) {
	d := decoder{message: "listing", b: b}
	e = d.entry()
	return e, d.b, d.err
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
func CheckEntries(entries []Entry) error { return checkEntries(len(entries), in(entries)) }

func checkEntries(n int, entry func(i int) *Entry) error {
	if i, reason := FirstFault(n, entry); reason != "" {
		return malformed("listing", fmt.Sprintf("entry %d: %s", i, reason))
	}
	return nil
}

// FirstFault returns the first of n entries that keeps them from being a tree,
// and the reason; "" if nothing does. See [CheckEntries]. What entry returns is
// used until it is called again.
func FirstFault(n int, entry func(i int) *Entry) (at int, reason string) {
	before := ""
	for i := range n {
		e := entry(i)
		if reason := checkEntry(e); reason != "" {
			return i, reason
		}
		if i > 0 {
			if !PathLess(before, e.Path) {
				return i, "path is not behind the one before it"
			} else if isBeneath(e.Path, before) {
				return i, "path lies beneath that of another entry"
			}
		}
		before = e.Path
	}
	for i := range n {
		if reason := linkProblem(n, entry, i); reason != "" {
			return i, reason
		}
	}
	return 0, ""
}

// EntryProblem returns why entry i of n cannot be in a listing, or "". The
// entries must be in order, and none may lie beneath another. See [FirstFault]
// for entry.
func EntryProblem(n int, entry func(i int) *Entry, i int) string {
	e := entry(i)
	if reason := checkEntry(e); reason != "" || e.Kind != EntryLink {
		return reason
	}
	return linkProblem(n, entry, i)
}

// linkProblem returns what is wrong with the target of an entry; "" if nothing
// is wrong or the entry is no link.
func linkProblem(n int, entry func(i int) *Entry, i int) string {
	e := entry(i)
	if e.Kind != EntryLink {
		return ""
	}
	to, reason := resolve(e)
	if reason == "" && throughLink(n, entry, to) {
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
// what is wrong with its target. A "." at the end of a target is kept: the name
// before it is then a directory on the way, not the target itself.
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

// throughLink reports whether a path lies beneath a link. The entries must be
// in order, and none may lie beneath another. So only one entry can be that
// link: the last one that does not sort after path.
func throughLink(n int, entry func(i int) *Entry, path string) bool {
	i := sort.Search(n, func(i int) bool { return PathLess(path, entry(i).Path) })
	if i == 0 {
		return false
	}
	e := entry(i - 1)
	return e.Kind == EntryLink && isBeneath(path, e.Path)
}

// valuesMagic are the first bytes of a file of values.
const valuesMagic = "malcolm values 1\n"

// A ValuesFile is the content of NAME.malcolm beside an object: what a server
// would say of it.
type ValuesFile struct {
	Offer   Offer  // its ValuesLen is 0, its Tail is empty
	Listing []byte // of a tree, else nil
	// Values are those of the file. Of a tree they are those of its files
	// of more than one chunk, in the order of the listing, each checksum
	// once.
	Values []byte
}

// Append appends the encoding of f to b.
func (f ValuesFile) Append(b []byte) []byte {
	b = AppendValuesHead(b, f.Offer, len(f.Listing))
	if f.Offer.Kind == KindTree {
		b = append(b, f.Listing...)
	}
	return append(b, f.Values...)
}

// AppendValuesHead appends the start of a file of values: all before the
// listing, which has that length in bytes, and before the values.
func AppendValuesHead(b []byte, o Offer, listing int) []byte {
	b = append(b, valuesMagic...)
	b = appendBytes(b, o.Append(nil))
	if o.Kind == KindTree {
		b = quicvarint.Append(b, uint64(listing))
	}
	return b
}

// MaxValuesStart bounds what [ParseValuesStart] reads, in bytes.
const MaxValuesStart = len(valuesMagic) + 8 + MaxOfferLen + 8

// ParseValuesStart reads the start of a file of values: all in front of the
// listing of a tree, or of the values of a file. n is its length; that of the
// listing is the offer's size. b has the first [MaxValuesStart] bytes, or all
// of the file. Errors are [*MalformedError].
func ParseValuesStart(b []byte) (o Offer, n int, err error) {
	d := decoder{message: "file of values", b: b}
	d.magic(valuesMagic)
	offer := d.bytes("offer", MaxOfferLen)
	if d.err != nil {
		return Offer{}, 0, d.err
	}
	if o, err = ParseOffer(offer); err != nil {
		return Offer{}, 0, err
	}
	if o.ValuesLen != 0 || len(o.Tail) != 0 {
		d.fail("its offer announces values, or has a tail")
	}
	if o.Kind == KindTree {
		length := int64(d.varint("listing length", MaxListingLen))
		if d.err == nil && length != o.Size {
			d.fail("listing of %d bytes, want %d", length, o.Size)
		}
	}
	if d.err != nil {
		return Offer{}, 0, d.err
	}
	return o, len(b) - len(d.b), nil
}

// IsValuesFile reports whether b begins as a file of values does.
func IsValuesFile(b []byte) bool { return bytes.HasPrefix(b, []byte(valuesMagic)) }

// ParseValuesFile reads a file of values, and keeps b. It checks neither the
// number of values, which follows from the sizes, nor any checksum: that is the
// caller's work. Errors are [*MalformedError].
func ParseValuesFile(b []byte) (ValuesFile, error) {
	o, n, err := ParseValuesStart(b)
	if err != nil {
		return ValuesFile{}, err
	}
	f := ValuesFile{Offer: o}
	d := decoder{message: "file of values", b: b[n:]}
	if o.Kind == KindTree {
		f.Listing = d.take("listing", int(o.Size))
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
