//go:build !windows

package fetch

import "syscall"

// mediaError is what the system says of a bad sector.
const mediaError = syscall.EIO
