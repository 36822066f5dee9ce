package certs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var knownNow = time.Date(2026, 11, 23, 1, 2, 3, 999, time.FixedZone("", 3600))

const knownNowText = "2026-11-23T00:02:03Z"

func openKnown(t *testing.T, dir string) *Known {
	t.Helper()
	k, err := OpenKnown(dir)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// putKnownFile makes a directory whose file of known servers has content.
func putKnownFile(t *testing.T, content string) (dir, path string) {
	t.Helper()
	dir = t.TempDir()
	path = filepath.Join(dir, knownFileName)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, path
}

func wantContent(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s: got %q, %v; want %q", path, got, err, want)
	}
}

func wantLookup(t *testing.T, k *Known, hostport string, want ServerID, wantOK bool) {
	t.Helper()
	got, ok, err := k.Lookup(hostport)
	if got.ID != want || ok != wantOK || ok == got.FirstSeen.IsZero() || err != nil {
		t.Errorf("%s: got %s, %s, %t, %v; want %s, %t", hostport, got.ID.Short(), got.FirstSeen, ok, err, want.Short(), wantOK)
	}
}

func TestKnownRecords(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "malcolm")
	k := openKnown(t, dir)
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading made the directory: %v", err)
	}
	wantLookup(t, k, "a:1", ServerID{}, false)
	for _, hostport := range []string{"b:2", "A:10", "a:9", "[::1]:1"} {
		got, err := k.Record(hostport, testID(1), knownNow)
		if err != nil || got.ID != testID(1) || got.FirstSeen.Nanosecond() != 0 || !strings.EqualFold(got.Address(), hostport) {
			t.Fatalf("%s: got %+v, %v", hostport, got, err)
		}
	}
	got, err := k.Record("b:2", testID(2), knownNow.Add(time.Hour))
	if err != nil || got.ID != testID(1) || got.FirstSeen.Format(seenLayout) != knownNowText {
		t.Errorf("second record: got %+v, %v; want the first one", got, err)
	}
	line := " " + testID(1).String() + " " + knownNowText + "\n"
	path := filepath.Join(dir, knownFileName)
	wantContent(t, path, knownHeader+"\nb:2"+line+"a:10"+line+"a:9"+line+"[::1]:1"+line)
	if got, want := names(t, dir), knownFileName+" "+knownFileName+lockSuffix; got != want {
		t.Errorf("the directory holds %q, want %q", got, want)
	}
	if k.path != path {
		t.Errorf("got path %q, want %q", k.path, path)
	}
	if runtime.GOOS != "windows" {
		for p, want := range map[string]fs.FileMode{dir: fs.ModeDir | 0o700, path: 0o600, path + lockSuffix: 0o600} {
			if info, err := os.Stat(p); err != nil || info.Mode() != want {
				t.Errorf("%s: got mode %v, %v; want %v", p, info.Mode(), err, want)
			}
		}
	}
	again := openKnown(t, dir)
	for _, k := range []*Known{k, again} {
		wantLookup(t, k, "B:2", testID(1), true)
		wantLookup(t, k, "[0::1]:1", testID(1), true)
		wantLookup(t, k, "a:11", ServerID{}, false)
		var list []string
		for _, s := range k.List() {
			list = append(list, s.Address())
		}
		if got, want := strings.Join(list, " "), "[::1]:1 a:9 a:10 b:2"; got != want {
			t.Errorf("got list %s, want %s", got, want)
		}
	}
}

const knownComments = "# by hand\n\n \t\n%s#a:1 is commented out\r\nb:2\t%s \t 2026-01-02T03:04:05Z\r\n\n# end"

