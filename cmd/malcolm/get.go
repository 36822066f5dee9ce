package main

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"

	"malcolm/cmd/malcolm/flags"
	"malcolm/cmd/malcolm/human"
	"malcolm/cmd/malcolm/view"
	"malcolm/transfer/fetch"
	"malcolm/transfer/source"
	"malcolm/transfer/source/malcolm"
	"malcolm/transfer/source/srv"
)

type getCmd struct {
	Targets []string `arg:"" optional:"" name:"target" help:"The same as -a: host:10001-10004 other:9000; a mirror, https://host/data.bin; a Metalink, data.bin.meta4; a ticket, as serve prints it; srv:NAME, an SRV name of DNS; or @FILE, a file with one of these a line."`

	Output     flags.Path `short:"o" default:"." placeholder:"DIR" help:"Directory to write into. With a slash at the end it is made if nothing is there. Default: here. With - the file goes to stdout, in order."`
	Window     flags.Size `default:"64M" placeholder:"SIZE" help:"With -o -: bytes fetched ahead of the reader, in memory; at least two chunks. Default ${default}."`
	RemoteTime bool       `short:"R" help:"Set the modification time of the file, or of all in the directory, to the one that most servers name. A right file that is already there keeps its own."`
	DryRun     bool       `help:"Connect, vote, and say what would be fetched; write nothing."`
	NameFlags
	Limit flags.Rate `placeholder:"RATE" help:"Bytes of the file a second, over all servers, such as 10M (powers of 1024); 0 is no limit."`
	Sums  flags.Path `placeholder:"FILE" help:"At the end, write the checksums of all files to FILE, for b3sum --check in the output directory."`
	BatchFlags
	ChooseFlags
	ShowFlags
	WriteFlags
	ServerFlags

	settings map[string]setting // those used of the environment and of files, by the long names of flags
}

// uses gives the command the settings of its flags that are not from the
// command line.
func (c *getCmd) uses(s *settings) { c.settings = s.used }

// NameFlags are the flags about the file's name and a file that already has it.
type NameFlags struct {
	Name   flags.Path `placeholder:"NAME" help:"Name for the file, instead of the one that the servers give."`
	Resume bool       `short:"r" help:"Continue an unfinished download: keep its good chunks."`
	Force  bool       `help:"Start over, and replace a file that is there."`
}

// MapFlags are the flags of commands that can show who delivered what.
type MapFlags struct {
	Map bool `help:"Show the file as a map: each cell has the colour of the server that delivered it."`
}

// WriteFlags are the flags of commands that write a file.
type WriteFlags struct {
	Preallocate  string     `enum:"auto,none" default:"auto" placeholder:"HOW" help:"auto reserves the space for the whole file first, none leaves it sparse. Default ${default}."`
	NoSpaceCheck bool       `help:"Do not check for free space first: for file systems that report it wrongly."`
	Recheck      bool       `help:"Read the whole file back from the disk before it gets its name."`
	Receipt      flags.Path `placeholder:"FILE" help:"At the end, write to FILE who supplied what and who was refused: the last event of --json."`
	MaxSize      flags.Size `default:"16T" placeholder:"SIZE" help:"Refuse a file, or a directory's files together, larger than SIZE, such as 500M or 10G (powers of 1024). Default ${default}."`
}

// disk returns how a query's file is written, and sets its largest size.
func (f *WriteFlags) disk(q *query) fetch.Disk {
	q.ballot.MaxSize = int64(f.MaxSize)
	return fetch.Disk{
		SkipPreallocate: f.Preallocate == "none", SkipSpaceCheck: f.NoSpaceCheck, Recheck: f.Recheck, SHA256: q.sha256,
	}
}

