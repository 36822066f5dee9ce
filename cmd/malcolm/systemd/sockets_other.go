//go:build !unix

package systemd

// open says that no manager of this system hands over sockets.
func (s *Socket) open() (why string) { return "this system cannot take it over" }
