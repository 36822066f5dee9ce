package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"malcolm/certs"
	"malcolm/cmd/malcolm/flags"
	"malcolm/cmd/malcolm/human"
	"malcolm/cmd/malcolm/view"
	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest/cache"
	"malcolm/transfer/serve"
	"malcolm/transport"
)

// defaultServers is the number of virtual servers when no flag gives one.
const defaultServers = 4

type serveCmd struct {
	Files    []flags.Path    `name:"file" short:"f" required:"" sep:"none" placeholder:"PATH" help:"The file or directory to offer. May be given several times together with --as."`
	Rehash   bool            `help:"Hash the files even if their hashes were kept: for disks that may have lost bits."`
	Number   *int            `short:"n" placeholder:"N" help:"Number of virtual servers. Default: one for each port, else 4."`
	Ports    flags.PortWords `name:"port" short:"p" placeholder:"PORT..." help:"Ports, of UDP and of TCP: 10001 10002, 10001,10002 or 10001-10004; default: free ones, which are printed."`
	Interval flags.Interval  `short:"i" default:"1" placeholder:"SECONDS" help:"Time between status reports; 0 turns them off. Default ${default}."`
	OutputFlags
	Bind netip.Addr `placeholder:"ADDR" help:"Address to listen on; default: all, IPv4 and IPv6."`
	TCPFlags
	Advertise string        `placeholder:"HOST" help:"Host to show in the command to paste."`
	Identity  flags.Path    `placeholder:"FILE" help:"The key that proves who serves; made if it is missing. Default: identity.pem in the user's state directory."`
	Tokens    []flags.Token `name:"token" sep:"none" placeholder:"WHERE" help:"Shared secret that clients must have: @FILE, env:NAME, - for standard input, or new:FILE, which makes one. May be given twice: clients need one of them."`
	Limit     flags.Rate    `placeholder:"RATE" help:"Bytes a second that all servers together send, such as 10M or 1.5G (powers of 1024); 0 is no limit."`
	TreeFlags
	LimitFlags
	WatchFlags
}

// TCPFlags are the flags of serve about TCP.
type TCPFlags struct {
	NoTCP      bool   `name:"no-tcp" xor:"tcp" help:"Listen on UDP only. Without this flag, clients whose network blocks UDP come over TCP."`
	Congestion string `xor:"tcp" placeholder:"NAME" help:"Congestion control with which TCP sends, such as bbr, where this system has it; clients are told. Default: the system's."`
	HTTPFlags
}

// Help is what kong prints after the flags.
func (*serveCmd) Help() string {
	return `Examples:
  malcolm serve -f data.mp4 -n 4 -i 1 -p 10001 10002 10003 10004
  malcolm serve -f photos/ -p 10001-10004 --bind 192.168.1.5 --limit 10M
  malcolm serve -f bin/ -f README.md --as release

Anyone who can reach the ports can read what is offered. ^C stops: transfers under way have --drain seconds to finish; a second ^C stops at once. Without a terminal, SIGHUP reads the config file, the tokens and what is offered again, and ends nothing.`
}

func (c *serveCmd) run(ctx context.Context, args []string, t *terminal) error {
	at, err := c.where(t)
	if err != nil {
		return err
	}
	what, err := c.offered()
	if err != nil {
		return err
	}
	identity, machine, err := c.identity()
	if err != nil {
		return err
	}
	tokens, err := t.readTokens(c.Tokens)
	if err != nil {
		return err
	}
	qlog, shown, err := t.openWatch(ctx, c.WatchFlags, "serve", c.Interval.Duration())
	if err != nil {
		return err
	}
	show := c.show(t, what)
	conns, tcp, web, err := c.sockets(t, at, show)
	if err != nil {
		return err
	}
	limit, _ := serve.MemoryLimit()
	memory := newMemoryLimit(what.memory)
	service := t.newService(ctx)
	events, collected := collectOften(t, what.tree, show.Event, service.event)
	defer collected()
	server, err := serve.NewServer(serve.Config{
		Source:   what.file,
		Tree:     what.tree,
		Hashes:   serve.Hashes{Cache: indexCache(), Rehash: c.Rehash, SHA256: c.SHA256},
		Name:     what.name,
		Identity: identity, Machine: machine,
		Tokens: tokens,
		Conns:  conns,
		Reopen: at.reopen(c.openAgain),
		TCP: serve.TCP{
			Sockets: tcp, Congestion: c.control(t, tcp), HTTP: web,
			Reopen: at.reopenTCP(c.openTCPAgain),
		},
		Limit:   int64(c.Limit),
		Limits:  c.limits(limit),
		Granted: memory.grant,
		QLog:    qlog,
		Events:  events,
	})
	if err != nil {
		return err
	}
	show.Ask(server.Status)
	shown.Serve(server)
	end := service.begin(t, server, func(anew bool) error { return c.reload(t, args, running{server, show, memory}, anew) })
	err = server.Run(ctx)
	end()
	show.Ended()
	return err
}

// sockets opens those of the virtual servers, and says how HTTP is answered.
func (c *serveCmd) sockets(t *terminal, at where, show *view.Serve) (udp []net.PacketConn, tcp []net.Listener, web serve.HTTP, err error) {
	if web, err = c.http(show); err == nil {
		if udp, tcp = at.udp, at.tcp; len(udp) == 0 {
			udp, tcp, err = c.listen(t, at.ports)
		}
	}
	if err != nil {
		web.Close()
	}
	return udp, tcp, web, err
}

// show returns the view of the run.
func (c *serveCmd) show(t *terminal, what offered) *view.Serve {
	return view.NewServe(t.view(), view.Offer{
		File: what.shown, Bind: c.Bind, Advertise: c.Advertise, Token: len(c.Tokens) > 0, Interval: c.Interval.Duration(),
		Web: view.Web{HTTPS: c.HTTPS, Own: c.TLSCert == ""},
	})
}

