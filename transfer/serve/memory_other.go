//go:build !linux && !darwin

package serve

// MemoryLimit returns 0: the memory of the machine is not known.
func MemoryLimit() (bytes int64, group bool) { return 0, false }
