package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"malcolm/transfer/localfile"
)

// onlyFile fails unless a directory has one file, with this text.
func onlyFile(t *testing.T, dir, name, text string) {
	t.Helper()
	entries, _ := os.ReadDir(dir)
	got, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil || string(got) != text || len(entries) != 1 {
		t.Errorf("%s has %q, %v; %d files, want %q and one file", name, got, err, len(entries), text)
	}
}

// What fails or ends on the way leaves what was there, and nothing beside it.
func TestPlaceFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	if w, err := place(t.Context(), path, false, writing([]byte("old"))); err != nil || w.Unchanged {
		t.Fatal(w, err)
	}
	onlyFile(t, dir, "x", "old")
	broken := errors.New("broken")
	_, err := place(t.Context(), path, true, func(w io.Writer) error {
		w.Write([]byte("new"))
		return broken
	})
	if !errors.Is(err, broken) || !errors.As(err, new(*localfile.Error)) {
		t.Errorf("%v", err)
	}
	onlyFile(t, dir, "x", "old")
	ctx, cancel := context.WithCancelCause(t.Context())
	_, err = place(ctx, path, true, func(w io.Writer) error {
		w.Write([]byte("ne"))
		cancel(broken)
		_, err := w.Write([]byte("w"))
		return err
	})
	if err != broken {
		t.Errorf("ended: %v", err)
	}
	onlyFile(t, dir, "x", "old")
	if _, err := place(t.Context(), path, false, writing([]byte("new"))); !errors.Is(err, errSaysElse) {
		t.Errorf("without force: %v", err)
	}
	onlyFile(t, dir, "x", "old")
	if w, err := place(t.Context(), path, false, writing([]byte("old"))); err != nil || !w.Unchanged {
		t.Errorf("the same: %+v, %v", w, err)
	}
	if _, err := place(t.Context(), path, true, writing([]byte("new"))); err != nil {
		t.Errorf("with force: %v", err)
	}
	onlyFile(t, dir, "x", "new")
}

// What somebody else puts there while it is written is not replaced.
func TestPlaceDoesNotReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	_, err := place(t.Context(), path, false, func(w io.Writer) error {
		if err := os.WriteFile(path, []byte("theirs"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := w.Write([]byte("ours"))
		return err
	})
	if !errors.Is(err, errSaysElse) {
		t.Errorf("%v", err)
	}
	onlyFile(t, dir, "x", "theirs")
}

func TestNameBeside(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"a": "a.malcolm", "a/": "a.malcolm", "./a/b//": filepath.Join("a", "b.malcolm"), "..": filepath.Dir(here) + ".malcolm", ".": here + ".malcolm",
	} {
		if got, err := nameBeside(path); err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", path, got, err, want)
		}
	}
	if got, err := nameBeside("/"); exitCode(err) != exitUsage {
		t.Errorf("/: %q, %v", got, err)
	}
}
