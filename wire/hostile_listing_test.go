package wire

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// watched runs f, which takes a part of a second. The watch is for code that
// takes the square of that, minutes: it ends the test, and is no measure. A
// machine that is slow with a harmless listing is given longer.
func watched(t *testing.T, f func()) {
	t.Helper()
	harmless := unchecked(generate(hostileShort, func(i int) Entry { return dir(fmt.Sprintf("d%07d", i)) }))
	start := time.Now()
	if _, err := ParseListing(harmless); err != nil {
		t.Fatal(err)
	}
	watch := max(20*time.Second, 200*time.Since(start))
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(watch):
		t.Fatalf("took over %v", watch)
	}
}

// The entries of a hostile listing with short paths, and with the longest.
const (
	hostileShort = 1 << 17
	hostileLong  = 1 << 11
)

// TestListingOfTheMostEntries: a listing of 2^20 files costs its own bytes, a
// path each, and the slice of entries.
func TestListingOfTheMostEntries(t *testing.T) {
	n := MaxEntries
	if testing.Short() {
		n /= 64
	}
	entries := make([]Entry, n)
	for i := range entries {
		entries[i] = Entry{Path: fmt.Sprintf("data/%04d/%03d", i/1000, i%1000), Size: 1 << 40, Checksum: filled(byte(i))}
	}
	b := appended(nil, entries)
	watched(t, func() {
		var got []Entry
		var err error
		cost := allocated(func() { got, err = ParseListing(b) })
		if err != nil || len(got) != n || got[n-1] != entries[n-1] {
			t.Errorf("got %d entries, %v", len(got), err)
		}
		const entryLen, pathLen = 80, 16
		if limit := uint64(n*(entryLen+pathLen) + maxForSilence); cost > limit {
			t.Errorf("allocated %d bytes for %d entries, want at most %d", cost, n, limit)
		}
	})
}

// TestListingOfTheMostBytes: 2^27 bytes are allowed, and not one more.
func TestListingOfTheMostBytes(t *testing.T) {
	if testing.Short() {
		t.Skip("makes a listing of 128 MiB")
	}
	const head, each = 18 + 4, 3 + 4095                         // of the number; of kind, length, path
	deep := "/" + strings.Repeat(text(255)+"/", 15) + text(249) // with five digits in front: 4095 bytes
	entries := generate((MaxListingLen-head-leastEntry)/each, func(i int) Entry { return dir(fmt.Sprintf("%05d", i) + deep) })
	last := MaxListingLen - head - len(entries)*each - 2
	entries = append(entries, dir(strings.Repeat("z", last)))
	b := appended(make([]byte, 0, MaxListingLen+1), entries)
	if _, err := ParseListing(b); err != nil || len(b) != MaxListingLen {
		t.Errorf("%d bytes: %v", len(b), err)
	}
	if _, err := ParseListing(append(b, 0)); !isMalformed(err) || !strings.Contains(err.Error(), "at most 134217728") {
		t.Errorf("one byte more: got %v, want a *MalformedError", err)
	}
	entries[len(entries)-1].Path += "z"
	if _, err := AppendListing(b[:0], entries); !isMalformed(err) || !strings.Contains(err.Error(), "over 134217728") {
		t.Errorf("one byte more written: got %v, want a *MalformedError", err)
	}
}

// TestHostileListings reads the listings that cost a careless reader the square
// of their length.
func TestHostileListings(t *testing.T) {
	deep := strings.Repeat("a/", 2040) // 4080 bytes
	listings := map[string]func() []Entry{
		"links to one place": func() []Entry {
			return generate(hostileShort, func(i int) Entry { return link(fmt.Sprintf("l%07d", i), "no/such/z") })
		},
		"links to each other": func() []Entry {
			n := hostileShort
			return generate(n, func(i int) Entry { return link(fmt.Sprintf("l%07d", i), fmt.Sprintf("l%07d", n-1-i)) })
		},
		"a chain of links": func() []Entry {
			return generate(hostileShort, func(i int) Entry { return link(fmt.Sprintf("l%07d", i), fmt.Sprintf("l%07d", i+1)) })
		},
		"long paths that begin alike": func() []Entry {
			return generate(hostileLong, func(i int) Entry { return dir(deep + fmt.Sprintf("%07d", i)) })
		},
		"long links that begin alike": func() []Entry {
			return generate(hostileLong, func(i int) Entry { return link(deep+fmt.Sprintf("%07d", i), "z/z") })
		},
		"long targets that begin alike": func() []Entry {
			return generate(hostileLong, func(i int) Entry {
				return link(deep+fmt.Sprintf("%07d", i), deep+fmt.Sprintf("%07d", i))
			})
		},
		"the most .. in deep directories": func() []Entry {
			up := strings.Repeat("../", 1300)
			return generate(hostileLong, func(i int) Entry { return link(deep+fmt.Sprintf("%07d", i), up+"z") })
		},
		"the most . in targets": func() []Entry {
			same := strings.Repeat("./", 2047)
			return generate(hostileLong, func(i int) Entry { return link(deep+fmt.Sprintf("%07d", i), same+"z") })
		},
		"siblings of one path": func() []Entry {
			return generate(hostileShort, func(i int) Entry { return dir(fmt.Sprintf("a/%07d", i)) })
		},
	}
	for name, make := range listings {
		t.Run(name, func(t *testing.T) {
			entries := make()
			b := unchecked(entries)
			if len(b) > MaxListingLen {
				t.Fatalf("%d bytes, at most %d make sense", len(b), MaxListingLen)
			}
			watched(t, func() {
				got, err := ParseListing(b)
				if err != nil || len(got) != len(entries) {
					t.Errorf("got %d entries, %v, want %d", len(got), err, len(entries))
				}
			})
		})
	}
}

func generate(n int, entry func(i int) Entry) []Entry {
	all := make([]Entry, n)
	for i := range all {
		all[i] = entry(i)
	}
	return all
}
