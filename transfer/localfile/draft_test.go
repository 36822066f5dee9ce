package localfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// A draft takes its place whole, never one that is taken, and leaves nothing.
func TestDraft(t *testing.T) {
	dir := t.TempDir()
	place := filepath.Join(dir, "file")
	write := func(text string) *Draft {
		t.Helper()
		d, err := NewDraft(place, 0o644)
		if err == nil {
			_, err = d.WriteString(text)
		}
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	want := func(text string) {
		t.Helper()
		got, err := os.ReadFile(place)
		names, _ := os.ReadDir(dir)
		if err != nil || string(got) != text || len(names) != 1 {
			t.Fatalf("%q, %v, %v; want only %q", got, err, names, text)
		}
	}
	first := write("first")
	if err := first.Take(); err != nil {
		t.Fatal(err)
	}
	first.Discard()
	want("first")
	second := write("second")
	if err := second.Take(); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("got %v for a place that is taken", err)
	}
	second.Discard()
	want("first")
	third := write("third")
	if err := third.Replace(); err != nil {
		t.Fatal(err)
	}
	third.Discard()
	write("fourth").Discard()
	want("third")
	if err := TryDraft(place); err != nil {
		t.Fatal(err)
	}
	want("third")
	if err := TryDraft(filepath.Join(dir, "no", "file")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v without a directory", err)
	}
}
