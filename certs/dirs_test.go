package certs

import (
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestStateDir(t *testing.T) {
	root := t.TempDir() // absolute on every system
	home := filepath.Join(root, "home")
	for _, name := range []string{"HOME", "USERPROFILE", "AppData"} {
		t.Setenv(name, home)
	}
	fallback := filepath.Join(home, ".local", "state", "malcolm")
	switch runtime.GOOS {
	case "windows":
		fallback = filepath.Join(home, "malcolm")
	case "darwin", "ios":
		fallback = filepath.Join(home, "Library", "Application Support", "malcolm")
	}
	for _, c := range []struct{ xdg, want string }{
		{filepath.Join(root, "xdg"), filepath.Join(root, "xdg", "malcolm")},
		{"", fallback},
		{"relative", fallback},
		{filepath.Join("..", "xdg"), fallback},
		{"~/xdg", fallback},
	} {
		t.Setenv("XDG_STATE_HOME", c.xdg)
		got, err := StateDir()
		if err != nil || got != c.want {
			t.Errorf("XDG_STATE_HOME=%q: got %q, %v; want %q", c.xdg, got, err, c.want)
		}
	}
	t.Setenv("XDG_STATE_HOME", "")
	for _, bad := range []string{"", "relative"} {
		for _, name := range []string{"HOME", "USERPROFILE", "AppData"} {
			t.Setenv(name, bad)
		}
		if got, err := StateDir(); err == nil {
			t.Errorf("home %q: got %q, want an error", bad, got)
		}
	}
}

func TestConfigDir(t *testing.T) {
	root := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", root)
	if got, err := ConfigDir(); err != nil || got != filepath.Join(root, "malcolm") {
		t.Errorf("got %q, %v, want it beneath $XDG_CONFIG_HOME", got, err)
	}
	t.Setenv("XDG_CONFIG_HOME", "")
	for _, name := range []string{"HOME", "USERPROFILE", "AppData"} {
		t.Setenv(name, root)
	}
	got, err := ConfigDir()
	if err != nil || !strings.HasPrefix(got, root) || filepath.Base(got) != "malcolm" {
		t.Errorf("got %q, %v, want it in the home", got, err)
	}
}

func TestCacheDir(t *testing.T) {
	root := t.TempDir() // absolute on every system
	home := filepath.Join(root, "home")
	homes := []string{"HOME", "USERPROFILE", "LocalAppData"}
	for _, name := range homes {
		t.Setenv(name, home)
	}
	fallback := filepath.Join(home, ".cache", "malcolm")
	switch runtime.GOOS {
	case "windows":
		fallback = filepath.Join(home, "malcolm")
	case "darwin", "ios":
		fallback = filepath.Join(home, "Library", "Caches", "malcolm")
	}
	for _, c := range []struct{ xdg, want string }{
		{filepath.Join(root, "xdg"), filepath.Join(root, "xdg", "malcolm")},
		{"", fallback},
		{"relative", fallback},
		{filepath.Join("..", "xdg"), fallback},
		{"~/xdg", fallback},
	} {
		t.Setenv("XDG_CACHE_HOME", c.xdg)
		got, err := CacheDir()
		if err != nil || got != c.want {
			t.Errorf("XDG_CACHE_HOME=%q: got %q, %v; want %q", c.xdg, got, err, c.want)
		}
	}
	t.Setenv("XDG_CACHE_HOME", "")
	for _, bad := range []string{"", "relative"} {
		for _, name := range homes {
			t.Setenv(name, bad)
		}
		if got, err := CacheDir(); err == nil {
			t.Errorf("home %q: got %q, want an error", bad, got)
		}
	}
}
