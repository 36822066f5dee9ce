package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
)

// A link connects servers and clients on this machine.
type link struct {
	name    string
	addr    string // of the servers
	servers string // name of the servers' network namespace; empty: this process's
	clients string
}

// mtu is that of the veth pair, in bytes.
const mtu = 1500

// vethAddr is the address of the servers over the veth pair.
const vethAddr = "10.77.7.1"

var loopback = &link{name: "loopback", addr: "127.0.0.1"}

// at returns c run in a network namespace.
func at(namespace string, c command) command {
	if namespace != "" {
		c.name = c.args[0]
		c.args = append([]string{"ip", "netns", "exec", namespace}, c.args...)
	}
	return c
}

// vethMissing says why there cannot be a veth pair; empty if there can.
func vethMissing() string {
	switch {
	case runtime.GOOS != "linux":
		return "network namespaces are a thing of Linux"
	case os.Geteuid() != 0:
		return "network namespaces need root"
	}
	return missing("ip")
}

// newVeth makes two network namespaces with a veth pair between them, and
// returns the function that removes them.
func newVeth(ctx context.Context) (*link, func() error, error) {
	name := "malcolm-bench-" + strconv.Itoa(os.Getpid())
	l := &link{name: "veth", addr: vethAddr, servers: name + "-s", clients: name + "-c"}
	const serverEnd, clientEnd = "bench0", "bench1"
	remove := func() error {
		return errors.Join(ip(context.Background(), "netns", "del", l.servers), ip(context.Background(), "netns", "del", l.clients))
	}
	steps := []string{
		"netns add " + l.servers,
		"netns add " + l.clients,
		"-n " + l.servers + " link set lo up",
		"-n " + l.clients + " link set lo up",
		"-n " + l.servers + " link add " + serverEnd + " mtu " + strconv.Itoa(mtu) + " type veth peer name " + clientEnd + " mtu " + strconv.Itoa(mtu) + " netns " + l.clients,
		"-n " + l.servers + " addr add " + l.addr + "/24 dev " + serverEnd,
		"-n " + l.clients + " addr add 10.77.7.2/24 dev " + clientEnd,
		"-n " + l.servers + " link set " + serverEnd + " up",
		"-n " + l.clients + " link set " + clientEnd + " up",
	}
	for _, step := range steps {
		if err := ip(ctx, strings.Fields(step)...); err != nil {
			return nil, nil, errors.Join(err, remove())
		}
	}
	return l, remove, nil
}

// ip runs iproute2.
func ip(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "ip", args...)
	isolate(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// dropped returns the number of UDP datagrams that the kernel has dropped, on
// both sides of a link.
func (l *link) dropped(ctx context.Context) int64 {
	sum := int64(0)
	sides := []string{l.servers}
	if l.clients != l.servers {
		sides = append(sides, l.clients)
	}
	for _, side := range sides {
		n := parseDropped(snmp(ctx, side))
		if n < 0 {
			return unknown
		}
		sum += n
	}
	return sum
}

// snmp returns the kernel's counters of a network namespace.
func snmp(ctx context.Context, namespace string) string {
	files := []string{"/proc/net/snmp", "/proc/net/snmp6"}
	if namespace != "" {
		c := at(namespace, command{args: append([]string{"cat"}, files...)})
		out, err := exec.CommandContext(ctx, c.args[0], c.args[1:]...).Output()
		if err != nil && len(out) == 0 {
			return ""
		}
		return string(out)
	}
	var all strings.Builder
	for _, name := range files {
		if text, err := os.ReadFile(name); err == nil {
			all.Write(text)
		}
	}
	return all.String()
}

// missing says which of programs is not installed; empty if all are.
func missing(programs ...string) string {
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			return p + " is not installed"
		}
	}
	return ""
}
