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
	"strconv"
	"strings"
	"time"

	"malcolm/certs"
	"malcolm/cmd/malcolm/flags"
	"malcolm/cmd/malcolm/human"
	"malcolm/transfer"
	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
	"malcolm/transport"
)

// defaultServers is how many virtual servers there are when nothing says.
const defaultServers = 4

type serveCmd struct {
	File     flags.Path      `short:"f" required:"" placeholder:"PATH" help:"The file to offer: a readable regular file."`
	Rehash   bool            `help:"Hash the file although its hashes were kept: for disks that may have lost bits."`
	Number   *int            `short:"n" placeholder:"N" help:"How many virtual servers; default: as many as ports, else 4."`
	Ports    flags.PortWords `name:"port" short:"p" placeholder:"PORT..." help:"UDP ports: 10001 10002, 10001,10002 or 10001-10004; default: free ones, which are printed."`
	Interval flags.Interval  `short:"i" default:"1" placeholder:"SECONDS" help:"Time between status reports; 0 turns them off. Default ${default}."`
	OutputFlags
	Bind      netip.Addr   `placeholder:"ADDR" help:"Address to listen on; default: all, IPv4 and IPv6."`
	Advertise string       `placeholder:"HOST" help:"Host to show in the command to paste."`
	Identity  flags.Path   `placeholder:"FILE" help:"The key that proves who serves; made when there is none. Default: identity.pem in the user's state directory."`
	Token     *flags.Token `placeholder:"WHERE" help:"A secret that clients must hold: @FILE, env:NAME, - for standard input, or new:FILE, which makes one."`
	Limit     flags.Rate   `placeholder:"RATE" help:"Bytes a second that all servers together send, such as 10M or 1.5G (powers of 1024); 0 is no limit."`
	LimitFlags
	QLogFlags
}

// Help is what kong prints behind the flags.
func (*serveCmd) Help() string {
	return `Examples:
  malcolm serve -f data.mp4
  malcolm serve -f data.mp4 -n 4 -i 1 -p 10001 10002 10003 10004
  malcolm serve -f data.mp4 -p 10001-10004 --bind 192.168.1.5 --limit 10M

Anyone who can reach the ports can read the file. ^C stops: transfers under way have 5 seconds to finish; a second ^C stops at once.`
}

func (c *serveCmd) run(ctx context.Context, _ []string, t *terminal) error {
	ports, err := c.ports(t)
	if err != nil {
		return err
	}
	source, err := localfile.Offer(string(c.File))
	if err != nil {
		return err
	}
	size, err := sizeOf(source)
	if err != nil {
		return err
	}
	identity, machine, err := c.identity()
	if err != nil {
		return err
	}
	token, err := t.readToken(c.Token)
	if err != nil {
		return err
	}
	qlog, err := t.openQLog(c.QLogFlags)
	if err != nil {
		return err
	}
	conns, err := c.listen(t, ports)
	if err != nil {
		return err
	}
	name := filepath.Base(string(c.File))
	view := &serveView{terminal: t, file: string(c.File), name: name, host: c.host(), token: c.Token, interval: c.Interval.Duration()}
	watchers := t.watchServe(view)
	memory, _ := transfer.MemoryLimit()
	err = transfer.Serve(ctx, transfer.ServeConfig{
		Source:   source,
		Cache:    indexCache(),
		Rehash:   c.Rehash,
		Name:     name,
		Identity: identity,
		Machine:  machine,
		Token:    token,
		Conns:    conns,
		Reopen:   func(a net.Addr) (net.PacketConn, error) { return c.open(uint16(a.(*net.UDPAddr).Port)) },
		Limit:    int64(c.Limit),
		Limits:   c.limits(memory),
		Granted:  keepMemory(size),
		QLog:     qlog,
		Interval: t.pace(c.Interval.Duration()),
		Events:   watchers.event,
	})
	watchers.ended(err)
	return err
}

// sizeOf returns the size in bytes of a file that can be opened.
func sizeOf(source localfile.Source) (int64, error) {
	file, err := source.Open()
	if err != nil {
		return 0, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// ports returns the ports to bind, 0 for any free one. A word that is no port
// is warned of and left out.
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
		return nil, usage("none of the words behind -p is a port")
	}
	return ports, nil
}

// A listenError says that no port could be listened on.
type listenError struct{ ports int }