// PathFlags say which ways to the servers may be used.
type PathFlags struct {
	IPv4         bool        `name:"ipv4" short:"4" xor:"family" help:"Use IPv4 only."`
	IPv6         bool        `name:"ipv6" short:"6" xor:"family" help:"Use IPv6 only."`
	Interface    netip.Addr  `placeholder:"ADDR" help:"Local address to send from."`
	AllAddresses bool        `help:"Use each address of a host name as a server. They share the host's vote."`
	Transport    string      `enum:"auto,quic,tcp" default:"auto" placeholder:"HOW" help:"auto tries QUIC, and TCP beside it when that does not answer at once; on quick networks TCP is tried as well, and used if it is faster. quic or tcp uses only that. Default ${default}."`
	ForgetPaths  bool        `help:"Use nothing that earlier runs found out about the ways to the servers, and remember nothing of this run."`
	Proxy        flags.Proxy `placeholder:"URL" help:"HTTP proxy for TCP, as http://HOST:PORT, also with USER:PASSWORD@; none turns it off. Default: HTTPS_PROXY, without the hosts of NO_PROXY."`
}

// network returns the network of these flags.
func (f *PathFlags) network() source.SystemNetwork {
	n := source.SystemNetwork{Local: f.Interface}
	switch {
	case f.IPv4:
		n.Family = 4
	case f.IPv6:
		n.Family = 6
	}
	return n
}

// ServerFlags are the flags of commands that ask servers.
type ServerFlags struct {
	Addresses      flags.Addresses `name:"address" short:"a" placeholder:"HOST" help:"Host name or IP address, also with its own ports: host:10001-10004. May be repeated."`
	Ports          flags.PortWords `name:"port" short:"p" placeholder:"PORT..." help:"Ports of all addresses without their own: 10001 10002, 10001,10002 or 10001-10004."`
	Checksum       *flags.Checksum `placeholder:"HEX" help:"The BLAKE3 that the file must have, or a directory's as tree:HEX. It decides alone, without a quorum. sha256:HEX is compared once the file is there, and decides nothing before."`
	Quorum         int             `placeholder:"N" help:"At least N votes must agree. Each host has one, and each pinned server ID."`
	ConnectTimeout flags.Timeout   `default:"5" placeholder:"SECONDS" help:"Time for a server to answer. Default ${default}."`
	Patience       flags.Timeout   `default:"15m" placeholder:"TIME" help:"Give up after this long without progress: while a server is indexing or full, all servers are lost, or none sends. Default ${default}."`
	Connections    *int            `placeholder:"N" help:"Connections to each server, 1 to 64. Default: one, and up to 48 on long paths that lose packets without congestion."`
	PathFlags
	TrustFlags
	MirrorFlags
	QLogFlags
	Interval flags.Interval `short:"i" default:"1" placeholder:"SECONDS" help:"Time between status reports; 0 turns them off. Default ${default}."`
	OutputFlags

	batch *reach // that the files of a batch share; nil: this is no such file
}

// query returns what the flags and the positional targets say. It warns of what
// it does not use.
func (f *ServerFlags) query(positional []string, t *terminal) (q query, err error) {
	positional, m, err := takeSourceFiles(positional, f, t)
	if err != nil {
		return q, err
	}
	positional, pins, sum, err := takeTickets(positional)
	if err != nil {
		return q, err
	}
	targets, warnings, err := flags.Targets(f.Addresses, f.Ports, positional)
	if err != nil {
		return q, &usageError{err}
	}
	if q.moving, err = f.move(m, targets); err != nil {
		return q, err
	}
	for _, w := range warnings {
		if f.batch.isNew(w) {
			t.Warn("%s", w)
		}
	}
	q.targets, q.all, q.interval, q.files = targets, f.AllAddresses, f.Interval.Duration(), t.flags.Verbose
	q.reach = malcolm.Config{
		Network: f.network(), ConnectTimeout: f.ConnectTimeout.Duration(),
		Transport: transports[f.Transport], Proxy: f.Proxy.Of(t.getenv),
	}
	q.servers.Patience, q.ballot.Quorum = f.Patience.Duration(), f.Quorum
	if n := f.Connections; n != nil {
		if *n < 1 || *n > 64 {
			return q, usage(fmt.Sprintf("--connections %d: from 1 to 64 are possible", *n))
		}
		q.servers.Connections = *n
	}
	if err := q.want(f.Checksum, sum); err != nil {
		return q, err
	}
	if err := f.open(&q, t); err != nil {
		return q, err
	}
	q.reach.Trust.Tickets, q.reach.Trust.Joining = pins, len(services(targets)) > 0
	if err := checkTickets(q.reach.Trust.Pins, pins); err != nil {
		return q, err
	}
	if q.supply, err = f.supply(&q, t); err != nil {
		return q, err
	}
	if f.batch == nil { // else it is shared, and no line names files
		q.supply.https.Again = again(q.moving)
	}
	return q, checkQuorum(q)
}

