package transfer

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"malcolm/transfer/fetch"
	"malcolm/transfer/hostile"
	"malcolm/transfer/serve"
	"malcolm/transfer/source"

	"malcolm/transfer/partfile"
	"malcolm/wire"
)

const hides = "contains a character that hides, or that changes how others show"

// hostileNames are a few of the names that are refused when a server offers
// them, and why.
var hostileNames = []struct{ name, problem string }{
	{"", "is empty"},
	{"..", "is a directory"},
	{"../../x", "contains a path separator"},
	{"/etc/x", "contains a path separator"},
	{".x", "begins with a dot"},
	{"-x", "begins with a hyphen"},
	{"x\x1b[31my", hides},
	{"x\u202egpj.exe", hides},
	{"x.part.journal", "ends as an unfinished download does"},
}

// A name from a server that could do harm here is refused. The user's own name
// is used instead.
func TestHostileNames(t *testing.T) {
	for _, test := range hostileNames {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				data := file(10, 1)
				m := w.malicious(data, 0, func(m *hostile.Server) { m.Offer.Name = test.name })
				parent := t.TempDir()
				dir := filepath.Join(parent, "a", "b")
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				before := tree(t, parent)
				o := w.get(getConfig{Targets: []source.Target{m.Target}, Dir: dir})
				err := fails[*fetch.NameError](o, fetch.KindLocal)
				if err.Name != test.name || err.Problem != test.problem || err.Chosen {
					t.Errorf("error = %+v, want that it %s", err, test.problem)
				}
				if text := err.Error(); strings.ContainsFunc(text, hidden) || !strings.Contains(text, err.Problem) {
					t.Errorf("text = %q, want it plain", text)
				}
				wantTree(t, parent, before)
				// The user's own name is used instead.
				o = w.get(getConfig{Targets: []source.Target{m.Target}, Dir: dir, Name: "mine"})
				o.has("mine", data)
			})
		})
	}
}

// tree returns what lies beneath a directory: kinds, bytes and links.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		content := d.Type().String()
		switch {
		case d.Type().IsRegular():
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			content += string(b)
		case d.Type()&os.ModeSymlink != 0:
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			content += to
		}
		found[path] = content
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func wantTree(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	got := tree(t, dir)
	for path := range got {
		if _, ok := want[path]; !ok {
			t.Errorf("%s is new", path)
		}
	}
	for path, content := range want {
		if now, ok := got[path]; !ok || now != content {
			t.Errorf("%s is changed or gone", path)
		}
	}
}

// A name that the protocol forbids makes the offer malformed.
func TestHostileMalformedNames(t *testing.T) {
	for _, name := range []string{strings.Repeat("x", 300), strings.Repeat("x", wire.MaxNameLen+1), "x\xff", "\xc0\xaf"} {
		bubble(t, func(t *testing.T, w *world) {
			data := file(10, 1)
			m := w.malicious(data, 0, func(m *hostile.Server) { m.Offer.Name = name })
			o := w.get(getConfig{Targets: []source.Target{m.Target}})
			fails[*fetch.NobodyAnsweredError](o, fetch.KindNetwork)
			out, _ := only[fetch.NotReached](o)
			if out.Target != m.Target || source.WhatOf(out.Err) != source.Wrong {
				t.Errorf("not reached = %+v, want a broken protocol", out)
			}
			o.lists()
			// The other servers are not affected.
			o = w.get(getConfig{Targets: append(targetsOf(w.holders(data)...), m.Target)})
			o.has("data.bin", data)
		})
	}
}

// Serve refuses to offer a name that no client would take.
func TestUnofferableNames(t *testing.T) {
	for _, name := range []string{strings.Repeat("x", 300), "x\xff"} {
		bubble(t, func(t *testing.T, w *world) {
			s := w.serve(newSource(file(10, 1)), 0, 1, serve.Config{Name: name})
			o := w.get(getConfig{Targets: s.targets})
			if err := fails[*fetch.NameError](o, fetch.KindLocal); err.Name != "" {
				t.Errorf("name = %q, want an empty one", err.Name)
			}
			if got := serveEvents[serve.Ready](s); len(got) != 1 || got[0].Offered != "" || got[0].Name != name {
				t.Errorf("ready = %+v, want that nothing is offered", got)
			}
			o.lists()
		})
	}
}

// Names that people use arrive as they are.
func TestNamesThatPeopleUse(t *testing.T) {
	for _, name := range []string{"می\u200cخواهم.mp4", "👨\u200d👩\u200d👧 family.jpg"} {
		bubble(t, func(t *testing.T, w *world) {
			data := file(10, 1)
			o := w.get(getConfig{Targets: w.serve(newSource(data), 0, 1, serve.Config{Name: name}).targets})
			o.has(name, data)
		})
	}
}

// The system can refuse the user's own name. It does so before anything is
// fetched, and nothing is left.
func TestChosenNameThatTheSystemCannotHave(t *testing.T) {
	for _, name := range []string{strings.Repeat("x", 300), strings.Repeat("x", 248)} { // 248: the part file fits, its journal does not
		bubble(t, func(t *testing.T, w *world) {
			s := w.holders(file(10, 1))[0]
			o := w.get(getConfig{Targets: s.targets, Name: name})
			fails[*partfile.Error](o, fetch.KindLocal)
			o.lists()
			if s.src.sent() != 0 {
				t.Errorf("%d bytes were fetched", s.src.sent())
			}
		})
	}
}

// Repair refuses a part file.
func TestRepairPartFile(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		l := w.localFile([]byte("unfinished"))
		path := l.path + partfile.PartSuffix
		write(t, l.dir, localName+partfile.PartSuffix, []byte("unfinished"))
		_, err := Repair(context.Background(), getConfig{Targets: w.holders(file(10, 1))[0].targets, Network: w}, path)
		if e, ok := errors.AsType[*fetch.NameError](err); !ok || !e.Chosen {
			t.Errorf("error = %v, want one of the name", err)
		}
	})
}

// The user's own name must not lead out of the directory either.
func TestChosenName(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		s := w.holders(file(10, 1))[0]
		o := w.get(getConfig{Targets: s.targets, Name: "../x"})
		if err := fails[*fetch.NameError](o, fetch.KindLocal); !err.Chosen {
			t.Errorf("error = %+v, want the user's name", err)
		}
		o.lists()
	})
}