func TestKnownKeepsComments(t *testing.T) {
	one, two := testID(1).String(), strings.ToLower(testID(2).String())
	first := "a:1 " + one + " 2026-01-02T03:04:05Z\n"
	dir, path := putKnownFile(t, fmt.Sprintf(knownComments, first, two))
	k := openKnown(t, dir)
	if n, err := k.Forget("a:1"); n != 1 || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
	kept := strings.ReplaceAll(fmt.Sprintf(knownComments, "", two)+"\n", "\r", "")
	wantContent(t, path, kept)
	if _, err := k.Record("c:3", testID(3), knownNow); err != nil {
		t.Fatal(err)
	}
	added := "c:3 " + testID(3).String() + " " + knownNowText + "\n"
	wantContent(t, path, kept+added)
	// In its place, with the time of the new ID.
	got, err := k.Replace("b:2", testID(4), knownNow)
	if err != nil || got.ID != testID(4) || got.FirstSeen.Format(seenLayout) != knownNowText {
		t.Fatalf("got %+v, %v", got, err)
	}
	replaced := strings.Replace(kept, "b:2\t"+two+" \t 2026-01-02T03:04:05Z", "b:2 "+testID(4).String()+" "+knownNowText, 1)
	wantContent(t, path, replaced+added)
	// The same ID again keeps its time.
	got, err = k.Replace("b:2", testID(4), knownNow.Add(time.Hour))
	if err != nil || got.FirstSeen.Format(seenLayout) != knownNowText {
		t.Errorf("got %+v, %v", got, err)
	}
	wantLookup(t, k, "b:2", testID(4), true)
	wantContent(t, path, replaced+added)
}

