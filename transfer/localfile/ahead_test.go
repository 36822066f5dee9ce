package localfile

import (
	"os"
	"path/filepath"
	"testing"
)

// The hint is accepted, even for bytes that are not there and for a closed
// file, and changes nothing.
func TestReadAhead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(path, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Named(path).Open()
	if err != nil {
		t.Fatal(err)
	}
	f.(ReadAheader).ReadAhead(0, 4)
	f.(ReadAheader).ReadAhead(1<<40, 4) // beyond the end
	b := make([]byte, 4)
	if _, err := f.ReadAt(b, 0); err != nil || string(b) != "data" {
		t.Errorf("read %q, %v", b, err)
	}
	f.Close()
	f.(ReadAheader).ReadAhead(0, 4)
}
