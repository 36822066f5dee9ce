package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

const ceilingMissing = ""

// udpStall is how long the server waits for an answer before the datagrams
// under way count as lost.
const udpStall = 5 * time.Millisecond

// Run sends to any client that asks, until ctx ends.
func (c *udpServeCmd) Run(ctx context.Context, s *streams) error {
	group, ctx := errgroup.WithContext(ctx)
	var ports []string
	for range c.Number {
		conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(c.Bind)})
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		defer conn.Close()
		if err := udpOptions(conn, unix.UDP_SEGMENT, udpPayload); err != nil {
			return err
		}
		context.AfterFunc(ctx, func() { conn.Close() })
		ports = append(ports, strconv.Itoa(conn.LocalAddr().(*net.UDPAddr).Port))
		group.Go(func() error {
			for {
				if err := sendFlow(conn); err != nil {
					return unless(ctx, err)
				}
			}
		})
	}
	fmt.Fprintf(s.err, "listening on UDP %s\n", strings.Join(ports, " "))
	return group.Wait()
}

// udpOptions asks for large buffers and sets an option of the UDP level.
func udpOptions(conn *net.UDPConn, option, value int) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		for _, name := range []int{unix.SO_RCVBUFFORCE, unix.SO_SNDBUFFORCE} {
			if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, name, udpBuffer) != nil {
				// Without privileges the kernel gives what its
				// limits allow.
				_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unprivileged[name], udpBuffer)
			}
		}
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, option, value)
	})
	return errors.Join(err, failed)
}

var unprivileged = map[int]int{unix.SO_RCVBUFFORCE: unix.SO_RCVBUF, unix.SO_SNDBUFFORCE: unix.SO_SNDBUF}

// sendFlow waits for a client and sends to it until it has enough.
func sendFlow(conn *net.UDPConn) error {
	aead, err := udpCipher()
	if err != nil {
		return err
	}
	var question [udpNumber]byte
	var client netip.AddrPort
	for asked := false; !asked; { // leftovers of the last client are no request
		var n int
		if n, client, err = conn.ReadFromUDPAddrPort(question[:]); err != nil {
			return err
		}
		asked = n == len(question) && binary.BigEndian.Uint64(question[:]) == 0
	}
	var arrived atomic.Uint64 // the client's last answer
	news := make(chan struct{}, 1)
	answers := make(chan error, 1)
	go func() { answers <- readAnswers(conn, &arrived, news) }()

	batch := make([]byte, udpBatch*udpPayload)
	stalled := time.NewTimer(udpStall)
	defer stalled.Stop()
	for sent, given := uint64(0), uint64(0); ; {
		told := arrived.Load()
		if told == udpEnough {
			return <-answers
		}
		if sent+udpBatch > max(told, given)+udpWindow {
			stalled.Reset(udpStall)
			select {
			case <-news:
			case <-stalled.C:
				given = sent
			case err := <-answers:
				return err
			}
			continue
		}
		for i := range uint64(udpBatch) {
			udpSeal(aead, batch[i*udpPayload:(i+1)*udpPayload], sent+i)
		}
		if _, err := conn.WriteToUDPAddrPort(batch, client); err != nil {
			return err
		}
		sent += udpBatch
	}
}

// readAnswers stores the client's answers until it has enough.
func readAnswers(conn *net.UDPConn, arrived *atomic.Uint64, news chan<- struct{}) error {
	var b [udpNumber]byte
	for {
		n, _, err := conn.ReadFromUDPAddrPort(b[:])
		if err != nil {
			return err
		}
		if n != len(b) {
			continue
		}
		told := binary.BigEndian.Uint64(b[:])
		arrived.Store(told)
		select {
		case news <- struct{}{}:
		default:
		}
		if told == udpEnough {
			return nil
		}
	}
}

// Run receives Size bytes in equal parts from all targets.
func (c *udpGetCmd) Run(_ context.Context, s *streams) error {
	var lost atomic.Uint64
	var group errgroup.Group
	packets := uint64(c.Size)/uint64(len(c.Targets))/udpPlain + 1
	for _, target := range c.Targets {
		group.Go(func() error {
			n, err := receiveFlow(target, packets)
			lost.Add(n)
			return err
		})
	}
	err := group.Wait()
	fmt.Fprintf(s.err, "packets lost: %d\n", lost.Load())
	return err
}

// receiveFlow receives packets datagrams and returns the number of lost ones.
func receiveFlow(target string, packets uint64) (uint64, error) {
	remote, err := netip.ParseAddrPort(target)
	if err != nil {
		return 0, err
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(remote))
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := udpOptions(conn, unix.UDP_GRO, 1); err != nil {
		return 0, err
	}
	aead, err := udpCipher()
	if err != nil {
		return 0, err
	}
	r := udpReceiver{aead: aead}
	if err := tell(conn, 0); err != nil {
		return 0, err
	}
	buf, oob := make([]byte, 64<<10), make([]byte, 64)
	for r.got < packets {
		n, oobn, _, _, err := conn.ReadMsgUDPAddrPort(buf, oob)
		if err != nil {
			return 0, err
		}
		if err := r.take(buf[:n], segmentSize(oob[:oobn])); err != nil {
			return 0, err
		}
		if number, due := r.answer(); due {
			if err := tell(conn, number); err != nil {
				return 0, err
			}
		}
	}
	// The last answer may be lost like any other, so it is sent twice.
	return r.lost(), errors.Join(tell(conn, udpEnough), tell(conn, udpEnough))
}

func tell(conn *net.UDPConn, number uint64) error {
	_, err := conn.Write(binary.BigEndian.AppendUint64(nil, number))
	return err
}

// segmentSize returns the size of the datagrams that the kernel has joined
// (udp(7)); 0 if there is only one.
func segmentSize(oob []byte) int {
	for len(oob) >= unix.CmsgSpace(0) {
		header, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			return 0
		}
		if header.Level == unix.IPPROTO_UDP && header.Type == unix.UDP_GRO && len(data) >= int(unsafe.Sizeof(int32(0))) {
			return int(binary.NativeEndian.Uint32(data))
		}
		oob = rest
	}
	return 0
}
