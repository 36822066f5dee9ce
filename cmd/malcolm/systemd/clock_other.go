//go:build !linux && !freebsd && !openbsd && !netbsd

package systemd

import "time"

// monotonic returns 0: no manager asks here.
func monotonic() time.Duration { return 0 }
