// Command bench measures malcolm against its peers on this machine, in one run.
//
// # What is measured
//
// Every row copies the same random file over the loopback interface, and over a
// veth pair of MTU 1500 between two network namespaces that it makes and
// removes (Linux, root and iproute2). The file and its copy lie in memory
// (--dir, by default /dev/shm if it exists). A round runs every row once. Each
// round begins with another row, and no two rows run at once. A figure is the
// median of the rounds. A ratio is the median of the ratios of each round, with
// the least and the greatest of them. The table of targets gives the 95 %
// interval of the ratio instead; a target is reached if that interval reaches
// it.
//
// malcolm is the real program: `malcolm serve` and `malcolm get`, with all
// checks on. The servers are ready before the clock starts, and their index is
// in its cache. The clock runs from the start of the client's process to its
// end. The first copy of each row is compared with the source byte by byte.
//
//   - malcolm-N: N virtual servers of one process, over QUIC; malcolm-N-nogro
//     with MALCOLM_NO_GRO=1 (the client reads packets one by one),
//     malcolm-N-nojoin with MALCOLM_NO_JOIN=1 (the server sends quic-go's
//     bursts as they are); malcolm-N-tcp over TCP.
//   - quic-N: plain quic-go over N connections, each to a port of its own: four
//     streams a connection, one a range of 16 MiB, no hashing and no file.
//   - ceiling-N: what this machine carries of AES-128-GCM in UDP payloads of
//     1,452 bytes with GSO and GRO over N sockets, with a window of credit and
//     nothing else (Linux).
//   - curl, aria2, aria2-sha256: from nginx with TLS 1.3 and AES-128-GCM,
//     malcolm's cipher. aria2 has four URLs, one for each of its four ports,
//     and does not preallocate.
//   - mirrors: malcolm from those four URLs, checked by the file of values beside
//     the file.
//   - scp from an sshd of its own; rsync from its daemon, which does not
//     encrypt.
//
// # Columns
//
// CPU is user and system time of both sides together, in seconds for a GB (10^9
// bytes): the client's whole process, and the servers' processes while it ran.
// Memory is VmHWM, the most that was resident. Packets lost are those that a
// program itself reports in a line "packets lost: N" (quic-N counts what the
// sender found lost, ceiling-N the gaps that the receiver saw). For other
// programs they are the UDP datagrams that the kernel dropped on both sides,
// mostly for lack of a buffer. On the loopback interface these are those of the
// whole machine.
//
// Outside Linux only seconds and CPU are measured, and only for malcolm and
// quic-N.
//
// # More figures
//
//   - index: the speed at which serve hashes a file that it does not know.
//   - resume: the speed at which get checks an unfinished copy. The copy lacks
//     only its last chunk, which get fetches meanwhile.
//   - memory: what eight clients of four servers make serve hold.
//   - sparse: CPU for a GB of a large file against a small one. The files are
//     holes with a random MiB every 16. They are copied to files in memory and
//     to stdout, and compared with a file of zeros that one program writes.
//   - small: files of 1 MiB, one process after another.
//   - allocs: what get and serve allocate. The programs do not count that, so
//     this program's own processes call the same code in package transfer.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit codes.
const (
	exitDone        = 0
	exitUnexpected  = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// cli is the command line. The hidden commands are the other ends of
// measurements: this program starts itself with them, and a wide-area lab the
// flows.
type cli struct {
	Run runCmd `cmd:"" default:"withargs" help:"Measure (the default)."`

	PlainWrite   plainWriteCmd   `cmd:"" name:"plain-write" hidden:""`
	QUICServe    quicServeCmd    `cmd:"" name:"quic-serve" hidden:""`
	QUICGet      quicGetCmd      `cmd:"" name:"quic-get" hidden:""`
	UDPServe     udpServeCmd     `cmd:"" name:"udp-serve" hidden:""`
	UDPGet       udpGetCmd       `cmd:"" name:"udp-get" hidden:""`
	FlowsServe   flowsServeCmd   `cmd:"" name:"flows-serve" hidden:""`
	FlowsGet     flowsGetCmd     `cmd:"" name:"flows-get" hidden:""`
	MalcolmServe malcolmServeCmd `cmd:"" name:"malcolm-serve" hidden:""`
	MalcolmGet   malcolmGetCmd   `cmd:"" name:"malcolm-get" hidden:""`
}

// streams are where a command writes: out what was asked for, err the rest.
type streams struct{ out, err io.Writer }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), // but not of what nohup has ignored
		slices.DeleteFunc([]os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}, signal.Ignored)...)
	code := run(ctx, os.Args[1:], &streams{out: os.Stdout, err: os.Stderr})
	stop()
	os.Exit(code)
}

// run does what the command line says and returns the exit code.
func run(ctx context.Context, args []string, s *streams) int {
	command, code := parse(args, s)
	if command == nil {
		return code
	}
	command.BindTo(ctx, (*context.Context)(nil))
	command.Bind(s)
	err := command.Run()
	switch {
	case err == nil:
		return exitDone
	case ctx.Err() != nil:
		fmt.Fprintln(s.err, "bench: interrupted")
		return exitInterrupted
	}
	fmt.Fprintf(s.err, "bench: error: %v\n", err)
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	return exitUnexpected
}

// parse returns the command to run, or nil and the exit code.
func parse(args []string, s *streams) (*kong.Context, int) {
	exited := false
	parser, err := kong.New(new(cli),
		kong.Name("bench"),
		kong.Description("bench measures malcolm against its peers on this machine: a table to stdout, what it does to stderr."),
		kong.Writers(s.out, s.err),
		kong.Exit(func(int) { exited = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100, NoExpandSubcommands: true}),
	)
	if err != nil {
		fmt.Fprintf(s.err, "bench: error: %v\n", err)
		return nil, exitUnexpected
	}
	command, err := parser.Parse(args)
	switch {
	case exited:
		return nil, exitDone
	case err != nil:
		fmt.Fprintf(s.err, "bench: error: %v\n", err)
		return nil, exitUsage
	}
	return command, exitDone
}

// A usageError says that the command line is impossible.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }
