package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// rfc8032PEM is the key of RFC 8032, section 7.1, test 1, as OpenSSL writes it.
const rfc8032PEM = `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
`

// putKeyFile makes a directory whose key file has content.
func putKeyFile(t *testing.T, content string) (dir, path string) {
	t.Helper()
	dir = t.TempDir()
	path = filepath.Join(dir, keyFileName)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, path
}

// wantKeyFileError checks that err is for path and says reason, and that id is
// nil.
func wantKeyFileError(t *testing.T, id *Identity, err error, path, reason string) {
	t.Helper()
	keyErr, ok := errors.AsType[*KeyFileError](err)
	if !ok || id != nil {
		t.Fatalf("got %v, %v; want a *KeyFileError", id, err)
	}
	if keyErr.Path != path {
		t.Errorf("Path: got %q, want %q", keyErr.Path, path)
	}
	if !strings.Contains(err.Error(), reason) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %q, want one with %q and %q", err, path, reason)
	}
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestLoadOrCreate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "malcolm")
	made, err := LoadOrCreate(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); got != keyFileName {
		t.Errorf("the directory holds %q, want only %q", got, keyFileName)
	}
	if runtime.GOOS != "windows" {
		for path, want := range map[string]fs.FileMode{
			filepath.Dir(dir):               fs.ModeDir | 0o700,
			dir:                             fs.ModeDir | 0o700,
			filepath.Join(dir, keyFileName): 0o600,
		} {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Mode(); got != want {
				t.Errorf("%s: got mode %v, want %v", path, got, want)
			}
		}
	}
	loaded, err := LoadOrCreate(dir)
	if err != nil {
		t.Fatal(err)
	}
	if loaded.ID() != made.ID() || !loaded.key.Equal(made.key) {
		t.Errorf("got %s, then %s", made.ID(), loaded.ID())
	}
}

func TestLoadGolden(t *testing.T) {
	want := goldenIDs[0].text
	frozen := "malcolm server ID " + want + "\n" + rfc8032PEM
	got, err := rfc8032Identity(t).encode()
	if err != nil || string(got) != frozen {
		t.Errorf("encode: got %q, %v; want %q", got, err, frozen)
	}
	for _, content := range []string{
		frozen,
		rfc8032PEM,
		"# a comment\n" + rfc8032PEM + "\n\n",
		strings.ReplaceAll(frozen, "\n", "\r\n"),
	} {
		dir, _ := putKeyFile(t, content)
		id, err := LoadOrCreate(dir)
		if err != nil || id.ID().String() != want {
			t.Errorf("%q: got %v, %v; want %s", content, id, err, want)
		}
	}
}

// TestLoadOrCreateAtOnce has many first runs at the same moment, on file
// systems with and without hard links.
func TestLoadOrCreateAtOnce(t *testing.T) {
	noLinks := func(from, to string) error {
		return &os.LinkError{Op: "link", Old: from, New: to, Err: syscall.EPERM}
	}
	for name, link := range map[string]func(string, string) error{"link": os.Link, "no link": noLinks} {
		t.Run(name, func(t *testing.T) {
			for range 20 {
				dir := filepath.Join(t.TempDir(), "malcolm")
				ids := make([]*Identity, 16)
				errs := make([]error, len(ids))
				var ready, done sync.WaitGroup
				ready.Add(len(ids))
				for i := range ids {
					done.Go(func() {
						ready.Done()
						ready.Wait()
						ids[i], errs[i] = loadOrCreate(dir, link)
					})
				}
				done.Wait()
				for i, err := range errs {
					if err != nil {
						t.Fatal(err)
					}
					if ids[i].ID() != ids[0].ID() {
						t.Fatalf("got %s and %s", ids[i].ID(), ids[0].ID())
					}
				}
				if got := names(t, dir); got != keyFileName {
					t.Fatalf("the directory holds %q, want only %q", got, keyFileName)
				}
			}
		})
	}
}

// TestCreateLoses puts another key at the final name at the last moment.
func TestCreateLoses(t *testing.T) {
	for name, rival := range map[string]func(from, to string) error{
		"link": os.Link,
		"no link": func(_, to string) error {
			return syscall.EPERM
		},
	} {
		t.Run(name, func(t *testing.T) {
			linked := 0
			dir := t.TempDir()
			id, err := loadOrCreate(dir, func(from, to string) error {
				linked++
				if err := os.WriteFile(to, []byte(rfc8032PEM), 0o600); err != nil {
					t.Error(err)
				}
				return rival(from, to)
			})
			if err != nil {
				t.Fatal(err)
			}
			if linked != 1 {
				t.Fatalf("link was called %d times", linked)
			}
			if got, want := id.ID().String(), goldenIDs[0].text; got != want {
				t.Errorf("got %s, want the rival's %s", got, want)
			}
			if got := names(t, dir); got != keyFileName {
				t.Errorf("the directory holds %q, want only %q", got, keyFileName)
			}
		})
	}
}

// TestLoadWaitsForContent loads a file that another process has created without
// hard links and writes a moment later.
func TestLoadWaitsForContent(t *testing.T) {
	dir, path := putKeyFile(t, "")
	synctest.Test(t, func(t *testing.T) {
		go func() {
			time.Sleep(100 * time.Millisecond)
			if err := os.WriteFile(path, []byte(rfc8032PEM), 0o600); err != nil {
				t.Error(err)
			}
		}()
		id, err := LoadOrCreate(dir)
		if err != nil || id.ID().String() != goldenIDs[0].text {
			t.Errorf("got %v, %v", id, err)
		}
	})
}

