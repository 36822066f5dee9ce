//go:build unix

package transport

import (
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// filler returns a function that waits for bytes before it takes a buffer for
// them; nil: this is no socket.
func (p *pipe) filler() func() error {
	c, ok := p.Conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	return func() error {
		var n int
		var err error
		if failed := raw.Read(func(fd uintptr) bool { return p.tryFill(int(fd), &n, &err) }); failed != nil {
			return failed
		}
		switch {
		case err != nil:
			return &net.OpError{Op: "read", Net: "tcp", Addr: c.RemoteAddr(), Err: os.NewSyscallError("read", err)}
		case n == 0:
			return io.EOF
		}
		return nil
	}
}

// tryFill reads what is there; false: nothing is.
func (p *pipe) tryFill(fd int, n *int, err *error) bool {
	p.held = pipeBuffers.Get().(*[]byte)
	for *n, *err = unix.Read(fd, *p.held); *err == syscall.EINTR; {
		*n, *err = unix.Read(fd, *p.held)
	}
	p.took((*p.held)[:max(*n, 0)])
	return *err != syscall.EAGAIN
}
