//go:build unix

package scan

import (
	"net"
	"path/filepath"
	"syscall"
	"testing"
)

// specials are the names of what special makes.
var specials = []string{"fifo", "socket"}

// special makes what is neither a file nor a directory nor a link.
func special(t *testing.T, dir string) {
	t.Helper()
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir) // a socket's path is short
	ln, err := net.Listen("unix", "socket")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
}
