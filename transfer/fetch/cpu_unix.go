//go:build unix

package fetch

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// A cpuMeter measures what share of the machine's processors this process uses.
// The zero cpuMeter is ready to use.
type cpuMeter struct {
	at   time.Time
	used time.Duration
}

// free reports whether the process used less than cpuBusy of all processors
// since the last call.
func (m *cpuMeter) free(now time.Time) bool {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return true
	}
	used := time.Duration(u.Utime.Nano() + u.Stime.Nano())
	elapsed, spent := now.Sub(m.at), used-m.used
	first := m.at.IsZero()
	m.at, m.used = now, used
	return first || spent.Seconds() < cpuBusy*elapsed.Seconds()*float64(runtime.GOMAXPROCS(0))
}
