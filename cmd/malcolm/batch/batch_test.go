package batch

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A list is read as aria2 reads it.
func TestParse(t *testing.T) {
	text := "\uFEFF# what to get\r\n" +
		"a:1\tb:2-4 \t\tmalcolm://x\r\n" +
		"  out=one two.bin\r\n" +
		"\tchecksum = 12=34\n" +
		" # dir=/no\n" +
		"\n   \n" +
		"https://h/p?x=1&y=2\n" +
		" force\n" +
		"c:3"
	want := []Entry{
		{2, []string{"a:1", "b:2-4", "malcolm://x"}, []Option{{3, "out", "one two.bin", true}, {4, "checksum", " 12=34", true}}},
		{8, []string{"https://h/p?x=1&y=2"}, []Option{{9, "force", "", false}}},
		{10, []string{"c:3"}, nil},
	}
	if got, err := Parse(text); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	if got, err := Parse(""); err != nil || len(got) != 0 {
		t.Errorf("empty: %v, %v", got, err)
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"# a\n out=x\na:1":                       "line 2 is an option of no file: it begins with a space",
		"a:1\n =x":                               "line 2 has no name before the =",
		"a:1\nb\x00:1":                           "line 2 has a zero byte in it",
		"a:1\nb\xff:1":                           "line 2 is not UTF-8",
		"a:1\n" + strings.Repeat("x", maxLine+1): "line 2 is longer than 65536 bytes",
		"a:1\n" + strings.Repeat(" force\n", maxOptions+1): "line 66 is one too many: a file has at most 64 options",
	} {
		if _, err := Parse(text); err == nil || err.Error() != want {
			t.Errorf("%.20q: %v, want %s", text, err, want)
		}
	}
	if _, err := Parse("a:1\n out=\xff"); err != nil {
		t.Errorf("a name of any bytes: %v", err)
	}
}

// Whatever a list holds, it is read or refused, in memory of its own size.
func FuzzParse(f *testing.F) {
	f.Add("a:1\tb:2\n out=x\n#\n")
	f.Fuzz(func(t *testing.T, text string) {
		entries, err := Parse(text)
		last := 0
		for _, e := range entries {
			if e.Line <= last || len(e.Sources) == 0 || err != nil {
				t.Fatalf("%+v behind line %d, %v", e, last, err)
			}
			last = e.Line
		}
	})
}

// Each part of what is asked for makes another key.
func TestKeys(t *testing.T) {
	seen := make(map[Key]string)
	for name, test := range map[string]struct{ text, dir, chosen string }{
		"plain": {"a:1\tb:2", "/d", ""}, "directory": {"a:1\tb:2", "/e", ""}, "source": {"a:1\tb:3", "/d", ""}, "one source": {"a:1b:2", "/d", ""},
		"option": {"a:1\tb:2\n out=x", "/d", ""}, "value": {"a:1\tb:2\n out=y", "/d", ""}, "options": {"a:1\tb:2\n out=x\n force", "/d", ""},
		"chosen": {"a:1\tb:2", "/d", "x"},
	} {
		entries, err := Parse(test.text)
		if err != nil {
			t.Fatal(err)
		}
		k := entries[0].KeyOf(test.dir, test.chosen)
		if other, ok := seen[k]; ok {
			t.Errorf("%s and %s have one key", name, other)
		}
		seen[k] = name
	}
	moved, _ := Parse("#\n\na:1\tb:2")
	if k := moved[0].KeyOf("/d", ""); seen[k] != "plain" {
		t.Error("a line that was moved has another key")
	}
}

