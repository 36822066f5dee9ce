package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// shown writes a file as a test wants it: table, key, texts and line.
func shown(f *File) string {
	var b strings.Builder
	for _, t := range f.Tables {
		fmt.Fprintf(&b, "[%s]%d", t.Name, t.Line)
		for _, s := range t.Settings {
			fmt.Fprintf(&b, " %s=%q:%d", s.Key, s.Texts, s.Line)
			if s.List {
				b.WriteString("list")
			}
			if s.Bool {
				b.WriteString("bool")
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestParse(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", "[]0\n"},
		{"[serve]\n", "[serve]1\n"},
		{"# a comment\n\n[serve]\nlimit = \"10M\"\nport = [ 10001,\n  \"10002-10004\" ]\n\n[get]\nresume=true\ninterval=.5\n", "toml"},
		{"# a comment\n\n[serve]\nlimit = \"10M\"\nport = [ 10001,\n  \"10002-10004\" ]\n\n[get]\nresume=true\ninterval=0.5\n",
			"[serve]3 limit=[\"10M\"]:4 port=[\"10001\" \"10002-10004\"]:5list\n[get]8 resume=[\"true\"]:9bool interval=[\"0.5\"]:10\n"},
		{"[trust.list]\njson = false\n", "[trust.list]1 json=[\"false\"]:2bool\n"},
		{"[get]\nport = []\n", "[get]1 port=[]:2list\n"},
		{"[get]\nx = -7\ny = 1e6\nz = 'a\"b'\nw = \"\\u001b\"\n", "[get]1 x=[\"-7\"]:2 y=[\"1000000\"]:3 z=[\"a\\\"b\"]:4 w=[\"\\x1b\"]:5\n"},
		{"limit = 1\n[get]\n", "[]0 limit=[\"1\"]:1\n[get]2\n"},
		{"get = { limit = 1 }\n", "[get]1 limit=[\"1\"]:1\n"},
		{"[get]\r\nlimit = 1\r\n", "[get]1 limit=[\"1\"]:2\n"},
		{"[get]\nlimit = 1\nlimit = 2\n", "toml"},
		{"[get]\n[get]\n", "toml"},
		{"[get\n", "toml"},
		{"\x00", "toml"},
		{"[get]\nname = \"\xff\"\n", "toml"},
	}
	for _, test := range tests {
		f, err := parse("c", test.text)
		if test.want == "toml" {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Errorf("%q: %v, want an Error", test.text, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", test.text, err)
		} else if got := shown(f); got != test.want {
			t.Errorf("%q: got\n%swant\n%s", test.text, got, test.want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct{ text, want string }{
		{"[get]\n\nlimit 3\n", "c:3: "},
		{"[get]\nlimit = 2024-01-01\n", "c:2: limit: a value is a text"},
		{"[get]\nport = [[1]]\n", "c:2: port: a value is a text"},
		{"[get]\nport = [{a = 1}]\n", "c:2: port: a value is a text"},
		{"[[get]]\nport = 1\n", "c:1: get: a value is a text"},
		{"[a.b.c.d.e.f.g]\n", "no command has a name of that many words"},
		{"x = " + strings.Repeat("[", 10_000), "c:"},
	}
	for _, test := range tests {
		_, err := parse("c", test.text)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.40q: %v, want %q", test.text, err, test.want)
		}
		if err != nil && (strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 300) {
			t.Errorf("%.40q: the error is %q", test.text, err)
		}
	}
}

var known = map[string][]string{
	"serve": {"limit", "port", "rehash", "connect-timeout"}, "get": {"limit", "port", "resume"}, "trust.list": {"json"},
}

func TestCheck(t *testing.T) {
	tests := []struct{ text, want string }{
		{"[serve]\nlimit = 1\n[get]\n[trust.list]\njson = true\n", ""},
		{"[serve]\nlimt = 1\n", `c:2: serve has no flag "limt", did you mean "limit"?`},
		{"[serve]\nconnect_timeout = 1\n", `c:2: serve has no flag "connect_timeout", did you mean "connect-timeout"?`},
		{"[get]\nrehash = true\n", `c:2: get has no flag "rehash"; serve has it`},
		{"[get]\nanything = true\n", `c:2: get has no flag "anything"`},
		{"\n[srve]\nlimit = 1\n", `c:2: no command is called "srve", did you mean "serve"?`},
		{"[trust]\njson = true\n", `c:1: no command is called "trust"`},
		{"[\"ev\\u001bil\"]\n", `c:1: no command is called "ev\x1bil"`},
		{"limit = 1\n[get]\n", `c:1: "limit" stands before the first table: it goes below [COMMAND], such as [serve] or [get]`},
		{"[get]\nlimits = 1\n[srve]\n", `c:2: get has no flag "limits", did you mean "limit"?`},
	}
	for _, test := range tests {
		f, err := parse("c", test.text)
		if err != nil {
			t.Errorf("%q: %v", test.text, err)
			continue
		}
		got := ""
		if err := f.Check(known); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%q: %s, want %s", test.text, got, test.want)
		}
	}
}

func TestNearest(t *testing.T) {
	words := []string{"limit", "list", "connect-timeout", "port"}
	for word, want := range map[string]string{
		"limit": "limit", "limti": "limit", "lst": "list", "prt": "port", "connect_timeout": "connect-timeout", "conect-timout": "connect-timeout",
		"xxxxxxx": "", "": "", "connections": "",
	} {
		if got := Nearest(word, words); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	user, system := write("user.toml", "[get]\nlimit=1\n"), write("system.toml", "[get]\nport=2\n")
	missing := filepath.Join(dir, "missing.toml")
	files, err := Read([]Place{{Path: user}, {Path: missing}, {Path: system}})
	if err != nil || len(files) != 2 || files[0].Path != user || files[1].Path != system {
		t.Fatalf("%v, %v", files, err)
	}
	if s, ok := files[0].Lookup("get", "limit"); !ok || s.At() != user+":2" {
		t.Errorf("limit is %v, %v", s, ok)
	}
	if _, ok := files[0].Lookup("serve", "limit"); ok {
		t.Error("a flag of another command is found")
	}
	large := write("large.toml", "#"+strings.Repeat("x", maxSize))
	for path, want := range map[string]string{
		missing: "no such file", dir: "is a directory", large: "is larger than 1.0 MiB", write("bad.toml", "x"): "bad.toml:1: ",
	} {
		_, err := Read([]Place{{Path: path, Named: true}})
		if err == nil || runtime.GOOS != "windows" && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	if _, err := Read([]Place{{Path: os.DevNull, Named: true}}); err != nil {
		t.Error(err)
	}
	if runtime.GOOS != "windows" {
		if err := os.Chmod(system, 0o602); err != nil {
			t.Fatal(err)
		}
		if _, err := Read([]Place{{Path: system, Named: true}}); !errors.Is(err, errShared) {
			t.Errorf("a file that everybody may write: %v", err)
		}
	}
}

// A strangersFile is a regular file's info with another mode.
type strangersFile struct {
	fs.FileInfo
	mode fs.FileMode
}

func (f strangersFile) Mode() fs.FileMode { return f.mode }

func TestFileOfStrangersIsRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no owner that is looked at")
	}
	path := filepath.Join(t.TempDir(), "c")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	me := os.Getuid()
	if err := check(Place{}, info, me); err != nil {
		t.Error(err)
	}
	if err := check(Place{}, info, me+1); me != 0 && !errors.Is(err, errForeign) {
		t.Errorf("somebody else's file: %v", err)
	}
	if err := check(Place{Named: true}, info, me+1); err != nil {
		t.Errorf("somebody else's file, named: %v", err)
	}
	if err := check(Place{}, strangersFile{info, 0o666}, me); !errors.Is(err, errShared) {
		t.Errorf("everybody's file: %v", err)
	}
	if err := check(Place{}, strangersFile{info, fs.ModeDevice | 0o666}, me); err != nil {
		t.Errorf("a device: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("[serve]\nlimit = \"10M\"\nport = [1, \"2\"]\n[trust.list]\njson = true\n")
	f.Add("get = { limit = 1 }\n[[a]]\n")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := parse("c", text)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\x1b\x00") {
				t.Errorf("the error is %q", err)
			}
			return
		}
		if err := file.Check(known); err != nil && strings.ContainsAny(err.Error(), "\n\x1b\x00") {
			t.Errorf("the error is %q", err)
		}
	})
}