func (e *listenError) Error() string {
	return fmt.Sprintf("no port to listen on: none of %d could be bound", e.ports)
}

// listen opens a socket for each port; one that cannot be bound is warned of.
func (c *serveCmd) listen(t *terminal, ports []uint16) ([]net.PacketConn, error) {
	var conns []net.PacketConn
	failed := make(map[string][]int)
	for _, port := range ports {
		pc, err := c.open(port)
		if err != nil {
			failed[bindReason(err)] = append(failed[bindReason(err)], int(port))
			continue
		}
		conns = append(conns, pc)
	}
	for _, why := range slices.Sorted(maps.Keys(failed)) {
		t.Warn("%s: %s", portNames(failed[why]), why)
	}
	if len(conns) == 0 {
		return nil, &listenError{ports: len(ports)}
	}
	return conns, nil
}

// open opens the socket of a virtual server.
func (c *serveCmd) open(port uint16) (net.PacketConn, error) {
	var bind string
	if c.Bind.IsValid() {
		bind = c.Bind.String()
	}
	return transport.ListenUDP(bind, port)
}

// portNames writes ports briefly; 0 stands for any free one.
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

// damaged says what a look at the own file has found.
func damaged(name string, e transfer.Damaged) string {
	what := "gives other bytes than were hashed, though the file was not changed"
	if e.Err != nil {
		what = "cannot be read: " + reason(e.Err)
	}
	return fmt.Sprintf("%s is damaged: chunk %d (%d bytes from byte %d) %s; the disk may be failing, hashing the file again",
		human.ShellQuote(name), e.Chunk, e.Length, e.Offset, what)
}

// indexCache is where the hashes of large files are kept; nil where there is no
// place for it.
func indexCache() *manifest.Cache {
	dir, err := manifest.CacheDir()
	if err != nil {
		return nil
	}
	return &manifest.Cache{Dir: dir}
}

// identity returns who serves, and the secret of the machine that lies beside.
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

// A serveView tells a person what Serve does.
type serveView struct {
	*terminal
	file     string
	name     string
	host     advertised
	interval time.Duration
	token    *flags.Token // nil: none is needed

	silent bool // no lines at intervals
	ready  bool // the greeting has been said
	last   transfer.Status
	before time.Time
}

func (v *serveView) event(e transfer.ServeEvent) {
	switch e := e.(type) {
	case transfer.Listening:
		v.Say("listening on UDP %s; hashing %s", portList(e.Addrs), human.ShellQuote(v.name))
	case transfer.Ready:
		v.greet(e)
	case transfer.Status:
		if v.interval > 0 && !v.silent {
			v.status(e, time.Now())
		}
	case transfer.Unsteady:
		v.Warn("%s changed while it was hashed: hashing it again in %s", human.ShellQuote(v.name), e.Pause)
	case transfer.UnstableNumbers:
		v.Warn("the file system of %s gives it another inode number at each look: only size and times are looked at from now on", human.ShellQuote(v.name))
	case transfer.Damaged:
		v.Warn("%s", damaged(v.name, e))
	case transfer.Unreadable:
		v.Warn("%s is not offered any more: %s; looking again, at least every 5 minutes", human.ShellQuote(v.name), reason(e.Err))
	case transfer.CacheFailed:
		v.Warn("the index is not kept for the next time: %s", reason(e.Err))
	case transfer.SmallBuffers:
		v.Warn("%s", smallBuffers(e))
	case transfer.ServerFailed:
		v.Warn("%s: its socket failed: %s; opening it again", portOf(e.Addr), reason(e.Err))
	case transfer.ServerReopened:
		v.Say("%s: listening again", portOf(e.Addr))
	case transfer.Panicked:
		v.Warn("internal error: %s; the connection of %s is closed, the others go on; MALCOLM_DEBUG=1 shows where", e.Value, e.Client)
		if v.debug {
			v.Say("%q", e.Stack)
		}
	case transfer.Stopping:
		if e.Ranges > 0 {
			v.Say("stopping: %s may finish within 5 seconds; ^C again stops at once", human.Plural(e.Ranges, "request", "requests"))
		}
	case transfer.Stopped:
		v.Say("stopped")
	}
}

// ended has nothing to say: finish tells of the error.
func (v *serveView) ended(error) {}

