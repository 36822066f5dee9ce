package described

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"malcolm/transfer/manifest"
	"malcolm/transfer/source"
	"malcolm/transfer/source/sourcetest"
	"malcolm/wire"
)

const chunk = 256 << 10

func hashes(t testing.TB, data []byte) (wire.Values, [32]byte) {
	t.Helper()
	values, sum, err := manifest.Build(t.Context(), bytes.NewReader(data), int64(len(data)), manifest.BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return values, sum
}

func ofFile(t testing.TB, data []byte) wire.ValuesFile {
	values, sum := hashes(t, data)
	f := wire.ValuesFile{Offer: wire.Offer{Name: "data.bin", Size: int64(len(data)), Checksum: sum, ModTime: time.Unix(1, 0)}}
	if values.Len() > 1 {
		f.Values = values.Bytes()
	}
	return f
}

func ofTree(t testing.TB, files map[string][]byte, order ...string) wire.ValuesFile {
	f := wire.ValuesFile{Offer: wire.Offer{Kind: wire.KindTree, Name: "tree", ModTime: time.Unix(1, 0)}}
	var entries []wire.Entry
	seen := make(map[[32]byte]bool)
	for _, path := range order {
		values, sum := hashes(t, files[path])
		entries = append(entries, wire.Entry{Path: path, Size: int64(len(files[path])), Checksum: sum})
		if values.Len() > 1 && !seen[sum] {
			f.Values = append(f.Values, values.Bytes()...)
		}
		seen[sum] = true
	}
	var err error
	if f.Listing, err = wire.AppendListing(nil, entries); err != nil {
		t.Fatal(err)
	}
	f.Offer.Size, f.Offer.Checksum = int64(len(f.Listing)), manifest.Sum(f.Listing)
	return f
}

// What a file of values says of a file, of any size.
func TestParseFile(t *testing.T) {
	for _, size := range []int{0, 1, chunk, chunk + 1, 5 * chunk} {
		data := make([]byte, size)
		want := ofFile(t, data)
		f, err := Parse(want.Append(nil))
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		values, ok := f.of(want.Offer.Checksum)
		if !ok || manifest.Check(values, int64(size), want.Offer.Checksum) != nil {
			t.Errorf("%d bytes: %d values, %v", size, values.Len(), ok)
		}
	}
}

// Values that are not those of the checksum are refused, as is what is cut off.
func TestParseRefuses(t *testing.T) {
	good := ofFile(t, make([]byte, 5*chunk))
	whole := good.Append(nil)
	for n := range len(whole) {
		if _, err := Parse(whole[:n:n]); err == nil {
			t.Fatalf("the first %d of %d bytes pass", n, len(whole))
		}
	}
	tree := ofTree(t, map[string][]byte{"a": make([]byte, 3*chunk)}, "a")
	for name, change := range map[string]func(f, tree *wire.ValuesFile){
		"a value":            func(f, _ *wire.ValuesFile) { f.Values[40]++ },
		"one value more":     func(f, _ *wire.ValuesFile) { f.Values = append(f.Values, make([]byte, 32)...) },
		"the size":           func(f, _ *wire.ValuesFile) { f.Offer.Size += chunk },
		"the checksum":       func(f, _ *wire.ValuesFile) { f.Offer.Checksum[0]++ },
		"an empty file":      func(f, _ *wire.ValuesFile) { f.Offer.Size, f.Values = 0, nil },
		"a tree's value":     func(_, tree *wire.ValuesFile) { tree.Values[0]++ },
		"a tree's checksum":  func(_, tree *wire.ValuesFile) { tree.Offer.Checksum[0]++ },
		"a tree's listing":   func(_, tree *wire.ValuesFile) { tree.Listing[len(tree.Listing)-1]++ },
		"a tree with fewer":  func(_, tree *wire.ValuesFile) { tree.Values = tree.Values[32:] },
		"a tree without any": func(_, tree *wire.ValuesFile) { tree.Listing, tree.Offer.Size = nil, 0 },
	} {
		f, dir := good, tree
		f.Values, dir.Values, dir.Listing = bytes.Clone(f.Values), bytes.Clone(dir.Values), bytes.Clone(dir.Listing)
		change(&f, &dir)
		_, errFile := Parse(f.Append(nil))
		_, errTree := Parse(dir.Append(nil))
		if errFile == nil && errTree == nil {
			t.Errorf("%s: a changed file of values passes", name)
		}
	}
}

// A tree's files have values and places; those of the same bytes once.
func TestTree(t *testing.T) {
	files := map[string][]byte{"a/long": make([]byte, 3*chunk), "b": []byte("short"), "c": make([]byte, 3*chunk), "d": nil}
	v := ofTree(t, files, "a/long", "b", "c", "d")
	f, err := Parse(v.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	for path, data := range files {
		want, sum := hashes(t, data)
		if len(data) == 0 {
			continue
		}
		got, ok := f.of(sum)
		if !ok || !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Errorf("%s: %d values, %v", path, got.Len(), ok)
		}
		at, size, ok := f.Path(sum)
		if path == "c" {
			path = "a/long"
		}
		if !ok || at != path || size != int64(len(data)) {
			t.Errorf("%s lies at %q with %d bytes, %v", path, at, size, ok)
		}
	}
	if values, ok := f.of(v.Offer.Checksum); !ok || manifest.Check(values, v.Offer.Size, v.Offer.Checksum) != nil {
		t.Error("the listing has no values")
	}
	if _, ok := f.of([32]byte{1}); ok {
		t.Error("an unknown file has values")
	}
}

// A mirror votes by its file, which is read once; the listing comes from it.
func TestVotes(t *testing.T) {
	v := ofTree(t, map[string][]byte{"a": make([]byte, 2*chunk)}, "a")
	reads := 0
	src := New(sourcetest.Mirror(source.Target{Host: "h", Port: 443, URL: "https://h/x"}, [][]byte{{1}}, nil), "h",
		func(context.Context) ([]byte, error) {
			if reads++; reads == 1 {
				return nil, &source.Fault{What: source.Lost, Words: "reset"}
			}
			return v.Append(nil), nil
		})
	if is, votes := src.Voter(); is.Host != "h" || !votes {
		t.Errorf("%+v, %v", is, votes)
	}
	way, err := src.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := way.Stat(t.Context(), source.Ask{}, nil); source.WhatOf(err) != source.Lost {
		t.Errorf("%v, want the reader's fault", err)
	}
	for range 2 {
		o, err := way.Stat(t.Context(), source.Ask{Values: true}, nil)
		if err != nil || o.Checksum != v.Offer.Checksum || o.Kind != wire.KindTree {
			t.Fatalf("%+v, %v", o, err)
		}
	}
	if reads != 2 {
		t.Errorf("read %d times, want once more after a failure", reads)
	}
	again, err := way.Again(t.Context(), source.More)
	if err != nil {
		t.Fatal(err)
	}
	body, err := again.Range(t.Context(), []source.Span{{Checksum: v.Offer.Checksum, Offset: 1, Length: v.Offer.Size - 1}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, v.Listing[1:]) {
		t.Errorf("%q, %v, want the listing", got, err)
	}
}

// A page in place of the file, or none: the mirror sends bytes only. A broken
// file puts it out.
func TestWithoutFile(t *testing.T) {
	broken := ofFile(t, make([]byte, 2*chunk)).Append(nil)
	for _, test := range []struct {
		b    []byte
		err  error
		want source.What
	}{
		{b: []byte("<html>"), want: source.BytesOnly},
		{err: &source.Fault{What: source.BytesOnly}, want: source.BytesOnly},
		{b: broken[:len(broken)-1], want: source.Wrong},
		{err: errors.New("other"), want: source.Lost},
	} {
		src := New(sourcetest.Mirror(source.Target{Host: "h"}, [][]byte{{1}}, nil), "h", func(context.Context) ([]byte, error) { return test.b, test.err })
		way, _ := src.Connect(t.Context())
		_, err := way.Stat(t.Context(), source.Ask{}, nil)
		if err == nil || source.WhatOf(err) != test.want {
			t.Errorf("%q: %v, want kind %d", test.b, err, test.want)
		}
		if _, err := way.Stat(t.Context(), source.Ask{Bare: true}, nil); err != nil {
			t.Errorf("its size: %v", err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(ofFile(f, make([]byte, 2*chunk)).Append(nil))
	f.Add(ofTree(f, map[string][]byte{"a": make([]byte, 2*chunk), "b": {1}}, "a", "b").Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		parsed, err := Parse(b)
		if err != nil {
			return
		}
		values, ok := parsed.of(parsed.Offer.Checksum)
		if !ok || manifest.Check(values, parsed.Offer.Size, parsed.Offer.Checksum) != nil && manifest.Count(parsed.Offer.Size) != 1 {
			t.Error("values that do not merge to the checksum pass")
		}
	})
}
