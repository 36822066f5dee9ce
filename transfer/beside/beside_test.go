package beside

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
	"malcolm/transfer/scan"
	"malcolm/wire"
)

// pattern returns n bytes, different for each seed.
func pattern(n, seed int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*i>>7 + i + seed)
	}
	return b
}

// fileOf makes the file of values of a file with these bytes.
func fileOf(t testing.TB, data []byte) (made *Made, encoded []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return encode(t, Object{Name: "data", File: localfile.Named(path), Hashes: scan.FileConfig{SHA256: true}})
}

// treeOf makes the file of values of a directory with these files.
func treeOf(t testing.TB, files map[string][]byte) (made *Made, encoded []byte) {
	t.Helper()
	dir := t.TempDir()
	for path, data := range files {
		path = filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, data, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return encode(t, Object{Name: "tree", Tree: treeConfig(t, dir)})
}

func treeConfig(t testing.TB, dir string) *scan.Config {
	source, err := localfile.OfferDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	open := func() (scan.Dir, error) { return source.Open() }
	return &scan.Config{Parts: []scan.Part{{Path: dir, Open: open}}, AllowEmpty: true, SHA256: true}
}

func encode(t testing.TB, o Object) (made *Made, encoded []byte) {
	t.Helper()
	m, err := Make(t.Context(), o, new(scan.Progress))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	var b bytes.Buffer
	if err := m.Encode(&b); err != nil {
		t.Fatal(err)
	}
	return m, b.Bytes()
}

func open(b []byte) (*Values, error) { return Open(bytes.NewReader(b), int64(len(b))) }

func TestFile(t *testing.T) {
	for _, size := range []int{0, 1, 1000, manifest.MinChunkSize, manifest.MinChunkSize + 1, 5*manifest.MinChunkSize - 3} {
		data := pattern(size, size)
		m, b := fileOf(t, data)
		v, err := open(b)
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if v.Tree != nil || v.Offer.Size != int64(size) || v.Offer.Name != "data" || v.Offer.Checksum != m.Offer.Checksum || !v.Offer.ModTime.Equal(m.Offer.ModTime) {
			t.Errorf("%d bytes: %+v", size, v.Offer)
		}
		want, sum, err := manifest.Build(t.Context(), bytes.NewReader(data), int64(size), manifest.BuildOptions{})
		if err != nil || sum != v.Offer.Checksum {
			t.Errorf("%d bytes: checksum %x, want %x, %v", size, v.Offer.Checksum, sum, err)
		}
		if got, err := v.Of(sum); want.Len() > 1 && (err != nil || !bytes.Equal(got.Bytes(), want.Bytes())) {
			t.Errorf("%d bytes: other values, %v", size, err)
		}
		for e := range m.Files() {
			if e.Path != "data" || e.Size != int64(size) || *e.SHA256 != sha256.Sum256(data) {
				t.Errorf("%d bytes: entry %+v", size, e)
			}
		}
	}
}

// Files of the same bytes have their values once, and those of one chunk none.
func TestTree(t *testing.T) {
	large, other := pattern(3*manifest.MinChunkSize, 1), pattern(2*manifest.MinChunkSize, 2)
	files := map[string][]byte{"a": large, "b/again": large, "c": other, "small": []byte("1"), "empty": nil}
	m, b := treeOf(t, files)
	v, err := open(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(v.Listing, m.Snapshot.Listing().Bytes()) || len(v.Tree.Entries()) != 5 || v.Offer.Name != "tree" {
		t.Errorf("%+v", v.Offer)
	}
	if got := len(b) - len(v.Listing); got > 5*wire.ValueLen+wire.MaxValuesStart {
		t.Errorf("%d bytes beside the listing", got)
	}
	for _, data := range [][]byte{large, other} {
		values, sum, _ := manifest.Build(t.Context(), bytes.NewReader(data), int64(len(data)), manifest.BuildOptions{})
		if got, err := v.Of(sum); err != nil || !bytes.Equal(got.Bytes(), values.Bytes()) {
			t.Errorf("values of %d bytes: %v", len(data), err)
		}
	}
	if _, err := v.Of(manifest.Sum([]byte("1"))); err == nil {
		t.Error("a file of one chunk has values")
	}
	n := 0
	for e := range m.Files() {
		n++
		if *e.SHA256 != sha256.Sum256(files[e.Path]) {
			t.Errorf("%s: SHA-256 %x", e.Path, *e.SHA256)
		}
	}
	if n != 5 {
		t.Errorf("%d files", n)
	}
}

// What is not whole, or does not prove itself, is refused whole.
func TestRefused(t *testing.T) {
	_, file := fileOf(t, pattern(3*manifest.MinChunkSize, 1))
	_, dir := treeOf(t, map[string][]byte{"a": pattern(2*manifest.MinChunkSize, 2), "b": nil})
	for name, b := range map[string][]byte{"file": file, "directory": dir} {
		for n := range b {
			wantRefused(t, name, b[:n])
		}
		wantRefused(t, name+" and a byte", append(bytes.Clone(b), 0))
		wantRefused(t, name+" and a value", append(bytes.Clone(b), make([]byte, wire.ValueLen)...))
		proved := 2 * wire.ValueLen // at the end
		for i := range proved {
			wrong := bytes.Clone(b)
			wrong[len(b)-1-i] ^= 4
			wantRefused(t, name+" with a wrong byte", wrong)
		}
	}
	swapped := bytes.Clone(dir)
	at := bytes.Index(dir, []byte("malcolm listing 1\n"))
	swapped[at+20] ^= 1
	wantRefused(t, "a wrong byte in the listing", swapped)
	huge := wire.ValuesFile{Offer: wire.Offer{Size: wire.MaxFileSize}}.Append(nil)
	wantRefused(t, "16 TiB without values", huge)
	listing := wire.ValuesFile{Offer: wire.Offer{Kind: wire.KindTree, Size: wire.MaxListingLen}}.Append(nil)
	wantRefused(t, "a listing that is not there", listing)
	wantRefused(t, "an empty file of another checksum", wire.ValuesFile{}.Append(nil))
	for _, b := range [][]byte{nil, []byte("x"), []byte(strings.Repeat("malcolm ", 1000)), []byte("<html>")} {
		wantRefused(t, "something else", b)
	}
}

func wantRefused(t *testing.T, what string, b []byte) {
	t.Helper()
	_, err := open(b)
	if !errors.As(err, new(*FormatError)) {
		t.Errorf("%s of %d bytes: %v, want a FormatError", what, len(b), err)
	}
}

// An error of the disk is no error of the file.
func TestUnreadable(t *testing.T) {
	_, b := fileOf(t, pattern(3*manifest.MinChunkSize, 1))
	for _, at := range []int64{0, int64(len(b)) - 96} {
		_, err := Open(failing{bytes.NewReader(b), at}, int64(len(b)))
		if !errors.Is(err, fs.ErrPermission) || errors.As(err, new(*FormatError)) {
			t.Errorf("from byte %d: %v", at, err)
		}
	}
}

type failing struct {
	io.ReaderAt
	from int64
}

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off >= f.from {
		return 0, fs.ErrPermission
	}
	return f.ReaderAt.ReadAt(p, off)
}

// A directory of which a file changes while it is hashed has no file of values.
func TestTreeChanges(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	if err := os.WriteFile(path, []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := treeConfig(t, dir)
	inner := cfg.Parts[0].Open
	cfg.Parts[0].Open = func() (scan.Dir, error) {
		d, err := inner()
		return growing{d, path}, err
	}
	if _, err := Make(t.Context(), Object{Tree: cfg}, new(scan.Progress)); !errors.Is(err, scan.ErrUnsteady) {
		t.Errorf("%v, want %v", err, scan.ErrUnsteady)
	}
}

// A growing directory has files that grow at each read.
type growing struct {
	scan.Dir
	path string
}

func (g growing) Open(path string) (localfile.File, error) {
	f, err := g.Dir.Open(path)
	return growingFile{f, g.path}, err
}

type growingFile struct {
	localfile.File
	path string
}

func (g growingFile) ReadAt(p []byte, off int64) (int, error) {
	f, err := os.OpenFile(g.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return 0, err
	}
	f.WriteString("2")
	f.Close()
	return g.File.ReadAt(p, off)
}

// FuzzOpen has any bytes refused, or proved: what was accepted holds together.
func FuzzOpen(f *testing.F) {
	for _, seed := range seeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) { checkOpen(t, b) })
}

func seeds(t testing.TB) (all [][]byte) {
	for _, size := range []int{0, 5, 2*manifest.MinChunkSize + 1} {
		_, b := fileOf(t, pattern(size, 1))
		all = append(all, b)
	}
	_, b := treeOf(t, map[string][]byte{"a": pattern(2*manifest.MinChunkSize, 2), "b/c": []byte("1"), "d": nil})
	return append(all, b)
}

func checkOpen(t testing.TB, b []byte) (accepted bool) {
	v, err := open(b)
	if err != nil {
		if !errors.As(err, new(*FormatError)) {
			t.Errorf("%v", err)
		}
		return false
	}
	parsed, err := wire.ParseValuesFile(b)
	if err != nil {
		t.Fatalf("accepted here, and not by wire: %v", err)
	}
	if !bytes.Equal(parsed.Listing, v.Listing) || parsed.Offer.Checksum != v.Offer.Checksum {
		t.Error("not what wire reads")
	}
	return true
}

func TestSeeds(t *testing.T) {
	for i, seed := range seeds(t) {
		if !checkOpen(t, seed) {
			t.Errorf("seed %d is refused", i)
		}
	}
}