// greet says what is offered and how to get it.
func (v *serveView) greet(e transfer.Ready) {
	v.Say("%s: %s, BLAKE3 %s", v.Bold(human.ShellQuote(e.Name)), human.Bytes(e.Size), human.Hex(e.Checksum))
	if v.ready {
		v.Say("the file has changed: this version is offered from now on")
		return
	}
	v.ready = true
	if e.Offered == "" {
		v.Warn("the name is over 230 bytes or not UTF-8 and is not offered: clients must choose one with --name")
	}
	v.Say("server ID %s", e.ID)
	v.Say("to copy it: %s", v.Green(v.pasteable(e.Addrs)))
	if ticket := ticketOf(e, v.host); ticket != "" {
		v.Say("or, with nothing left to trust: %s", v.Green("malcolm get "+v.tokenFlag()+human.ShellQuote(ticket)))
	}
	if v.host.linkLocal {
		v.Say("%s stands for the network interface of the machine that copies, such as eth0", anyInterface)
	}
	if !v.host.reachable {
		v.Say("that works only on this machine; --advertise HOST names another address")
	}
	if v.token == nil {
		v.Say("anyone who can reach these ports can read %s", human.ShellQuote(e.Name))
	} else {
		v.Say("only who holds the token can read %s", human.ShellQuote(e.Name))
	}
}

// pasteable is the command that gets the file. Its directory is never the one
// that the file lies in.
func (v *serveView) pasteable(addrs []net.Addr) string {
	dir := "copy"
	if served, err := filepath.Abs(v.file); err == nil {
		if copied, err := filepath.Abs(dir); err == nil && filepath.Dir(served) == copied {
			dir = "copy2"
		}
	}
	return fmt.Sprintf("mkdir -p %s && malcolm get %s-o %s -a %s -r -p %s", dir, v.tokenFlag(), dir, human.ShellQuote(v.host.host), portWords(addrs))
}

// tokenFlag is what clients have to add for the token, and a space. It never has
// the token itself: who is to have it gets it by another way.
func (v *serveView) tokenFlag() string {
	if v.token == nil {
		return ""
	}
	return "--token @FILE "
}

// portWords writes ports as -p takes them, runs as ranges.
func portWords(addrs []net.Addr) string {
	var ports []int
	for _, a := range addrs {
		ports = append(ports, a.(*net.UDPAddr).Port)
	}
	return strings.Join(human.PortRanges(ports), " ")
}

func portList(addrs []net.Addr) string {
	words := make([]string, len(addrs))
	for i, a := range addrs {
		words[i] = portOf(a)
	}
	return strings.Join(words, " ")
}

func portOf(a net.Addr) string { return strconv.Itoa(a.(*net.UDPAddr).Port) }

// status writes a line for each virtual server whose numbers changed, and one
// for the total.
func (v *serveView) status(s transfer.Status, now time.Time) {
	seconds := now.Sub(v.before).Seconds()
	var clients, ranges, changed int
	var sent, sentBefore int64
	for i, vs := range s.Servers {
		var last transfer.VirtualStatus
		if i < len(v.last.Servers) {
			last = v.last.Servers[i]
		}
		clients, ranges, sent, sentBefore = clients+vs.Clients, ranges+vs.Ranges, sent+vs.Sent, sentBefore+last.Sent
		if last.Addr != nil && vs == last {
			continue
		}
		changed++
		v.Report("%5s  %-9s  %s  %s  %9s sent  %12s", portOf(vs.Addr), vs.State,
			countOf(vs.Clients, "client"), countOf(vs.Ranges, "range"), human.Bytes(vs.Sent),
			human.Rate(float64(vs.Sent-last.Sent)/seconds))
	}
	if !s.Indexed && s.Indexing.Done != v.last.Indexing.Done {
		changed++
		v.Report("hashing %s of %s, %s", human.Bytes(s.Indexing.Done), human.Bytes(s.Indexing.Total), human.Percent(s.Indexing.Done, s.Indexing.Total))
	}
	if changed > 0 {
		v.Report("total  %-9s  %s  %s  %9s sent  %12s", "", countOf(clients, "client"), countOf(ranges, "range"),
			human.Bytes(sent), human.Rate(float64(sent-sentBefore)/seconds))
	}
	v.last, v.before = s, now
}

// countOf writes a number and what is counted, in a column.
func countOf(n int, noun string) string {
	return fmt.Sprintf("%-10s", human.Plural(n, noun, noun+"s"))
}
