//go:build !unix

package transport

// filler returns nil: here a socket cannot be waited for without a buffer.
func (p *pipe) filler() func() error { return nil }
