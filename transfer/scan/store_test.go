package scan

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"malcolm/transfer/manifest"
	"malcolm/wire"
)

// A store that is full of values of files that have changed makes place for
// another one, and the values of the others are still right.
func TestCrowded(t *testing.T) {
	dir := t.TempDir()
	kept, changes := bytes.Repeat([]byte("k"), 2*manifest.MinChunkSize), bytes.Repeat([]byte("c"), 3*manifest.MinChunkSize)
	files(t, dir, map[string]string{"kept": string(kept), "changes": string(changes)})
	s := scanningOf(t, dir, Config{})
	s.scan()
	first := s.now.store
	if _, err := first.add(make([]byte, crowdedFrom*wire.ValueLen)); err != nil { // of many changes
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(dir, "changes"), append(changes, 'x'), 0o644)
	s.scan()
	if s.now.store == first || first.users != 0 || s.now.store.n != 2+4 {
		t.Errorf("the store has %d values, the one before %d users", s.now.store.n, first.users)
	}
	checkValues(t, s.now, nil)
}
