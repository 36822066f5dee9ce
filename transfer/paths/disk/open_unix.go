//go:build unix

package disk

import "syscall"

// openNonblock keeps an open from waiting for the other end of a FIFO that has
// replaced the file.
const openNonblock = syscall.O_NONBLOCK
