//go:build !unix

package fetch

import "time"

// A cpuMeter would tell how much of the machine's processors this process uses.
type cpuMeter struct{}

// free reports that there is enough: this system is not asked.
func (*cpuMeter) free(time.Time) bool { return true }
