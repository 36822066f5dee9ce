package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSegmentSize(t *testing.T) {
	message := func(level, kind int32, value int32) []byte {
		b := make([]byte, unix.CmsgSpace(4))
		binary.NativeEndian.PutUint64(b, uint64(unix.CmsgLen(4)))
		binary.NativeEndian.PutUint32(b[unix.CmsgLen(0)-8:], uint32(level))
		binary.NativeEndian.PutUint32(b[unix.CmsgLen(0)-4:], uint32(kind))
		binary.NativeEndian.PutUint32(b[unix.CmsgLen(0):], uint32(value))
		return b
	}
	foreign := message(unix.IPPROTO_IP, unix.IP_TOS, 2)
	gro := message(unix.IPPROTO_UDP, unix.UDP_GRO, 1452)
	tests := []struct {
		oob  []byte
		want int
	}{
		{nil, 0}, {foreign, 0}, {gro, 1452}, {append(foreign, gro...), 1452}, {gro[:10], 0},
	}
	for i, test := range tests {
		if got := segmentSize(test.oob); got != test.want {
			t.Errorf("%d: got %d, want %d", i, got, test.want)
		}
	}
}

// TestOwnCopies: the program's own servers and clients find each other and
// carry the bytes asked for, for two clients one after another.
func TestOwnCopies(t *testing.T) {
	for _, kind := range []string{"udp", "quic"} {
		t.Run(kind, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			var log lineLog
			var wg sync.WaitGroup
			wg.Go(func() {
				if code := run(ctx, []string{kind + "-serve", "--bind", "127.0.0.1", "--number", "2"}, &streams{&log, &log}); code != exitDone {
					t.Errorf("the server ends with %d: %s", code, log.tail(3))
				}
			})
			defer wg.Wait()
			defer cancel()
			m, _, err := log.await(ctx, listeningLine)
			if err != nil {
				t.Fatal(err)
			}
			args := []string{kind + "-get", "--size", "20000000"}
			for _, port := range strings.Fields(m[1]) {
				args = append(args, "127.0.0.1:"+port)
			}
			for range 2 {
				var out bytes.Buffer
				if code := run(ctx, args, &streams{&out, &out}); code != exitDone {
					t.Fatalf("the client ends with %d: %s", code, &out)
				}
			}
		})
	}
}
