package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSourceLines(t *testing.T) {
	got, err := sourceLines("x", "\ufeff# mine\r\n\n host:1-3 # near\r\nhttps://h/a?b=1\n[::1]:9", nil)
	if want := []string{"host:1-3", "https://h/a?b=1", "[::1]:9"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := sourceLines("x", "host\n", []string{"1"}); err != nil || len(got) != 1 {
		t.Errorf("a host with the ports of -p: %q, %v", got, err)
	}
	for text, want := range map[string]string{
		"":                              "@x: names no source",
		"# only words\n":                "@x: names no source",
		"host:1\n\nhost":                "@x:3: ",
		"host:1\n@y":                    "@x:2: a file of sources names no other file",
		"host:1\x00":                    "@x:1: ",
		"host:1 other:2":                "@x:1: ",
		"https://u:p@h/":                "@x:1: ",
		"ftp://h/a?secret":              "@x:1: ",
		strings.Repeat("a", 9e3):        "@x:1: ",
		strings.Repeat("h:1-9\n", 1025): "@x:1025: more than 1,024 targets",
	} {
		_, err := sourceLines("x", text, nil)
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%.20q: %v, want %q", text, err, want)
		}
	}
}

// A link that was renewed is the same mirror with another address. What is
// wrong with the file meanwhile is said once, and changes nothing.
func TestSourceFileAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "links")
	at := time.Now().Add(-time.Hour)
	write := func(text string) {
		t.Helper()
		at = at.Add(time.Second)
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path+".new", at, at); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	var said []string
	f := &sourceFile{path: path, warn: func(w string) { said = append(said, w) }}
	write("https://h/a?old=1\nhttps://h/b?x=1\nhttps://h/b?x=2\nhost:1\n")
	lines, err := f.read()
	if err != nil || len(lines) != 4 {
		t.Fatal(lines, err)
	}
	f.learn(lines)
	now := again(&moving{files: []*sourceFile{f}})
	check := func(typed, want string) {
		t.Helper()
		if got := now(typed); got != want {
			t.Errorf("%s: got %q, want %q", typed, got, want)
		}
	}
	check("https://h/a?old=1", "https://h/a?old=1")
	check("https://h/b?x=1", "") // there are two
	check("https://other/a?old=1", "")
	write("https://h/a?new=2\n")
	check("https://h/a?old=1", "https://h/a?new=2")
	for _, wrong := range []string{"", "https://h/a?new=3\nhost\n"} {
		write(wrong)
		check("https://h/a?old=1", "https://h/a?new=2")
		check("https://h/a?old=1", "https://h/a?new=2")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	check("https://h/a?old=1", "https://h/a?new=2")
	if len(said) != 1 || !strings.HasSuffix(said[0], "the sources that it named before stay") {
		t.Errorf("said %q", said)
	}
	write("https://h/a?new=4\n")
	check("https://h/a?old=1", "https://h/a?new=4")
	if again(nil) != nil {
		t.Error("without a file an address may change")
	}
}

// Where the time of a file cannot tell that it was written again, it is read
// again.
func TestSourceFileYoung(t *testing.T) {
	path := filepath.Join(t.TempDir(), "links")
	f := &sourceFile{path: path, warn: func(w string) { t.Error(w) }}
	at := time.Now()
	for _, link := range []string{"https://h/a?s=1", "https://h/a?s=2"} {
		if err := os.WriteFile(path, []byte(link), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
		if f.info == nil {
			lines, err := f.read()
			if err != nil {
				t.Fatal(err)
			}
			f.learn(lines)
		}
		if got := f.again("https://h/a?s=0"); got != link {
			t.Errorf("got %q, want %q", got, link)
		}
	}
}
