package certs

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// StateDir returns the directory for what malcolm keeps between runs:
// $XDG_STATE_HOME/malcolm, else ~/.local/state/malcolm. On Windows and macOS it
// is the directory malcolm in the user's configuration directory. A relative
// $XDG_STATE_HOME is ignored, as the XDG base directory specification demands.
// The result is absolute; the directory need not exist. Any goroutine may call
// it.
func StateDir() (string, error) {
	return userDir("state", "XDG_STATE_HOME", os.UserConfigDir, ".local", "state")
}

// CacheDir returns the directory for what malcolm can make again:
// $XDG_CACHE_HOME/malcolm, else ~/.cache/malcolm. On Windows and macOS it is
// the directory malcolm in the user's cache directory. The rest is as with
// [StateDir].
func CacheDir() (string, error) {
	return userDir("cache", "XDG_CACHE_HOME", os.UserCacheDir, ".cache")
}

// ConfigDir returns the directory for the user's settings:
// $XDG_CONFIG_HOME/malcolm, else ~/.config/malcolm. On Windows and macOS it is
// the directory malcolm in the user's configuration directory. The rest is as
// with [StateDir].
func ConfigDir() (string, error) {
	return userDir("config", "XDG_CONFIG_HOME", os.UserConfigDir, ".config")
}

// userDir finds a directory by its variable, else by the system's call on
// Windows and macOS, and by its place in the home elsewhere. kind names it in
// errors.
func userDir(kind, variable string, system func() (string, error), inHome ...string) (string, error) {
	if dir := os.Getenv(variable); filepath.IsAbs(dir) {
		return filepath.Join(dir, "malcolm"), nil
	}
	var base string
	var err error
	switch runtime.GOOS {
	case "windows", "darwin", "ios":
		base, err = system()
	default:
		base, err = os.UserHomeDir()
		base = filepath.Join(append([]string{base}, inHome...)...)
	}
	if err != nil {
		return "", fmt.Errorf("find the %s directory: $%s is no absolute path, and %w", kind, variable, err)
	}
	if !filepath.IsAbs(base) {
		return "", fmt.Errorf("find the %s directory: neither $%s nor the home directory is an absolute path (%q)", kind, variable, base)
	}
	return filepath.Join(base, "malcolm"), nil
}