// open opens a journal, which is closed at the end of the test.
func open(t *testing.T, path string) *Journal {
	t.Helper()
	j, err := OpenJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// What is done is known again, while it is there as it was.
func TestJournal(t *testing.T) {
	dir := t.TempDir()
	path, file := filepath.Join(dir, "list.journal"), filepath.Join(dir, "a \"b\"\n\xff")
	write(t, file, "one")
	key := Key{1}
	j := open(t, path)
	if err := j.Done(key, file); err != nil {
		t.Fatal(err)
	}
	if err := j.Done(Key{2}, dir); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	has := func(k Key) bool {
		j := open(t, path)
		defer j.Close()
		_, ok := j.Has(k)
		return ok
	}
	if !has(key) || !has(Key{2}) || has(Key{3}) {
		t.Error("it is not known what is done")
	}
	before, _ := os.ReadFile(path)
	j = open(t, path)
	j.Done(key, file)
	j.Close()
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("what is known already is written again")
	}
	if err := os.Chtimes(file, time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if has(key) {
		t.Error("a file with another time is done")
	}
	j = open(t, path)
	j.Done(key, file)
	j.Close()
	if !has(key) {
		t.Error("the later record does not count")
	}
	write(t, file, "more")
	if has(key) {
		t.Error("a file of another size is done")
	}
	os.Remove(file)
	if has(key) {
		t.Error("a file that is gone is done")
	}
}

// Whatever happens to a journal, each whole record counts, and nothing else.
// What is written behind damage counts too.
func TestDamagedJournal(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	write(t, file, "one")
	whole := []byte(journalHead)
	rec, err := look(file)
	if err != nil {
		t.Fatal(err)
	}
	var ends []int
	for k := range 4 {
		whole = rec.append(whole, Key{byte(k)})
		ends = append(ends, len(whole))
	}
	check := func(name string, text []byte, want [4]bool) {
		t.Helper()
		path := filepath.Join(dir, "journal")
		write(t, path, string(text))
		j := open(t, path)
		if err := j.Done(Key{9}, file); err != nil {
			t.Fatal(err)
		}
		j.Close()
		j = open(t, path)
		defer j.Close()
		for k := range want {
			if _, ok := j.Has(Key{byte(k)}); ok != want[k] {
				t.Errorf("%s: record %d counts: %v, want %v", name, k, ok, want[k])
			}
		}
		if _, ok := j.Has(Key{9}); !ok {
			t.Errorf("%s: what was written behind it does not count", name)
		}
	}
	for n := 0; n <= len(whole); n++ {
		if near := slices.ContainsFunc(ends, func(end int) bool { return n > end-4 && n < end+3 }); n > len(journalHead)+3 && !near && n%17 > 0 {
			continue
		}
		var want [4]bool
		for k := range want {
			want[k] = n >= ends[k]-1 // it lacks only its end, which is added
		}
		check(fmt.Sprintf("cut to %d bytes", n), whole[:n], want)
	}
	for at := ends[0]; at < ends[1]; at += 1 + at%3 {
		bad := bytes.Clone(whole)
		bad[at] ^= 1
		want := [4]bool{true, false, true, true}
		if at == ends[1]-1 {
			want[2] = false // the two lines have become one
		}
		check(fmt.Sprintf("a flip at %d", at), bad, want)
	}
}

// A file that is no journal stays as it is.
func TestNotAJournal(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mine")
	write(t, path, "my letters")
	if _, err := OpenJournal(path); err == nil || !strings.Contains(err.Error(), errNotJournal.Error()) {
		t.Errorf("error = %v", err)
	}
	if got, _ := os.ReadFile(path); string(got) != "my letters" {
		t.Errorf("it was changed to %q", got)
	}
	if _, err := OpenJournal(dir); err == nil {
		t.Error("a directory is a journal")
	}
}

// Two lines do not write to one path, in whatever order they come.
func TestNames(t *testing.T) {
	var n Names
	var wg sync.WaitGroup
	won := make(chan int, 8)
	for line := range 8 {
		wg.Go(func() {
			if n.Claim("/d/x", line) == nil {
				won <- line
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Fatalf("%d lines have one path", len(won))
	}
	line := <-won
	if err := n.Claim("/d/x", line); err != nil {
		t.Errorf("the line's own path: %v", err)
	}
	want := fmt.Sprintf("line %d writes it", line)
	if err := n.Claim("/d/x", 99); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error = %v, want %s", err, want)
	}
}