func TestKnownForget(t *testing.T) {
	for _, c := range []struct {
		which string
		n     int
		left  string
	}{
		{"a:1", 1, "[::1]:1 [::1]:2 a:2 b:1"},
		{"A", 2, "[::1]:1 [::1]:2 b:1"},
		{"a:3", 0, "[::1]:1 [::1]:2 a:1 a:2 b:1"},
		{"c", 0, "[::1]:1 [::1]:2 a:1 a:2 b:1"},
		{"::1", 2, "a:1 a:2 b:1"},
		{"[0::1]", 2, "a:1 a:2 b:1"},
		{"[::1]:2", 1, "[::1]:1 a:1 a:2 b:1"},
	} {
		dir := t.TempDir()
		k := openKnown(t, dir)
		for _, hostport := range strings.Fields("a:1 a:2 b:1 [::1]:1 [::1]:2") {
			if _, err := k.Record(hostport, testID(1), knownNow); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := k.Forget(c.which); n != c.n || err != nil {
			t.Errorf("%s: got %d, %v; want %d", c.which, n, err, c.n)
		}
		for _, k := range []*Known{k, openKnown(t, dir)} {
			var left []string
			for _, s := range k.List() {
				left = append(left, s.Address())
			}
			if got := strings.Join(left, " "); got != c.left {
				t.Errorf("%s: got %s, want %s", c.which, got, c.left)
			}
		}
	}
}

// TestKnownForgetsAll checks that a file whose records are all removed can be
// read.
func TestKnownForgetsAll(t *testing.T) {
	dir, path := putKnownFile(t, "a:1 "+testID(1).String()+" 2026-01-02T03:04:05Z")
	if n, err := openKnown(t, dir).Forget("a"); n != 1 || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
	wantContent(t, path, knownHeader+"\n")
	if list := openKnown(t, dir).List(); len(list) != 0 {
		t.Errorf("got %v", list)
	}
}

func TestKnownBadAddresses(t *testing.T) {
	k := openKnown(t, t.TempDir())
	for _, bad := range []string{"", "a", "::1", "a:0", "\x1b[2J:1", strings.Repeat("\u202e", 9999) + ":1"} {
		_, err := k.Record(bad, testID(1), knownNow)
		if err == nil || !strings.HasPrefix(err.Error(), "record known server: ") {
			t.Errorf("%.40q: got %v, want an error", bad, err)
			continue
		}
		checkText(t, err, 500)
		// An address that cannot be looked up is not just unknown.
		if _, ok, err := k.Lookup(bad); ok || err == nil || !strings.HasPrefix(err.Error(), "look up known server: ") {
			t.Errorf("%.40q: looked up %t, %v; want an error", bad, ok, err)
		}
	}
	if _, err := k.Forget("a b"); err == nil || err.Error() != `forget known server: "a b" is no host name` {
		t.Errorf("got %v", err)
	}
	if got := names(t, filepath.Dir(k.path)); got != "" {
		t.Errorf("the directory holds %q", got)
	}
}

func TestKnownDamaged(t *testing.T) {
	id := testID(1).String()
	good := "a:1 " + id + " 2026-01-02T03:04:05Z\n"
	for name, c := range map[string]struct {
		content string
		line    int
		reason  string
	}{
		"empty":        {"", 0, "it is empty"},
		"too long":     {strings.Repeat("#\n", maxKnownFile/2) + "#", 0, "it is longer than 16777216 bytes"},
		"long line":    {good + "#" + strings.Repeat("x", maxKnownLine), 2, "it is longer than 1024 bytes"},
		"zeros":        {good + "\x00\x00\x00", 2, "it has a control character at byte 1"},
		"escape":       {good + "\n# \x1b[2J\n", 3, "it has a control character at byte 3"},
		"delete":       {"a\x7f", 1, "it has a control character at byte 2"},
		"old line end": {"#\r#\n", 1, "it has a control character at byte 2"},
		"one word":     {good + "b:1", 2, "1 words, want 3"},
		"two words":    {"b:1 " + id, 1, "2 words, want 3"},
		"four words":   {"b:1 " + id + " 2026-01-02T03:04:05Z #", 1, "4 words, want 3"},
		"no port":      {"b " + id + " 2026-01-02T03:04:05Z", 1, `"b" has no port`},
		"bad host":     {strings.Repeat("\u202e", 99) + ":1 " + id + " 2026-01-02T03:04:05Z", 1, "is no host name"},
		"bad port":     {"b:65536 " + id + " 2026-01-02T03:04:05Z", 1, `"65536" is no port`},
		"bad ID":       {"b:1 B" + id[1:] + " 2026-01-02T03:04:05Z", 1, "server ID"},
		"hostile ID":   {"b:1 " + strings.Repeat("\u202e", 200) + " 2026-01-02T03:04:05Z", 1, "server ID"},
		"cut time":     {good + "b:1 " + id + " 2026-01-02T03:04:05", 2, `"2026-01-02T03:04:05" is no time such as 2006-01-02T15:04:05Z`},
		"fraction":     {"b:1 " + id + " 2026-01-02T03:04:05.0Z", 1, "is no time"},
		"offset":       {"b:1 " + id + " 2026-01-02T03:04:05+00:00", 1, "is no time"},
		"no such day":  {"b:1 " + id + " 2026-02-30T03:04:05Z", 1, "is no time"},
		"long time":    {"b:1 " + id + " " + strings.Repeat("\u202e", 200), 1, "is no time"},
		"twice":        {good + "#\n" + strings.Replace(good, "a:", "A:", 1), 3, `"a:1" is there twice`},
	} {
		t.Run(name, func(t *testing.T) {
			dir, path := putKnownFile(t, good)
			opened := openKnown(t, dir)
			if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := OpenKnown(dir)
			wantKnownError(t, err, path, c.line, c.reason)
			// The same if it is damaged while it is in use.
			_, err = opened.Record("z:1", testID(1), knownNow)
			wantKnownError(t, err, path, c.line, c.reason)
			wantLookup(t, opened, "z:1", ServerID{}, false)
			_, err = opened.Replace("a:1", testID(2), knownNow)
			wantKnownError(t, err, path, c.line, c.reason)
			wantLookup(t, opened, "a:1", testID(1), true)
			_, err = opened.Forget("a:1")
			wantKnownError(t, err, path, c.line, c.reason)
			wantContentIs(t, path, c.content)
		})
	}
}

// wantContentIs is wantContent for long contents.
func wantContentIs(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("the file was changed: %d bytes, %v; want %d", len(got), err, len(want))
	}
}