// ports returns the ports to bind; 0 is any free one. It warns of a word that
// is not a port, and leaves it out.
func (c *serveCmd) ports(t *terminal) ([]uint16, error) {
	if n := c.Number; n != nil && (*n < 1 || *n > flags.MaxPorts) {
		return nil, usage(fmt.Sprintf("-n %d: from 1 to %s virtual servers are possible", *n, human.Comma(flags.MaxPorts)))
	}
	words, err := flags.ExpandPorts(c.Ports)
	if err != nil {
		return nil, &usageError{err}
	}
	if len(words) == 0 {
		n := defaultServers
		if c.Number != nil {
			n = *c.Number
		}
		return make([]uint16, n), nil
	}
	if c.Number != nil && *c.Number != len(words) {
		return nil, usage(fmt.Sprintf("-n %d asks for %s, but -p names %s",
			*c.Number, human.Plural(*c.Number, "server", "servers"), human.Plural(len(words), "port", "ports")))
	}
	var ports []uint16
	for _, w := range words {
		if w.Problem != "" {
			t.Warn("%s %s; left out", human.Quote(w.Word), w.Problem)
			continue
		}
		ports = append(ports, w.Port)
	}
	if len(ports) == 0 {
		return nil, usage("no word behind -p is a port")
	}
	return ports, nil
}

// A listenError says that no port could be bound.
type listenError struct{ ports int }

func (e *listenError) Error() string {
	return fmt.Sprintf("no port to listen on: none of %d could be bound", e.ports)
}

// listen opens a UDP socket for each port, and beside it a TCP socket on the
// same port number; nil: no TCP socket. It warns of those that cannot be bound.
func (c *serveCmd) listen(t *terminal, ports []uint16) (udp []net.PacketConn, tcp []net.Listener, err error) {
	failed, withoutTCP := make(map[string][]int), make(map[string][]int)
	for _, port := range ports {
		pc, err := c.open(port)
		if err != nil {
			failed[bindReason(err)] = append(failed[bindReason(err)], int(port))
			continue
		}
		udp = append(udp, pc)
		if c.NoTCP {
			continue
		}
		port = uint16(pc.LocalAddr().(*net.UDPAddr).Port)
		ln, err := c.openTCP(port)
		if err != nil {
			withoutTCP[bindReason(err)] = append(withoutTCP[bindReason(err)], int(port))
		}
		tcp = append(tcp, ln)
	}
	for _, why := range slices.Sorted(maps.Keys(failed)) {
		t.Warn("%s: %s", portNames(failed[why]), why)
	}
	if len(udp) == 0 {
		return nil, nil, &listenError{ports: len(ports)}
	}
	for _, why := range slices.Sorted(maps.Keys(withoutTCP)) {
		t.Warn("TCP %s: %s; clients reach it over UDP only", portNames(withoutTCP[why]), why)
	}
	return udp, tcp, nil
}

// openAgain opens the UDP socket at an address again, openTCPAgain that of TCP.
func (c *serveCmd) openAgain(a net.Addr) (net.PacketConn, error) { return c.open(addrOf(a).Port()) }

func (c *serveCmd) openTCPAgain(a net.Addr) (net.Listener, error) { return c.openTCP(addrOf(a).Port()) }

// open opens the UDP socket of a virtual server.
func (c *serveCmd) open(port uint16) (net.PacketConn, error) {
	return transport.ListenUDP(c.bind(), port)
}

// openTCP opens the TCP socket of a virtual server. The interface is nil after
// an error. control says, once, whether it got the congestion control.
func (c *serveCmd) openTCP(port uint16) (net.Listener, error) {
	ln, err := transport.OpenTCP(c.bind(), port)
	if err == nil && c.Congestion != "" {
		_ = transport.SetCongestion(ln, c.Congestion)
	}
	return ln, err
}

// bind returns the address to listen on; empty: all.
func (c *serveCmd) bind() string {
	if c.Bind.IsValid() {
		return c.Bind.String()
	}
	return ""
}

// portNames writes ports briefly; 0 is any free one.
func portNames(ports []int) string {
	if ports[0] == 0 {
		return "a free port"
	}
	return human.Ports(ports)
}

func bindReason(err error) string {
	switch {
	case transport.InUse(err):
		return "in use by another program"
	case errors.Is(err, fs.ErrPermission):
		return "no permission to listen on it (ports below 1024 need privileges)"
	}
	if e, ok := errors.AsType[*os.SyscallError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}

// indexCache is the cache for the hashes of large files; nil: there is no place
// for it.
func indexCache() *cache.Cache {
	dir, err := certs.CacheDir()
	if err != nil {
		return nil
	}
	return &cache.Cache{Dir: dir}
}

// identity returns the key that proves who serves, and the machine's secret
// stored beside it.
func (c *serveCmd) identity() (*certs.Identity, [32]byte, error) {
	if c.Identity != "" {
		id, err := certs.LoadOrCreateFile(string(c.Identity))
		if err != nil {
			return nil, [32]byte{}, err
		}
		return id, certs.LocalSecret(filepath.Dir(string(c.Identity))), nil
	}
	dir, err := certs.StateDir()
	if err != nil {
		return nil, [32]byte{}, &localfile.Error{Op: "find the home of the identity", Err: &noHomeError{err}}
	}
	id, err := certs.LoadOrCreate(dir)
	if err != nil {
		return nil, [32]byte{}, err
	}
	return id, certs.LocalSecret(dir), nil
}

// A noHomeError says that there is no place for the identity.
type noHomeError struct{ error }

func (e *noHomeError) Unwrap() error { return e.error }
