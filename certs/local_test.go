package certs

import (
	"os"
	"path/filepath"
	"testing"
)

// TestLocalSecret: a machine's secret stays the same, lies in a file that
// nobody else may read, and differs in another directory.
func TestLocalSecret(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	first := LocalSecret(dir)
	if again := LocalSecret(dir); again != first {
		t.Error("the secret has changed")
	}
	files, err := filepath.Glob(filepath.Join(dir, localPrefix+"*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files %q, %v", files, err)
	}
	if info, err := os.Stat(files[0]); err != nil || info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if LocalSecret(filepath.Join(dir, "other")) == first {
		t.Error("another directory has the same secret")
	}
}

// TestLocalSecretDamaged: a file that cannot be the secret is not changed, and
// the secret used instead is new each time.
func TestLocalSecretDamaged(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, localPrefix+machineName())
	if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if once, again := LocalSecret(dir), LocalSecret(dir); once == again {
		t.Error("twice the same secret from a damaged file")
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "short" {
		t.Errorf("the file is now %q, %v", content, err)
	}
}