// move returns how the sources of a command may change while it runs; nil: they
// do not.
func (f *ServerFlags) move(m *moving, targets []source.Target) (*moving, error) {
	for _, t := range targets {
		if t.IsService() && t.Over() == source.TCP && transports[f.Transport] == source.QUIC {
			return nil, usage("--transport quic: " + t.String() + " is a name for TCP")
		}
	}
	if len(m.files) == 0 && len(services(targets)) == 0 {
		return nil, nil
	}
	if m.book = f.batch.knows(); m.book == nil {
		m.own = true
		m.book = srv.NewBook(srv.System(), askEvery, f.ConnectTimeout.Duration(), m.warn)
	}
	return m, nil
}

// open opens what is read and written beside the copy: the log of packets, the
// remembered servers, and the memory of the ways to them. The files of a batch
// share it.
func (f *ServerFlags) open(q *query, t *terminal) (err error) {
	if f.batch != nil {
		f.batch.lend(q)
		return nil
	}
	if q.reach.QLog, err = t.openQLog(f.QLogFlags); err != nil {
		return err
	}
	if q.reach.Trust, err = f.trust(t, slices.ContainsFunc(q.targets, source.Target.IsMirror)); err != nil {
		return err
	}
	if !f.ForgetPaths {
		q.remember(t)
	}
	return nil
}

// transports are the values of --transport.
var transports = map[string]source.Transport{"quic": source.QUIC, "tcp": source.TCP}

// checkQuorum refuses a quorum that no vote can reach.
func checkQuorum(q query) error {
	most := fetch.MostVotes(q.voters())
	switch {
	case q.ballot.Quorum < 0:
		return usage(fmt.Sprintf("--quorum %d: a number of votes is 1 or more", q.ballot.Quorum))
	case q.ballot.Quorum > most:
		return usage(fmt.Sprintf("--quorum %d: these servers have %s at most: one a host, and one a server ID that --pin names",
			q.ballot.Quorum, human.Plural(most, "vote", "votes")))
	}
	return nil
}

// Help is what kong prints after the flags.
func (*getCmd) Help() string {
	return `Examples:
  malcolm get -o copy -a 127.0.0.1 -i 1 -r -p 10001 10002 10003 10004
  malcolm get host:10001-10004 other:9000
  malcolm get --quorum 2 --include '*.jpg' -a host-a -a host-b -p 10001

The path of the finished file or directory goes to stdout, everything else to stderr. ^C keeps what is there and prints the command that continues.`
}

func (c *getCmd) run(ctx context.Context, args []string, t *terminal) error {
	if c.InputFile != "" {
		return c.runBatch(ctx, args, t)
	}
	if done, err := c.runMetalink(ctx, args, t); done {
		return err
	}
	if c.Output == stdoutName {
		if err := c.checkStdout(t); err != nil {
			return err
		}
	}
	if c.DryRun && c.Receipt != "" {
		return usage("--receipt: --dry-run does nothing, so there is no receipt")
	}
	if err := t.openReceipt(c.Receipt); err != nil {
		return err
	}
	if err := c.openSums(t); err != nil {
		return err
	}
	targets, described, err := takeMetalink(c.Targets, string(c.Name), t)
	if err != nil {
		return err
	}
	q, err := c.query(targets, t)
	if err != nil {
		return err
	}
	if q.ballot.Filter, err = c.filter(t); err != nil {
		return err
	}
	name, err := described.hold(&q, string(c.Name))
	if err != nil {
		return err
	}
	q.ballot.Each = c.Each
	q.provedAtEnd()
	q.showMap = c.Map
	if q.metrics, err = t.measure(ctx, c.MetricsFlags, "get", q.interval); err != nil {
		return err
	}
	q.limit(c.Limit)
	out := fetch.Output{Dir: string(c.Output), Name: name, Resume: c.Resume, Force: c.Force, Disk: c.disk(&q)}
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
	return runGet(ctx, t, q, out, resumeCommand(t.shown(args)))
}