func wantKnownError(t *testing.T, err error, path string, line int, reason string) {
	t.Helper()
	known, ok := errors.AsType[*KnownFileError](err)
	if !ok {
		t.Fatalf("got %v, want a *KnownFileError", err)
	}
	if known.Path != path || known.Line != line || !strings.Contains(known.Reason, reason) {
		t.Errorf("got %+v, want line %d, %q", known, line, reason)
	}
	want := fmt.Sprintf("known servers: %q", path)
	if line > 0 {
		want += fmt.Sprintf(" line %d", line)
	}
	if !strings.HasPrefix(err.Error(), want+": ") {
		t.Errorf("got %q, want %q before it", err, want)
	}
	checkText(t, err, 900+len(path))
}

// TestKnownLimits reads and writes at the limits that TestKnownDamaged exceeds.
func TestKnownLimits(t *testing.T) {
	line := "#" + strings.Repeat("x", maxKnownLine-1)
	shorter := line[:maxKnownLine-1] + "\n"
	content := line + "\r\n" + line[:maxKnownLine-3] + "\n"
	content += strings.Repeat(shorter, (maxKnownFile-len(content))/len(shorter))
	if len(content) != maxKnownFile {
		t.Fatalf("the file has %d bytes", len(content))
	}
	dir, path := putKnownFile(t, content)
	k := openKnown(t, dir)
	_, err := k.Record("a:1", testID(1), knownNow)
	state, ok := errors.AsType[*StateError](err)
	if !ok || !strings.Contains(err.Error(), "it could not be read back: it is longer than") || state.Path != path {
		t.Fatalf("got %v, want a *StateError", err)
	}
	openKnown(t, dir)
}

// TestKnownNoStateDirectory has a state directory that not even root can make:
// the records last for the run.
func TestKnownNoStateDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	k := openKnown(t, filepath.Join(file, "malcolm"))
	wantState := func(err error) {
		t.Helper()
		if _, ok := errors.AsType[*StateError](err); !ok {
			t.Fatalf("got %v, want a *StateError", err)
		}
		checkText(t, err, 500)
	}
	got, err := k.Record("a:1", testID(1), knownNow)
	wantState(err)
	if got.ID != testID(1) {
		t.Errorf("got %+v", got)
	}
	wantLookup(t, k, "a:1", testID(1), true)
	got, err = k.Record("a:1", testID(2), knownNow)
	wantState(err)
	if got.ID != testID(1) {
		t.Errorf("second record: got %+v, want the first", got)
	}
	_, err = k.Replace("a:1", testID(3), knownNow)
	wantState(err)
	wantLookup(t, k, "a:1", testID(3), true)
	if list := k.List(); len(list) != 1 || list[0].ID != testID(3) {
		t.Errorf("got %v", list)
	}
	n, err := k.Forget("a:1")
	wantState(err)
	if n != 0 {
		t.Errorf("forgot %d", n)
	}
}

// TestKnownUnsavedThenSaved has a state directory that can be written at the
// second try.
func TestKnownUnsavedThenSaved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "malcolm")
	k := openKnown(t, dir)
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, hostport := range []string{"a:1", "b:1", "c:1"} {
		if _, err := k.Record(hostport, testID(1), knownNow); err == nil {
			t.Fatal("got no error")
		}
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	// What was not written can be forgotten too.
	if n, err := k.Forget("b:1"); n != 0 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	wantLookup(t, k, "b:1", ServerID{}, false)
	wantLookup(t, k, "c:1", testID(1), true)
	// A record written late belongs to the file again, where others change
	// it.
	if _, err := k.Record("a:1", testID(1), knownNow); err != nil {
		t.Fatal(err)
	}
	if _, err := openKnown(t, dir).Replace("a:1", testID(2), knownNow); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Record("d:1", testID(1), knownNow); err != nil {
		t.Fatal(err)
	}
	wantLookup(t, k, "a:1", testID(2), true)
}

