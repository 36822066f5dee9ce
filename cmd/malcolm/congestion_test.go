package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
	"testing"

	"malcolm/cmd/malcolm/screen"
	"malcolm/transport"
)

// A congestion control that the system refuses is a warning, once for all
// ports, and TCP is served all the same.
func TestCongestionRefused(t *testing.T) {
	c := &serveCmd{Bind: netip.MustParseAddr("127.0.0.1"), TCPFlags: TCPFlags{Congestion: "nosuchcontrol"}}
	term, _, stderr := newTestTerminal(screen.ColorAuto)
	udp, tcp, err := c.listen(term, []uint16{0, 0})
	if err != nil {
		t.Fatal(err)
	}
	for i := range udp {
		defer udp[i].Close()
		defer tcp[i].Close()
	}
	tcp = append(tcp, nil) // a port that TCP did not get
	if got, want := c.control(term, tcp), transport.Congestion(tcp[0]); got != want {
		t.Errorf("said is %q, want the system's %q", got, want)
	}
	if n := strings.Count(stderr.String(), "malcolm: warning: congestion control \"nosuchcontrol\": this system "); n != 1 {
		t.Errorf("%d warnings, want one:\n%s", n, stderr)
	}
	table, err := readErrorTable()
	if err != nil {
		t.Fatal(err)
	}
	if err := table.check(strings.TrimSpace(stderr.String())); err != nil {
		t.Error(err)
	}
	// Without the flag it is what the system uses, without a warning.
	term, _, stderr = newTestTerminal(screen.ColorAuto)
	c.Congestion = ""
	if got, want := c.control(term, tcp), transport.Congestion(tcp[0]); got != want || stderr.Len() > 0 {
		t.Errorf("said is %q with %q, want %q in silence", got, stderr, want)
	}
}

func TestControlReason(t *testing.T) {
	for want, err := range map[string]error{
		"this system cannot choose one":                                                errors.ErrUnsupported,
		"this system has none of that name":                                            fs.ErrNotExist,
		"this user may not choose it (sysctl net.ipv4.tcp_allowed_congestion_control)": fs.ErrPermission,
	} {
		if got := controlReason(fmt.Errorf("set: %w", err)); got != want {
			t.Errorf("%v: got %q, want %q", err, got, want)
		}
	}
	if got := controlReason(errors.New("odd")); got != "odd" {
		t.Errorf("got %q, want the system's words", got)
	}
}
