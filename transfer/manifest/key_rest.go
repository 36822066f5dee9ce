//go:build !unix || aix

package manifest

import "io/fs"

const openNonblock = 0

// statusOf knows nothing here: what Stat returns on Windows has neither the
// file's index nor its change time, and a key without them would take one
// version for another.
func statusOf(info fs.FileInfo) (status, bool) { return status{}, false }

// ours takes the system's word that the user's own cache directory is closed
// to others.
func ours(info fs.FileInfo) bool { return true }