// TestKnownBatch makes changes while another is being written. One write is for
// all of them, and all get its outcome.
func TestKnownBatch(t *testing.T) {
	const changes = 8
	for _, spoilt := range []bool{false, true} {
		k := openKnown(t, t.TempDir())
		k.writing.Lock()
		errs := make([]error, changes)
		var done sync.WaitGroup
		for i := range errs {
			done.Go(func() {
				errs[i] = k.change(func(text *knownText) bool {
					text.set(KnownServer{"a", uint16(i + 1), testID(1), knownNow.UTC()})
					if spoilt {
						text.lines = append(text.lines, "\x00")
					}
					return true
				})
			})
		}
		for waiting := 0; waiting < changes; runtime.Gosched() {
			k.mu.Lock()
			waiting = len(k.waiting)
			k.mu.Unlock()
		}
		k.writing.Unlock()
		done.Wait()
		for _, err := range errs {
			if _, ok := errors.AsType[*StateError](err); ok != spoilt {
				t.Errorf("spoilt %t: got %v", spoilt, err)
			}
		}
		if got := len(k.List()); got != changes && !spoilt || got != 0 && spoilt {
			t.Errorf("spoilt %t: got %d records", spoilt, got)
		}
	}
}

func drawKnown(t *rapid.T) KnownServer {
	at := drawAddress(t)
	seen := time.Unix(rapid.Int64Range(0, 253402300799).Draw(t, "seen"), 0).UTC()
	return KnownServer{at.host, at.port, drawID(t, "id"), seen}
}

// TestKnownModel compares a text with a map through random changes, each read
// back from its encoding.
func TestKnownModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := newKnownText()
		model := make(map[address]KnownServer)
		for range rapid.IntRange(0, 20).Draw(t, "steps") {
			s := drawKnown(t)
			at := address{s.Host, s.Port}
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0, 1:
				text.set(s)
				model[at] = s
			case 2:
				for known := range model {
					at = known
					break
				}
				text.forget(at)
				delete(model, at)
			case 3:
				want := 0
				for known := range model {
					if known.host == at.host {
						delete(model, known)
						want++
					}
				}
				if got := text.forget(address{host: at.host}); got != want {
					t.Fatalf("forgot %d of %s, want %d", got, at.host, want)
				}
			}
			read, line, err := parseKnown(text.encode())
			if err != nil {
				t.Fatalf("line %d: %v", line, err)
			}
			text = read
			if len(text.servers) != len(model) {
				t.Fatalf("got %d records, want %d", len(text.servers), len(model))
			}
			for at, want := range model {
				if got, ok := text.servers[at]; !ok || got.KnownServer != want {
					t.Fatalf("%s: got %+v, %t; want %+v", at, got, ok, want)
				}
			}
		}
	})
}

func knownSeeds() []string {
	id := testID(1).String()
	line := "host:10001 " + id + " 2026-01-02T03:04:05Z\n"
	return []string{
		knownHeader + "\n", line, line + line, "# x\n\n" + line + "[::1]:1 " + curlPrefix + strings.Repeat("A", 43) + "= 2026-01-02T03:04:05Z",
		fmt.Sprintf(knownComments, line, id), "", "a:1", line + "\x00", strings.Repeat("#", maxKnownLine+1), "[fe80::1%eth0]:9\t" + id + "\t2026-01-02T03:04:05Z\r\n",
	}
}

func FuzzKnownServers(f *testing.F) {
	for _, s := range knownSeeds() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text, line, err := parseKnown(s)
		if err != nil {
			if text != nil || line < 0 || line > strings.Count(s, "\n")+1 {
				t.Fatalf("%q: got line %d with the error %v", s, line, err)
			}
			checkText(t, err, 900)
			return
		}
		encoded := text.encode()
		again, _, err := parseKnown(encoded)
		if err != nil {
			t.Fatalf("%q: written as %q: %v", s, encoded, err)
		}
		if !slices.Equal(again.lines, text.lines) || len(again.servers) != len(text.servers) {
			t.Fatalf("%q: read back from %q: got %+v, want %+v", s, encoded, again, text)
		}
		n := len(text.servers)
		text.set(KnownServer{"new.example", 1, testID(9), time.Unix(0, 0).UTC()})
		if again, _, err := parseKnown(text.encode()); err != nil || len(again.servers) < n {
			t.Fatalf("%q: with one more: %v", s, err)
		}
	})
}
