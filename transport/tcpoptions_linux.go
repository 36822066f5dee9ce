package transport

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

func (o tcpOptions) set(fd int) {
	if o.lowWater > 0 {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, o.lowWater)
	}
	if o.userTimeout > 0 {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(o.userTimeout.Milliseconds()))
	}
}

// kernelStats adds what the system knows of a connection that is a socket.
func kernelStats(c net.Conn, s *Stats) {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return
	}
	var info *unix.TCPInfo
	if raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }) != nil || err != nil {
		return
	}
	s.SmoothedRTT = time.Duration(info.Rtt) * time.Microsecond
	// The kernel says that it has no sample by the largest number.
	if info.Min_rtt != 1<<32-1 {
		s.MinRTT = time.Duration(info.Min_rtt) * time.Microsecond
	}
	s.PacketsSent, s.PacketsReceived, s.PacketsLost = uint64(info.Segs_out), uint64(info.Segs_in), uint64(info.Total_retrans)
	s.BytesLost = info.Bytes_retrans
	s.Window = uint64(info.Snd_cwnd) * uint64(info.Snd_mss)
}
