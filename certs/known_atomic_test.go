package certs

import (
	"os"
	"path/filepath"
	"testing"
)

// TestKnownIsNeverHalf shows that a change makes another file. The file that
// others are reading does not change.
func TestKnownIsNeverHalf(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, knownFileName)
	k := openKnown(t, dir)
	if _, err := k.Record("a:1", testID(1), knownNow); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(dir, "old")
	if err := os.Link(path, old); err != nil {
		t.Skip("no second names: ", err)
	}
	if _, err := k.Record("b:1", testID(2), knownNow); err != nil {
		t.Fatal(err)
	}
	wantContent(t, old, string(before))
	wantLookup(t, openKnown(t, dir), "a:1", testID(1), true)
	wantLookup(t, openKnown(t, dir), "b:1", testID(2), true)
}
