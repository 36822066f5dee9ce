package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"malcolm/cmd/malcolm/flags"
	"malcolm/cmd/malcolm/human"
	"malcolm/cmd/malcolm/view"
	"malcolm/transfer/fetch"
	"malcolm/transfer/source/malcolm"
)

type getCmd struct {
	Targets []string `arg:"" optional:"" name:"target" help:"The same as -a: host:10001-10004 other:9000; or a ticket, as serve prints it."`

	Output     flags.Path `short:"o" default:"." placeholder:"DIR" help:"Directory to write into; it must exist. Default: here. With - the file goes to stdout, in order."`
	Window     flags.Size `default:"64M" placeholder:"SIZE" help:"With -o -: how much of the file waits in memory at most, or two chunks. Default ${default}."`
	RemoteTime bool       `short:"R" help:"Give the file the modification time that most servers name. A file that is there and right is left as it is."`
	DryRun     bool       `help:"Connect, vote, and say what would be fetched; write nothing."`
	Name       flags.Path `placeholder:"NAME" help:"Name to write instead of the one that the servers give."`
	Resume     bool       `short:"r" help:"Continue an unfinished download: keep what is right of it."`
	Force      bool       `help:"Start over, and replace a file that is there."`
	Limit      flags.Rate `placeholder:"RATE" help:"Bytes of the file a second, over all servers, such as 10M (powers of 1024); 0 is no limit."`
	MapFlags
	WriteFlags
	ServerFlags

	variables map[string]string // of the environment that were used, by the long names of flags
}

// uses tells the command which variables of the environment are its flags.
func (c *getCmd) uses(variables map[string]string) { c.variables = variables }

// MapFlags are the flags of every command that can show who delivered what.
type MapFlags struct {
	Map bool `help:"Show the file as a map, whose cells have the colours of the servers that delivered them."`
}

// WriteFlags are the flags of every command that writes a file.
type WriteFlags struct {
	Preallocate  string     `enum:"auto,none" default:"auto" placeholder:"HOW" help:"auto reserves the space for the whole file first, none leaves it sparse. Default ${default}."`
	NoSpaceCheck bool       `help:"Do not ask for free space first: for file systems that lie about it."`
	Recheck      bool       `help:"Read the whole file back from the disk before it gets its name."`
	Receipt      flags.Path `placeholder:"FILE" help:"Write there, at the end, who supplied what and who was refused: the last event of --json."`
	MaxSize      flags.Size `default:"16T" placeholder:"SIZE" help:"Refuse a file that is larger, such as 500M or 10G (powers of 1024). Default ${default}."`
}

// disk returns how the file of a query is written, and bounds its size.
func (f *WriteFlags) disk(q *query) fetch.Disk {
	q.ballot.MaxSize = int64(f.MaxSize)
	return fetch.Disk{
		SkipPreallocate: f.Preallocate == "none", SkipSpaceCheck: f.NoSpaceCheck, Recheck: f.Recheck, SHA256: q.sha256,
	}
}

// ServerFlags are the flags of every command that asks servers.
type ServerFlags struct {
	Addresses      flags.Addresses `name:"address" short:"a" placeholder:"HOST" help:"Host name or IP address; may be repeated, and may carry its own ports: host:10001-10004."`
	Ports          flags.PortWords `name:"port" short:"p" placeholder:"PORT..." help:"UDP ports of every address that has none of its own: 10001 10002, 10001,10002 or 10001-10004."`
	Checksum       *flags.Checksum `placeholder:"HEX" help:"The BLAKE3 that the file must have; decides by itself, the quorum is not asked. sha256:HEX is looked at once the file is there, and decides nothing before."`
	Quorum         int             `placeholder:"N" help:"At least N votes must agree: one a host, and one a server ID that is pinned."`
	ConnectTimeout flags.Timeout   `default:"5" placeholder:"SECONDS" help:"How long a server may take to answer. Default ${default}."`
	Patience       flags.Timeout   `default:"15m" placeholder:"TIME" help:"Give up after this long without progress: while a server is indexing or full, all servers are lost, or none sends. Default ${default}."`
	Connections    *int            `placeholder:"N" help:"Connections to each server, 1 to 64; default: one, and more on long paths while that makes the whole quicker."`
	IPv4           bool            `name:"ipv4" short:"4" xor:"family" help:"Use IPv4 only."`
	IPv6           bool            `name:"ipv6" short:"6" xor:"family" help:"Use IPv6 only."`
	Interface      netip.Addr      `placeholder:"ADDR" help:"Local address to send from."`
	AllAddresses   bool            `help:"Make a server of each address that a host name has; they share its vote."`
	TrustFlags
	QLogFlags
	Interval flags.Interval `short:"i" default:"1" placeholder:"SECONDS" help:"Time between status reports; 0 turns them off. Default ${default}."`
	OutputFlags
}

