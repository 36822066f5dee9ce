package disk

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"malcolm/transfer/paths"
)

var noon = time.Unix(1764436710, 0).UTC()

func tableWith(places ...byte) paths.Table {
	t := make(paths.Table)
	for _, b := range places {
		t[paths.Place{b}] = paths.Path{Conns: int(b), When: noon}
	}
	return t
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// holds fails the test unless the directory has exactly this table, and no file
// beside it.
func holds(t *testing.T, dir string, want paths.Table) {
	t.Helper()
	got, err := Load(dir)
	must(t, err)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("table = %v, want %v", got, want)
	}
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) != 1 || entries[0].Name() != fileName {
		t.Errorf("the directory has %v, want the table alone", entries)
	}
}

func TestSave(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "cache", "malcolm")
	must(t, Save(dir, nil, noon))
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without anything to keep the directory was made: %v", err)
	}
	got, err := Load(dir)
	if err != nil || len(got) != 0 {
		t.Errorf("without a file: %v, %v, want nothing", got, err)
	}
	must(t, Save(dir, tableWith(1), noon))
	must(t, Save(dir, tableWith(2), noon))
	holds(t, dir, tableWith(1, 2))
	info, err := os.Stat(filepath.Join(dir, fileName))
	must(t, err)
	if got := info.Mode().Perm(); got != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("mode %#o, want 0600", got)
	}
	must(t, Save(dir, tableWith(3), noon.Add(2*paths.Lasts)))
	holds(t, dir, paths.Table{})
}

// Processes that end together each keep what they have noted.
func TestSaveTogether(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var wg sync.WaitGroup
	var want []byte
	for i := range byte(8) {
		want = append(want, i+1)
		wg.Go(func() {
			if err := Save(dir, tableWith(i+1), noon); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	holds(t, dir, tableWith(want...))
}

// What is there instead of a table is no table, and the next run replaces it
// where that can be.
func TestWrongFile(t *testing.T) {
	t.Parallel()
	var elsewhere string
	tests := []struct {
		name  string
		make  func(path string) error
		reads bool // without an error
		keeps bool // the next table replaces it
	}{
		{"nothing in it", func(p string) error { return os.WriteFile(p, nil, 0o600) }, true, true},
		{"garbage", func(p string) error { return os.WriteFile(p, []byte("\x00\xffgarbage\n\n"), 0o600) }, true, true},
		{"endless", func(p string) error {
			return os.WriteFile(p, []byte("malcolm paths 1\n"+strings.Repeat("a line\n", paths.MaxLen)), 0o600)
		}, true, true},
		{"a directory", func(p string) error { return os.MkdirAll(filepath.Join(p, "full"), 0o700) }, false, false},
		{"a link to elsewhere", func(p string) error {
			elsewhere = filepath.Join(t.TempDir(), "elsewhere")
			return errors.Join(os.WriteFile(elsewhere, []byte("mine"), 0o600), os.Symlink(elsewhere, p))
		}, false, true},
	}
	for _, test := range tests {
		dir := t.TempDir()
		must(t, test.make(filepath.Join(dir, fileName)))
		got, err := Load(dir)
		if len(got) != 0 || (err == nil) != test.reads {
			t.Errorf("%s: loaded %v, %v, want nothing, and an error: %t", test.name, got, err, !test.reads)
		}
		err = Save(dir, tableWith(1), noon)
		if (err == nil) != test.keeps {
			t.Errorf("%s: save: %v, want success: %t", test.name, err, test.keeps)
		}
		if test.keeps {
			holds(t, dir, tableWith(1))
		}
		if _, err := os.Lstat(filepath.Join(dir, tempName)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: a temporary file is left: %v", test.name, err)
		}
	}
	if b, err := os.ReadFile(elsewhere); err != nil || string(b) != "mine" {
		t.Errorf("behind the link is %q, %v, want what was there", b, err)
	}
}

// A directory that cannot be made or written costs the memory alone.
func TestUnwritable(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	below := filepath.Join(file, "malcolm")
	if got, err := Load(below); len(got) != 0 {
		t.Errorf("loaded %v, %v", got, err)
	}
	if err := Save(below, tableWith(1), noon); err == nil {
		t.Error("saved below a file")
	}
	if os.Geteuid() == 0 || runtime.GOOS == "windows" {
		return
	}
	closed := t.TempDir()
	must(t, os.Chmod(closed, 0o500))
	if err := Save(closed, tableWith(1), noon); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("save into a closed directory: %v, want no permission", err)
	}
}

// What a killed process left is taken away; what another one is writing is not.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	temp := filepath.Join(dir, tempName)
	must(t, os.WriteFile(temp, []byte("half a table"), 0o600))
	if err := Save(dir, tableWith(1), noon); !errors.Is(err, errLocked) {
		t.Errorf("save while another process writes: %v, want %v", err, errLocked)
	}
	old := time.Now().Add(-2 * staleTemp)
	must(t, os.Chtimes(temp, old, old))
	must(t, Save(dir, tableWith(1), noon))
	holds(t, dir, tableWith(1))
}

func TestRouter(t *testing.T) {
	t.Parallel()
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("the text is that of a little-endian machine")
	}
	rows := func(text string) (rows [][]string) {
		for line := range strings.Lines(text) {
			rows = append(rows, strings.Fields(line))
		}
		return rows
	}
	routes := rows("eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\n" +
		"eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\n" +
		"wlan0\t00000000\t0102A8C0\t0003\t0\t0\t600\t00000000\n" +
		"tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\n" +
		"bad0\t00000000\tzz\t0003\n" + "\n" + "short\n")
	for name, want := range map[string]string{"eth0": "192.168.1.1", "wlan0": "192.168.2.1", "tun0": "", "bad0": "", "lo": ""} {
		got, ok := routerOf(routes, name)
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("router of %s = %s, %t, want %q", name, got, ok, want)
		}
	}
	neighbours := rows("192.168.1.1 0x1 0x2 aa:bb:cc:dd:ee:01 * eth0\n" +
		"192.168.2.1 0x1 0x0 00:00:00:00:00:00 * wlan0\n" + "192.168.1.1 0x1\n")
	for name, want := range map[string]string{"eth0": "aa:bb:cc:dd:ee:01", "wlan0": ""} {
		router, _ := routerOf(routes, name)
		if got := hardwareOf(neighbours, name, router); got != want {
			t.Errorf("hardware address of the router of %s = %q, want %q", name, got, want)
		}
	}
}

// The name of this machine's own network is steady.
func TestNetwork(t *testing.T) {
	t.Parallel()
	local := netip.MustParseAddr("127.0.0.1")
	if _, err := net.InterfaceByIndex(1); err != nil {
		t.Skip(err)
	}
	if a, b := Network(local), Network(local); a != b || a == "" {
		t.Errorf("the loopback network is %q, then %q", a, b)
	}
	if got := Network(netip.MustParseAddr("192.0.2.1")); got != "" {
		t.Errorf("the network of an address that nobody has is %q, want none", got)
	}
}
