//go:build unix

package config

import (
	"io/fs"
	"syscall"
)

// hasModes says that a file's mode says who may write it.
const hasModes = true

// ownerOf returns the user to whom a file belongs; false: it is not known.
func ownerOf(info fs.FileInfo) (int, bool) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(s.Uid), true
}