func pemOf(t *testing.T, blockType string, marshal func(*ecdsa.PrivateKey) ([]byte, error)) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: der}))
}

func TestLoadRefusesOtherContent(t *testing.T) {
	valid, err := rfc8032Identity(t).encode()
	if err != nil {
		t.Fatal(err)
	}
	asPKCS8 := func(k *ecdsa.PrivateKey) ([]byte, error) { return x509.MarshalPKCS8PrivateKey(k) }
	public := func(k *ecdsa.PrivateKey) ([]byte, error) { return x509.MarshalPKIXPublicKey(k.Public()) }
	for name, c := range map[string]struct{ content, reason string }{
		"empty":         {"", "it is empty"},
		"blank":         {"\n", "no whole PEM block"},
		"zeros":         {strings.Repeat("\x00", len(valid)), "no whole PEM block"},
		"DER":           {"\x30\x2e\x02\x01", "no whole PEM block"},
		"ECDSA":         {pemOf(t, "PRIVATE KEY", asPKCS8), "*ecdsa.PrivateKey, not Ed25519"},
		"SEC 1":         {pemOf(t, "EC PRIVATE KEY", x509.MarshalECPrivateKey), `"EC PRIVATE KEY", not "PRIVATE KEY"`},
		"public key":    {pemOf(t, "PUBLIC KEY", public), `"PUBLIC KEY", not "PRIVATE KEY"`},
		"no PKCS#8":     {pemOf(t, "PRIVATE KEY", public), "no PKCS#8 key"},
		"two keys":      {rfc8032PEM + rfc8032PEM, "more than one"},
		"rest":          {rfc8032PEM + "x", "more than one"},
		"another ID":    {idLine + goldenIDs[1].text + "\n" + rfc8032PEM, "it is damaged"},
		"no ID":         {idLine + "\n" + rfc8032PEM, "it is damaged"},
		"control chars": {"-----BEGIN \x1b[31m-----\n-----END \x1b[31m-----\n", `"\x1b[31m", not`},
		"too long":      {strings.Repeat("\n", maxKeyFile) + rfc8032PEM, "longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, path := putKeyFile(t, c.content)
			synctest.Test(t, func(t *testing.T) { // the empty file is waited for
				id, err := LoadOrCreate(dir)
				wantKeyFileError(t, id, err, path, c.reason)
				if !strings.Contains(err.Error(), "restore it") {
					t.Errorf("got %q, want the remedy in it", err)
				}
			})
			after, err := os.ReadFile(path)
			if err != nil || string(after) != c.content || names(t, dir) != keyFileName {
				t.Errorf("the file was changed to %q, %v", after, err)
			}
		})
	}
}

// TestLoadFindsDamage cuts the file at each place and changes each byte.
func TestLoadFindsDamage(t *testing.T) {
	id := rfc8032Identity(t)
	valid, err := id.encode()
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(valid) - 1 { // the last line end may be missing
		if got, reason := decode(valid[:n]); reason == "" {
			t.Errorf("the first %d bytes of %d: got %v, want an error", n, len(valid), got)
		}
	}
	for at := range valid {
		for _, flip := range []byte{1, 2, 0x20, 0x80, 0xff} {
			damaged := bytes.Clone(valid)
			damaged[at] ^= flip
			got, reason := decode(damaged)
			if reason == "" && got.ID() != id.ID() {
				t.Errorf("%q: got another identity, want an error", damaged)
			}
		}
	}
}

func TestLoadRefusesKeyThatOthersMayUse(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such modes on Windows")
	}
	for _, mode := range []fs.FileMode{0o644, 0o640, 0o604, 0o610, 0o601, 0o620, 0o602, 0o666} {
		dir, path := putKeyFile(t, rfc8032PEM)
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		id, err := LoadOrCreate(dir)
		wantKeyFileError(t, id, err, path, "run: chmod 600 '"+path+"'")
		if info, err := os.Stat(path); err != nil || info.Mode() != mode {
			t.Errorf("mode %v was changed: %v, %v", mode, info.Mode(), err)
		}
	}
	for _, mode := range []fs.FileMode{0o600, 0o400, 0o700} {
		dir, path := putKeyFile(t, rfc8032PEM)
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadOrCreate(dir); err != nil {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
}

func TestShellQuote(t *testing.T) {
	if got, want := shellQuote("/a b/it's"), `'/a b/it'\''s'`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Not even root can use these directories.
func TestLoadOrCreateWithoutDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "malcolm")} {
		id, err := LoadOrCreate(dir)
		wantKeyFileError(t, id, err, filepath.Join(dir, keyFileName), "")
		if errors.Unwrap(err) == nil {
			t.Errorf("%q: the cause is missing", err)
		}
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "x" {
		t.Errorf("the file in place of the directory was changed: %q, %v", got, err)
	}
}

func TestLoadOrCreateOddFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, keyFileName)
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	id, err := LoadOrCreate(dir)
	wantKeyFileError(t, id, err, path, "no regular file")

	dir = t.TempDir()
	path = filepath.Join(dir, keyFileName)
	target := filepath.Join(dir, "gone")
	if err := os.Symlink(target, path); err != nil {
		t.Skip("no symbolic links: ", err)
	}
	id, err = LoadOrCreate(dir)
	wantKeyFileError(t, id, err, path, "")
	if got := names(t, dir); got != keyFileName {
		t.Errorf("the directory holds %q, want only the dangling link", got)
	}
	if err := os.WriteFile(target, []byte(rfc8032PEM), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadOrCreate(dir); err != nil {
		t.Errorf("through a symbolic link: %v", err)
	}
}
