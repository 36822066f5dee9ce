package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// The flows are somebody else's downloads beside the one that is measured: TCP
// connections over which the server sends zeros until the client closes them.
// The system's congestion control is set on each and read back.

// flowsServeCmd is their server.
type flowsServeCmd struct {
	Bind       string `required:"" placeholder:"HOST:PORT"`
	Congestion string `required:""`
}

// flowsGetCmd is their client. After each interval it writes the time, in
// seconds since 1970, and the bytes that all flows have received.
type flowsGetCmd struct {
	Number   int           `default:"4"`
	Interval time.Duration `default:"100ms"`
	Target   string        `arg:"" placeholder:"HOST:PORT"`
}

// Run serves until ctx ends.
func (c *flowsServeCmd) Run(ctx context.Context, s *streams) error {
	ln, err := net.Listen("tcp", c.Bind)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer ln.Close()
	group, ctx := errgroup.WithContext(ctx)
	context.AfterFunc(ctx, func() { ln.Close() })
	fmt.Fprintf(s.err, "listening on TCP %s, %s\n", ln.Addr(), c.Congestion)
	for {
		conn, err := ln.Accept()
		if err != nil {
			group.Go(func() error { return unless(ctx, err) })
			return group.Wait()
		}
		group.Go(func() error {
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			if err := setCongestion(conn.(*net.TCPConn), c.Congestion); err != nil {
				return err
			}
			for {
				if _, err := conn.Write(zeros[:]); err != nil {
					return nil // the client has enough
				}
			}
		})
	}
}

// Run receives until ctx ends, or a flow does.
func (c *flowsGetCmd) Run(ctx context.Context, s *streams) error {
	group, ctx := errgroup.WithContext(ctx)
	var received atomic.Int64
	for range c.Number {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.Target)
		if err != nil {
			return err
		}
		defer conn.Close()
		context.AfterFunc(ctx, func() { conn.Close() })
		group.Go(func() error {
			for piece := make([]byte, 128<<10); ; {
				n, err := conn.Read(piece)
				received.Add(int64(n))
				if err == io.EOF {
					err = io.ErrUnexpectedEOF
				}
				if err != nil {
					return unless(ctx, err)
				}
			}
		})
	}
	group.Go(func() error {
		tick := time.NewTicker(c.Interval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case now := <-tick.C:
				fmt.Fprintf(s.out, "%.3f %d\n", float64(now.UnixMilli())/1000, received.Load())
			}
		}
	})
	return group.Wait()
}