// openSums checks that the file of checksums can be written.
func (c *getCmd) openSums(t *terminal) error {
	if c.Sums == "" {
		return nil
	}
	if c.DryRun {
		return usage("--sums: --dry-run copies nothing, so there are no checksums")
	}
	t.sums = &sumsFile{path: string(c.Sums), replace: c.Force}
	return t.sums.check()
}

// plan shows what a run of get would do.
func plan(ctx context.Context, t *terminal, q query, out fetch.Output) error {
	q.reach.Trust.ReadOnly = true
	show := view.NewGet(t.view(), q.run())
	p, err := session(ctx, q, show, func(s *fetch.Session) (*fetch.Plan, error) { return s.Plan(q.ballot, out) })
	t.ended(show, view.Outcome{Err: err}, "")
	if err != nil {
		return err
	}
	view.Plan(t, p)
	view.Entries(t, p.Tree.Entries)
	return nil
}

// runGet is the client of get and demo. It tells what happens and writes the
// path of the finished file to stdout.
func runGet(ctx context.Context, t *terminal, q query, out fetch.Output, resume string) error {
	if t.getenv("GOGC") == "" {
		defer debug.SetGCPercent(debug.SetGCPercent(getGCPercent))
	}
	return watchRun(ctx, t, q, resume, func(s *fetch.Session) (*fetch.Result, error) { return s.Get(q.ballot, out) })
}

// getGCPercent is how much memory may grow between two collections while a file
// is copied. With 100 a copy of 2 GB over QUIC needs 56 to 64 MiB, with 75 it
// needs 49 to 55 and no more of the processors.
const getGCPercent = 75

// watchRun runs do, which copies a file, and tells what happens.
func watchRun(ctx context.Context, t *terminal, q query, resume string, do func(*fetch.Session) (*fetch.Result, error)) error {
	show := view.NewGet(t.view(), q.run())
	result, err := session(ctx, q, show, do)
	if result == nil { // there was no session
		result = new(fetch.Result)
	}
	return t.ended(show, view.Outcome{Got: result, Err: err}, resume)
}

// resumeCommand is the command that continues args.
func resumeCommand(args []string) string {
	words := []string{"malcolm"}
	for i, a := range args {
		words = append(words, typed(a))
		if i == commandIndex(args) && !slices.ContainsFunc(args, isResume) {
			words = append(words, "-r")
		}
	}
	return strings.Join(words, " ")
}

// proxyPassword is the password in a proxy's address.
var proxyPassword = regexp.MustCompile(`(?i)(http://[^/@:\s]*:)\S*@`)

// typed returns an argument as it can be typed again, without a password.
func typed(arg string) string { return human.ShellQuote(withoutPassword(arg)) }

// withoutPassword replaces the password in each proxy's address.
func withoutPassword(text string) string {
	return proxyPassword.ReplaceAllString(text, "${1}PASSWORD@")
}

// urlQuery is the query of a mirror's address.
var urlQuery = regexp.MustCompile(`(?i)^((?:-a=?|--address=)?https?://[^?]*)\?.*$`)

// shown returns args as a command that continues may show them. The query of an
// address is often a signature: it opens the file to everybody who has it. It
// is shown on the terminal of the user who typed it, to be pasted there. A log
// or a pipe gets the command without it.
func (t *terminal) shown(args []string) []string {
	if t.screen != nil {
		return args
	}
	args = slices.Clone(args)
	for i := range args {
		args[i] = urlQuery.ReplaceAllString(args[i], "${1}?QUERY")
	}
	return args
}

func isResume(arg string) bool { return arg == "-r" || arg == "--resume" }
