package view

import (
	"testing"

	"malcolm/transport"
)

func TestSmallBuffers(t *testing.T) {
	receive := transport.SmallBuffer{Receive: true, Size: 212992, Setting: "net.core.rmem_max"}
	for _, tt := range []struct {
		small []transport.SmallBuffer
		want  string
	}{
		{[]transport.SmallBuffer{receive}, "the system gives sockets buffers of only 208.0 KiB for receiving, which may cost speed on quick networks; to raise them: sudo sysctl -w net.core.rmem_max=7340032"},
		{[]transport.SmallBuffer{receive, {Size: 1 << 20, Setting: "net.core.wmem_max"}}, "the system gives sockets buffers of only 208.0 KiB for receiving and 1.0 MiB for sending, which may cost speed on quick networks; to raise them: sudo sysctl -w net.core.rmem_max=7340032 net.core.wmem_max=7340032"},
		{[]transport.SmallBuffer{{Size: 1}}, "the system gives sockets buffers of only 1 B for sending, which may cost speed on quick networks"},
	} {
		if got := smallBuffers(tt.small); got != tt.want {
			t.Errorf("got  %q\nwant %q", got, tt.want)
		}
	}
}
