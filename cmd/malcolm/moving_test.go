package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/cmd/malcolm/flags"
	"malcolm/transfer/fetch"
	"malcolm/transfer/source"
	"malcolm/transfer/source/srv"
)

// Lines added to a file of sources are new sources, and lines removed are
// sources no more, unless they are named elsewhere. A renewed link is neither.
func TestMoving(t *testing.T) {
	dir := t.TempDir()
	at := time.Now().Add(-time.Hour)
	write := func(name, text string) {
		t.Helper()
		at = at.Add(time.Second)
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	m := &moving{fixed: []string{"fixed:1"}}
	write("a", "host:1-2\nhttps://h/a?s=1\nfixed:1\n")
	write("b", "host:2\n")
	for _, name := range []string{"a", "b"} {
		f := &sourceFile{path: filepath.Join(dir, name), warn: func(w string) { t.Error(w) }}
		lines, err := f.read()
		if err != nil {
			t.Fatal(err)
		}
		f.learn(lines)
		m.files = append(m.files, f)
	}
	first, _, _, err := m.now()
	if err != nil {
		t.Fatal(err)
	}
	m.have = sourceKeys(first)
	look := func(add, remove string) {
		t.Helper()
		for _, f := range m.files {
			f.look()
		}
		targets, _, _, err := m.now()
		if err != nil {
			t.Fatal(err)
		}
		a, r := m.changed(targets)
		if texts(a) != add || texts(r) != remove {
			t.Errorf("added %q, removed %q; want %q, %q", texts(a), texts(r), add, remove)
		}
	}
	look("", "")
	write("a", "https://h/a?s=2\nhost:1\n") // fixed:1 and host:2 are named elsewhere
	look("", "")
	write("b", "host:3\n")
	look("host:3", "host:2")
	write("a", "host:1\n")
	look("", "https://h/a?s=1")
	write("a", "https://h/a?s=3\nhttps://h/a?s=4\n")
	look("https://h/a?s=3 https://h/a?s=4", "host:1")
	look("", "")
}

// A hundred lines join at once. A file that is gone for an hour, or empty, or
// half written, takes nobody away, which is said once; then it counts again.
func TestMovingFileVanishes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hosts")
	at := time.Now().Add(-time.Hour)
	write := func(text string) {
		t.Helper()
		at = at.Add(time.Second)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	var said []string
	f := &sourceFile{path: path, warn: func(w string) { said = append(said, w) }}
	m := &moving{files: []*sourceFile{f}, have: make(map[string]source.Target)}
	write("first:1\n")
	lines, err := f.read()
	if err != nil {
		t.Fatal(err)
	}
	f.learn(lines)
	look := func() (add, remove []source.Target) {
		t.Helper()
		f.look()
		targets, _, _, err := m.now()
		if err != nil {
			t.Fatal(err)
		}
		return m.changed(targets)
	}
	look()
	var hundred strings.Builder
	for i := range 100 {
		fmt.Fprintf(&hundred, "host-%d:1\n", i)
	}
	write("first:1\n" + hundred.String())
	if add, remove := look(); len(add) != 100 || len(remove) != 0 {
		t.Errorf("%d added, %d removed", len(add), len(remove))
	}
	last := func(why string, long time.Duration) {
		t.Helper()
		for range int(long / lookEvery) {
			if add, remove := look(); len(add)+len(remove) > 0 {
				t.Fatalf("%s: %d added, %d removed", why, len(add), len(remove))
			}
		}
		if len(said) != 1 || !strings.Contains(said[0], "the sources that it named before stay") {
			t.Errorf("%s: said %q", why, said)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	last("gone", time.Hour)
	write("")
	last("empty", time.Minute)
	write("host-1:1\nhost-2:")
	last("half written", time.Minute)
	write("host-1:1\nhost-2:1\nhost-new:1\n")
	if add, remove := look(); texts(add) != "host-new:1" || len(remove) != 99 {
		t.Errorf("%q added, %d removed", texts(add), len(remove))
	}
}

// texts returns targets in order, each as it was typed.
func texts(targets []source.Target) string {
	var list []string
	for _, t := range targets {
		if list = append(list, t.URL); !t.IsMirror() {
			list[len(list)-1] = t.String()
		}
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// What DNS says of an SRV name becomes sources, and later answers change them.
// A name that fails changes nothing. The same server named by the user stays.
func TestMovingNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := map[string][]*net.SRV{
			"_m._udp.x": {{Target: "a.x.", Port: 1}, {Target: "b.x.", Port: 1, Priority: 5}},
			"_m._udp.y": {{Target: "."}},
		}
		var said []string
		warn := func(w string) { said = append(said, w) }
		lookup := func(_ context.Context, name string) ([]*net.SRV, error) {
			if list := answer[name]; list != nil {
				return list, nil
			}
			return nil, &net.DNSError{IsNotFound: true}
		}
		m := &moving{fixed: []string{"a.x:1", "srv:_m._udp.x", "SRV:_m._UDP.y"}, book: srv.NewBook(lookup, srv.Every, time.Second, warn), warn: warn}
		defer m.book.Close()
		targets, _, err := flags.Targets(nil, nil, m.fixed)
		if err != nil {
			t.Fatal(err)
		}
		first, err := query{targets: targets, moving: m}.begin(t.Context())
		if err != nil || texts(first) != "a.x:1 a.x:1 b.x:1" || len(said) != 1 {
			t.Fatalf("%q, %v, said %q", texts(first), err, said)
		}
		look := func(after time.Duration, add, remove string) {
			t.Helper()
			for range after / (2 * time.Second) {
				time.Sleep(2 * time.Second)
				targets, _, _, err := m.now()
				if err != nil {
					t.Fatal(err)
				}
				if a, r := m.changed(targets); texts(a) != add || texts(r) != remove {
					if len(a)+len(r) > 0 {
						t.Errorf("added %q, removed %q; want %q, %q", texts(a), texts(r), add, remove)
					}
				} else {
					add, remove = "", ""
				}
			}
			if add+remove != "" {
				t.Errorf("not added: %q, not removed: %q", add, remove)
			}
		}
		answer["_m._udp.x"] = []*net.SRV{{Target: "b.x.", Port: 1, Priority: 5}}
		answer["_m._udp.y"] = []*net.SRV{{Target: "c.x.", Port: 2}}
		look(28*time.Second, "", "")
		look(4*time.Second, "c.x:2", "a.x:1")
		answer["_m._udp.x"], answer["_m._udp.y"] = nil, nil
		look(time.Hour, "", "")
		if len(said) != 3 {
			t.Errorf("said %q", said)
		}
		answer["_m._udp.x"] = []*net.SRV{{Target: "b.x.", Port: 1, Priority: 4}}
		answer["_m._udp.y"] = []*net.SRV{{Target: "."}}
		look(32*time.Second, "b.x:1", "b.x:1 c.x:2")
	})
}

// Without any server the names that lead nowhere are why.
func TestNamesLeadNowhere(t *testing.T) {
	lookup := func(context.Context, string) ([]*net.SRV, error) { return nil, &net.DNSError{IsNotFound: true} }
	m := &moving{book: srv.NewBook(lookup, srv.Every, time.Second, func(w string) { t.Error(w) })}
	defer m.book.Close()
	_, err := query{targets: []source.Target{{Service: "_m._udp.x"}}, moving: m}.begin(t.Context())
	if fetch.KindOf(err) != fetch.KindNetwork || describe(err) != "srv:_m._udp.x: no name server knows such an SRV name" {
		t.Errorf("got %v", err)
	}
}

// A command uses at most flags.MaxPorts servers, those of the typed sources and
// of the first names.
func TestNamesAreBounded(t *testing.T) {
	var records []*net.SRV
	for i := range 1000 {
		records = append(records, &net.SRV{Target: "h.", Port: uint16(i + 1)})
	}
	m := &moving{book: srv.NewBook(func(context.Context, string) ([]*net.SRV, error) { return records, nil }, srv.Every, time.Second, func(string) {})}
	defer m.book.Close()
	var targets []source.Target
	for _, name := range []string{"_m._udp.a", "_m._udp.b", "_m._udp.c", "_m._udp.d", "_m._udp.e"} {
		targets = append(targets, source.Target{Service: name})
	}
	targets = append(targets, source.Target{Host: "typed", Port: 1})
	list, err := query{targets: targets, moving: m}.begin(t.Context())
	if err != nil || len(list) != flags.MaxPorts || list[0].Host != "typed" || list[flags.MaxPorts-1].Service != "_m._udp.d" {
		t.Errorf("%d servers, %v", len(list), err)
	}
}
