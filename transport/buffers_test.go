package transport

import (
	"net"
	"net/netip"
	"runtime"
	"syscall"
	"testing"
)

// smallConn is a socket that ignores the sizes set on it.
type smallConn struct{ *net.UDPConn }

func (smallConn) SetReadBuffer(int) error               { return nil }
func (smallConn) SetWriteBuffer(int) error              { return nil }
func (smallConn) SyscallConn() (syscall.RawConn, error) { return nil, syscall.ENOTSUP }

func TestSmallBuffers(t *testing.T) {
	pc, err := DialUDP(netip.Addr{}, netip.MustParseAddrPort("127.0.0.1:9"))
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	for _, small := range SmallBuffers(pc) {
		// The system decides whether a buffer is too small.
		if small.Size <= 0 || small.Size >= WantedBuffer || small.Setting != bufferSetting(runtime.GOOS, small.Receive) {
			t.Errorf("%+v", small)
		}
	}
	if got := SmallBuffers(smallConn{}); got != nil {
		t.Errorf("%+v of a socket that does not tell", got)
	}
	if got := SmallBuffers(&plainConn{}); got != nil {
		t.Errorf("%+v of what is no socket", got)
	}
}

func TestBufferSetting(t *testing.T) {
	for _, tt := range []struct {
		goos    string
		receive bool
		want    string
	}{
		{"linux", true, "net.core.rmem_max"}, {"linux", false, "net.core.wmem_max"},
		{"darwin", true, "kern.ipc.maxsockbuf"}, {"freebsd", false, "kern.ipc.maxsockbuf"}, {"windows", true, ""},
	} {
		if got := bufferSetting(tt.goos, tt.receive); got != tt.want {
			t.Errorf("%s, receive %v: %q, want %q", tt.goos, tt.receive, got, tt.want)
		}
	}
}
