package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestFlows: all flows bring bytes, the client says how many, and both ends
// return when they are to.
func TestFlows(t *testing.T) {
	t.Parallel()
	// reno is the one congestion control that every kernel has.
	serving, stop := context.WithCancel(t.Context())
	out, listening := io.Pipe()
	served := make(chan error, 1)
	go func() {
		served <- (&flowsServeCmd{Bind: "127.0.0.1:0", Congestion: "reno"}).Run(serving, &streams{err: listening})
	}()
	var addr, name string
	if _, err := fmt.Fscanf(out, "listening on TCP %s %s\n", &addr, &name); err != nil || name != "reno" {
		t.Fatalf("%q, %q, %v", addr, name, err)
	}
	getting, enough := context.WithCancel(t.Context())
	lines, counted := io.Pipe()
	got := make(chan error, 1)
	go func() {
		got <- (&flowsGetCmd{Number: 3, Interval: time.Millisecond, Target: strings.TrimSuffix(addr, ",")}).Run(getting, &streams{out: counted})
		counted.Close()
	}()
	last := 0.0
	for bytes := int64(0); bytes < 1<<20; {
		var at float64
		had := bytes
		if _, err := fmt.Fscanf(lines, "%f %d\n", &at, &bytes); err != nil || at < last || bytes < had {
			t.Fatalf("%d bytes at %f, %v, after %d at %f", bytes, at, err, had, last)
		}
		last = at
	}
	enough()
	io.Copy(io.Discard, lines)
	if err := <-got; err != nil {
		t.Errorf("the client: %v", err)
	}
	stop()
	if err := <-served; err != nil {
		t.Errorf("the server: %v", err)
	}
}

// TestFlowsCongestion: a congestion control that the system does not have is an
// error.
func TestFlowsCongestion(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := setCongestion(conn.(*net.TCPConn), "none such"); err == nil {
		t.Error("an unknown congestion control was set")
	}
	if err := setCongestion(conn.(*net.TCPConn), "reno"); err != nil {
		t.Error(err)
	}
}
