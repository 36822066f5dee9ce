//go:build !windows

package fetch

import "syscall"

// mediaError is the system's error for a bad sector.
const mediaError = syscall.EIO
