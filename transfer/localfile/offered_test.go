//go:build unix

package localfile

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A name that was a link from the beginning may lead to another file.
func TestNameThatIsALink(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "link")
	for _, name := range []string{"a", "b"} {
		os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600)
	}
	os.Symlink("a", path)
	source, err := Offer(path)
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(path)
	os.Symlink("b", path)
	f, err := source.Open()
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// A file that another user puts in the place of the offered one is not offered.
func TestNameOfAnotherOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	path := filepath.Join(t.TempDir(), "data.bin")
	os.WriteFile(path, []byte("data"), 0o644)
	source, err := Offer(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 12345, -1); err != nil {
		t.Fatal(err)
	}
	if _, err := source.Open(); !errors.Is(err, errOtherOwner) {
		t.Errorf("open: %v, want %v", err, errOtherOwner)
	}
	if _, err := source.Stat(); !errors.Is(err, errOtherOwner) {
		t.Errorf("stat: %v, want %v", err, errOtherOwner)
	}
}