// query returns what the flags and the positional targets say, and warns of
// what in them is not used.
func (f *ServerFlags) query(positional []string, t *terminal) (q query, err error) {
	positional, pins, sum, err := takeTickets(positional)
	if err != nil {
		return q, err
	}
	targets, warnings, err := flags.Targets(f.Addresses, f.Ports, positional)
	if err != nil {
		return q, &usageError{err}
	}
	for _, w := range warnings {
		t.Warn("%s", w)
	}
	network := malcolm.SystemNetwork{Local: f.Interface}
	switch {
	case f.IPv4:
		network.Family = 4
	case f.IPv6:
		network.Family = 6
	}
	q.targets, q.all, q.interval = targets, f.AllAddresses, f.Interval.Duration()
	q.reach = malcolm.Config{Network: network, ConnectTimeout: f.ConnectTimeout.Duration()}
	q.servers.Patience, q.ballot.Quorum = f.Patience.Duration(), f.Quorum
	if n := f.Connections; n != nil {
		if *n < 1 || *n > 64 {
			return q, usage(fmt.Sprintf("--connections %d: from 1 to 64 are possible", *n))
		}
		q.servers.Connections = *n
	}
	if f.Checksum != nil && f.Checksum.SHA256 {
		q.sha256 = &f.Checksum.Sum
	} else if f.Checksum != nil {
		q.ballot.Checksum = &f.Checksum.Sum
	}
	if sum != nil {
		if q.ballot.Checksum != nil && *q.ballot.Checksum != *sum {
			return q, usage("--checksum and the ticket name different files")
		}
		q.ballot.Checksum = sum
	}
	if q.reach.QLog, err = t.openQLog(f.QLogFlags); err != nil {
		return q, err
	}
	if q.reach.Trust, err = f.trust(t); err != nil {
		return q, err
	}
	q.reach.Trust.Tickets = pins
	if err := checkTickets(q.reach.Trust.Pins, pins); err != nil {
		return q, err
	}
	return q, checkQuorum(q)
}

// checkQuorum refuses a quorum that no vote can reach.
func checkQuorum(q query) error {
	most := fetch.MostVotes(malcolm.Voters(q.reach.Trust, q.targets, q.all))
	switch {
	case q.ballot.Quorum < 0:
		return usage(fmt.Sprintf("--quorum %d: a number of votes is 1 or more", q.ballot.Quorum))
	case q.ballot.Quorum > most:
		return usage(fmt.Sprintf("--quorum %d: these servers have %s at most: one a host, and one a server ID that --pin names",
			q.ballot.Quorum, human.Plural(most, "vote", "votes")))
	}
	return nil
}

// Help is what kong prints behind the flags.
func (*getCmd) Help() string {
	return `Examples:
  malcolm get -o copy -a 127.0.0.1 -i 1 -r -p 10001 10002 10003 10004
  malcolm get host:10001-10004 other:9000
  malcolm get --quorum 2 --limit 10M -a host-a -a host-b -p 10001

The path of the finished file goes to stdout, everything else to stderr. ^C keeps what is there and prints the command that continues.`
}

func (c *getCmd) run(ctx context.Context, args []string, t *terminal) error {
	if c.Output == stdoutName {
		if err := c.checkStdout(t); err != nil {
			return err
		}
	}
	if c.DryRun && c.Receipt != "" {
		return usage("--receipt: with --dry-run nothing is done that there could be a receipt of")
	}
	if err := t.openReceipt(c.Receipt); err != nil {
		return err
	}
	q, err := c.query(c.Targets, t)
	if err != nil {
		return err
	}
	q.showMap = c.Map
	q.limit(c.Limit)
	out := fetch.Output{Dir: string(c.Output), Name: string(c.Name), Resume: c.Resume, Force: c.Force, Disk: c.disk(&q)}
	out.RemoteTime = c.RemoteTime
	if c.Name != "" {
		if err := fetch.CheckName(string(c.Name)); err != nil {
			return err
		}
	}
	if c.Output == stdoutName {
		return c.stream(ctx, t, q)
	}
	if c.DryRun {
		return plan(ctx, t, q, out)
	}
	return runGet(ctx, t, q, out, resumeCommand(args))
}

// plan says what a run of get would do.
func plan(ctx context.Context, t *terminal, q query, out fetch.Output) error {
	q.reach.Trust.ReadOnly = true
	show := view.NewGet(t.view(), q.run())
	p, err := session(ctx, q, show, func(s *fetch.Session) (*fetch.Plan, error) { return s.Plan(q.ballot, out) })
	t.ended(show, view.Outcome{Err: err}, "")
	if err != nil {
		return err
	}
	view.Plan(t, p)
	return nil
}

// runGet is the client as get and demo run it: it tells what happens, and
// writes the path of the finished file to stdout.
func runGet(ctx context.Context, t *terminal, q query, out fetch.Output, resume string) error {
	return watchRun(ctx, t, q, resume, func(s *fetch.Session) (*fetch.Result, error) { return s.Get(q.ballot, out) })
}

// watchRun lets do copy a file, and tells what happens.
func watchRun(ctx context.Context, t *terminal, q query, resume string, do func(*fetch.Session) (*fetch.Result, error)) error {
	show := view.NewGet(t.view(), q.run())
	result, err := session(ctx, q, show, do)
	if result == nil { // there was no session
		result = new(fetch.Result)
	}
	return t.ended(show, view.Outcome{Got: result, Err: err}, resume)
}

// resumeCommand is the command that continues what args began.
func resumeCommand(args []string) string {
	words := []string{"malcolm"}
	for i, a := range args {
		words = append(words, human.ShellQuote(a))
		if i == 0 && !slices.ContainsFunc(args, isResume) {
			words = append(words, "-r")
		}
	}
	return strings.Join(words, " ")
}

func isResume(arg string) bool { return arg == "-r" || arg == "--resume" }
