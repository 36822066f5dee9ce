//go:build !unix

package fetch

import "time"

// A cpuMeter measures the CPU use of this process where the system tells it.
type cpuMeter struct{}

// free always reports true: this system is not asked.
func (*cpuMeter) free(time.Time) bool { return true }
