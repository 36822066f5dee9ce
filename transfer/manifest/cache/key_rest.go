//go:build !unix || aix

package cache

import "io/fs"

const openNonblock = 0

// statusOf knows nothing here. On Windows Stat returns neither the file's index
// nor its change time, and without them a key would take one version for
// another.
func statusOf(info fs.FileInfo) (status, bool) { return status{}, false }

// ours trusts the system that the user's own cache directory is closed to
// others.
func ours(info fs.FileInfo) bool { return true }
