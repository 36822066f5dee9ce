package wire

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// The golden messages of trees, and of files beside an object.

const (
	listingHex = "6d616c636f6c6d206c697374696e6720310a" // "malcolm listing 1\n"
	timesHex   = "6d616c636f6c6d2074696d657320310a"     // "malcolm times 1\n"
	valuesHex  = "6d616c636f6c6d2076616c75657320310a"   // "malcolm values 1\n"
)

func listing(name, hex string, entries []Entry) message {
	return message{
		name: name, hex: listingHex + hex, value: entries,
		append: func(b []byte) []byte { return appended(b, entries) },
		parse:  func(b []byte) (any, error) { return ParseListing(b) },
	}
}

// appended appends the listing of entries that are valid.
func appended(b []byte, entries []Entry) []byte {
	b, err := AppendListing(b, entries)
	if err != nil {
		panic(err)
	}
	return b
}

func listings() []message {
	longest := strings.Repeat("a/", 2047) + "ab"
	return []message{
		listing("listing, empty", "00", []Entry{}),
		listing("listing, every kind", "04"+
			"01 0161 05"+sum00+ // a
			"02 03622f63"+ // b/c
			"03 03622f64 042e2e2f61"+ // b/d, which leads to ../a
			"00 0262ff c000100000000000"+sum40, // b and a byte of no UTF-8
			[]Entry{
				{Kind: EntryExecutable, Path: "a", Size: 5, Checksum: filled(0)},
				{Kind: EntryDirectory, Path: "b/c"},
				{Kind: EntryLink, Path: "b/d", Target: "../a"},
				{Kind: EntryFile, Path: "b\xff", Size: 1 << 44, Checksum: filled(0x40)},
			}),
		listing("listing, longest path and target", "01 03 5000"+strings.Repeat("612f", 2047)+"6162"+
			"5000"+strings.Repeat("2e2f", 2047)+"6162",
			[]Entry{{Kind: EntryLink, Path: longest, Target: strings.ReplaceAll(longest[:4094], "a", ".") + "ab"}}),
	}
}

func timesMessages() []message {
	list := func(name, hex string, times Times) message {
		return message{
			name: name, hex: timesHex + hex, value: times,
			append: times.Append,
			parse:  func(b []byte) (any, error) { return ParseTimes(b, len(times.Entries)) },
		}
	}
	three := []time.Time{
		time.Unix(0, 0).UTC(), time.Date(1969, 12, 31, 23, 59, 59, 999_999_999, time.UTC), time.Unix(1<<61-1, 7).UTC(),
	}
	return []message{
		list("times, none", "00 00", Times{[]time.Time{}, []time.Time{}}),
		list("times, three", "03 00 00 01 bb9ac9ff fffffffffffffffe 07 00", Times{three, []time.Time{}}),
		list("times, of directories", "00 02 00 00 01 bb9ac9ff", Times{[]time.Time{}, three[:2]}),
	}
}

func valuesFiles() []message {
	file := func(name, hex string, f ValuesFile) message {
		return message{
			name: name, hex: valuesHex + hex, value: f, view: true,
			append: f.Append,
			parse:  func(b []byte) (any, error) { return ParseValuesFile(b) },
		}
	}
	zero := time.Unix(0, 0).UTC()
	list := listingHex + "00"
	return []message{
		file("file of values, one chunk", "28 00 05 00 00"+sum00+"0161 00|", ValuesFile{
			Offer: Offer{Size: 5, ModTime: zero, Checksum: filled(0), Name: "a"}, Values: []byte{},
		}),
		file("file of values, two chunks", "2b 00 80080000 00 00"+sum00+"0161 00|"+hex40+"|"+hex80+"|", ValuesFile{
			Offer:  Offer{Size: 512 << 10, ModTime: zero, Checksum: filled(0), Name: "a"},
			Values: unhexed(hex40 + hex80),
		}),
		file("file of values, tree", "404a 01 13 00 00"+sum00+"0161"+sum40+"15 00 13"+list+"|"+hex80+"|", ValuesFile{
			Offer:   Offer{Kind: KindTree, Size: 19, ModTime: zero, Checksum: filled(0), Name: "a", Times: filled(0x40), TimesSize: 21},
			Listing: unhexed(list), Values: unhexed(hex80),
		}),
	}
}

// The directories of a tree are the tree itself and all that its paths lie in,
// each once.
func TestDirectories(t *testing.T) {
	for _, tt := range []struct {
		paths, want []string
	}{
		{nil, []string{""}},
		{[]string{"a"}, []string{""}},
		{[]string{"a", "b/c/d", "b/c!", "b/ca", "c/c/d"}, []string{"", "b", "b/c", "c", "c/c"}},
		{[]string{"a/d/e", "a/dd/e", "ab/c"}, []string{"", "a", "a/d", "a/dd", "ab"}},
	} {
		entries := many(tt.paths...)
		if got := slices.Collect(Directories(len(entries), in(entries))); !slices.Equal(got, tt.want) {
			t.Errorf("%q: directories %q, want %q", tt.paths, got, tt.want)
		}
	}
}
