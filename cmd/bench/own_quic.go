package main

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/quic-go/quic-go"
	"golang.org/x/sync/errgroup"
)

// The plain copy's ranges: their length in bytes, and their number under way on
// a connection.
const (
	quicRange   = 16 << 20
	quicStreams = 4
	quicProto   = "bench"
)

// quicServeCmd is the server of the plain quic-go copy. Every stream carries a
// length as 8 bytes, and gets that number of bytes back.
type quicServeCmd struct {
	Bind   string `required:""`
	Number int    `default:"1"`
}

// Run serves until ctx ends and reports what was lost.
func (c *quicServeCmd) Run(ctx context.Context, s *streams) error {
	cert, err := newCertificate()
	if err != nil {
		return err
	}
	conf := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{quicProto}}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	var lost atomic.Uint64
	var ports []string
	for range c.Number {
		ln, err := quic.ListenAddr(net.JoinHostPort(c.Bind, "0"), conf, nil)
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		defer ln.Close()
		ports = append(ports, strconv.Itoa(ln.Addr().(*net.UDPAddr).Port))
		group.Go(func() error { return acceptQUIC(ctx, ln, &lost) })
	}
	fmt.Fprintf(s.err, "listening on UDP %s\n", strings.Join(ports, " "))
	err = group.Wait()
	fmt.Fprintf(s.err, "packets lost: %d\n", lost.Load())
	return err
}

// acceptQUIC serves the connections of one port until ctx ends.
func acceptQUIC(ctx context.Context, ln *quic.Listener, lost *atomic.Uint64) error {
	var group errgroup.Group
	for {
		conn, err := ln.Accept(ctx)
		if err != nil {
			return errors.Join(unless(ctx, err), group.Wait())
		}
		group.Go(func() error {
			var streams errgroup.Group
			for {
				stream, err := conn.AcceptStream(ctx)
				if err != nil { // the client has what it wanted
					lost.Add(conn.ConnectionStats().PacketsLost)
					// The client has given up a stream that
					// fails now.
					_ = streams.Wait()
					return nil
				}
				streams.Go(func() error { return answerQUIC(stream) })
			}
		})
	}
}

// unless returns err unless ctx has ended.
func unless(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// zeros is what is sent.
var zeros [mib]byte

func answerQUIC(stream *quic.Stream) error {
	defer stream.Close()
	var request [8]byte
	if _, err := io.ReadFull(stream, request[:]); err != nil {
		return err
	}
	for left := binary.BigEndian.Uint64(request[:]); left > 0; {
		n, err := stream.Write(zeros[:min(left, mib)])
		if err != nil {
			return err
		}
		left -= uint64(n)
	}
	return nil
}

// quicGetCmd is the client of the plain quic-go copy.
type quicGetCmd struct {
	Size    int64    `required:""`
	Targets []string `arg:""`
}

// Run reads Size bytes over a connection to each target.
func (c *quicGetCmd) Run(ctx context.Context) error {
	conf := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{quicProto}}
	var taken, got atomic.Int64 // bytes asked for and received so far
	group, ctx := errgroup.WithContext(ctx)
	for _, target := range c.Targets {
		group.Go(func() error {
			conn, err := quic.DialAddr(ctx, target, conf, nil)
			if err != nil {
				return fmt.Errorf("dial %s: %w", target, err)
			}
			defer conn.CloseWithError(0, "")
			var streams errgroup.Group
			for range quicStreams {
				streams.Go(func() error {
					for {
						from := taken.Add(quicRange) - quicRange
						if from >= c.Size {
							return nil
						}
						length := min(quicRange, c.Size-from)
						if err := fetchQUIC(ctx, conn, length); err != nil {
							return err
						}
						got.Add(length)
					}
				})
			}
			return streams.Wait()
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if got.Load() != c.Size {
		return fmt.Errorf("%d bytes came of %d", got.Load(), c.Size)
	}
	return nil
}

// fetchQUIC asks for length bytes and reads them.
func fetchQUIC(ctx context.Context, conn *quic.Conn, length int64) error {
	stream, err := conn.OpenStreamSync(ctx)
	if err != nil {
		return err
	}
	if _, err := stream.Write(binary.BigEndian.AppendUint64(nil, uint64(length))); err != nil {
		return err
	}
	if err := stream.Close(); err != nil {
		return err
	}
	buf := make([]byte, 128<<10)
	for got := int64(0); ; {
		n, err := stream.Read(buf)
		got += int64(n)
		switch {
		case err == io.EOF && got == length:
			return nil
		case err == io.EOF:
			return fmt.Errorf("%d bytes came, %d were asked for", got, length)
		case err != nil:
			return err
		}
	}
}
