//go:build !unix

package disk

// openNonblock is not needed: opening never waits here.
const openNonblock = 0
