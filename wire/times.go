package wire

import (
	"iter"
	"time"

	"github.com/quic-go/quic-go/quicvarint"
)

// Times are the modification times of a tree.
type Times struct {
	Entries []time.Time // in the order of the listing
	// Directories are those of the directories that are no entries, in the
	// order of [Directories]; it may end early.
	Directories []time.Time
}

// Append appends the list of times to b. There are at most [MaxEntries] of
// each kind. Times beyond what can be said become the nearest ones that can.
func (t Times) Append(b []byte) []byte {
	b = AppendTimesHead(b)
	for _, times := range [][]time.Time{t.Entries, t.Directories} {
		b = AppendTimes(b, len(times), func(i int) time.Time { return times[i] })
	}
	return b
}

// AppendTimesHead appends what a list of times begins with. By [AppendTimes]
// follow those of the entries, then those of the directories.
func AppendTimesHead(b []byte) []byte { return append(b, timesMagic...) }

// AppendTimes appends n times of a list of times, and their number.
func AppendTimes(b []byte, n int, at func(i int) time.Time) []byte {
	b = quicvarint.Append(b, uint64(n))
	for i := range n {
		b = appendTime(b, at(i))
	}
	return b
}

// ParseTimes reads the list of times of a tree of n entries. Whether it has so
// many directories is for the caller to check. Errors are [*MalformedError].
func ParseTimes(b []byte, n int) (t Times, err error) {
	d := decoder{message: "list of times", b: b}
	d.magic(timesMagic)
	got := d.varint("number of times", MaxEntries)
	if d.err == nil && got != uint64(n) {
		d.fail("%d times for %d entries", got, n)
	}
	t.Entries = d.times(n)
	t.Directories = d.times(int(d.varint("number of directories", MaxEntries)))
	if err := d.done(); err != nil {
		return Times{}, err
	}
	return t, nil
}

func (d *decoder) times(n int) []time.Time {
	if d.err == nil && n > len(d.b)/2 {
		d.fail("ends before its %d times", n)
	}
	if d.err != nil {
		return nil
	}
	times := make([]time.Time, 0, n)
	for range n {
		times = append(times, d.time("time"))
	}
	return times
}

// Directories yields the directories of a tree that have something in them: ""
// for the tree itself, then each one in front of what lies in it, in the order
// of the listing. See [FirstFault] for entry.
func Directories(n int, entry func(i int) *Entry) iter.Seq[string] {
	return func(yield func(string) bool) {
		if !yield("") {
			return
		}
		before := ""
		for i := range n {
			path := entry(i).Path
			for at := commonLen(before, path); at < len(path); at++ {
				if path[at] == '/' && !yield(path[:at]) {
					return
				}
			}
			before = path
		}
	}
}

// commonLen returns the number of bytes that two paths begin with alike.
func commonLen(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
