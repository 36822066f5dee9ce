//go:build darwin || freebsd || netbsd

package cache

import "syscall"

// changedAt sets the change time, in seconds since 1970.
func changedAt(st *syscall.Stat_t, sec uint8) {
	st.Ctimespec = syscall.NsecToTimespec(int64(sec) * 1e9)
}
