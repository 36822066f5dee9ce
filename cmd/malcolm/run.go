package main

import (
	"context"
	"errors"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"malcolm/cmd/malcolm/config"
	"malcolm/cmd/malcolm/flags"
	"malcolm/cmd/malcolm/screen"
)

// system is the world around a run.
type system struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	will           *screen.LastWill // nil: nobody asks for it
	abort          func(error)      // ends the run; nil: nothing does
	quit           <-chan struct{}  // closed when the run has to end; nil: never
	cause          func() error     // why it has to end
	exit           func(code int)   // ends the process; nil: nothing does
	wait           time.Duration    // longest wait of a line for its reader; 0: a short default
	configs        []config.Place   // where config files may be, the strongest first
}

// A command runs one of the subcommands. args are the words after the program's
// name, as typed.
type command interface {
	run(ctx context.Context, args []string, t *terminal) error
	// mode says how to use the terminal; the error is one of usage.
	mode() (screen.ColorMode, error)
}

const description = `malcolm copies one file from several servers at once, over encrypted QUIC or TCP, and proves chunk by chunk that what arrived is what most of them hold.

Examples:
  malcolm demo
  malcolm serve -f data.mp4 -n 4 -p 10001 10002 10003 10004
  malcolm get -o copy -a 127.0.0.1 -r -p 10001 10002 10003 10004
  malcolm get -o copy 10.0.0.5:10001-10004 10.0.0.7:9000

Exit codes: 0 done, 1 unexpected, 2 usage, 3 wrong bytes, 4 no majority, 5 identity refused, 6 local file, 7 network, 8 the source changed, 129/130/143 ended by a signal.`

type cli struct {
	Serve  serveCmd  `cmd:"" help:"Offer a file on several virtual servers."`
	Get    getCmd    `cmd:"" help:"Copy a file or directory from several servers at once."`
	Info   infoCmd   `cmd:"" help:"Show what servers offer and how they vote; fetch nothing."`
	Verify verifyCmd `cmd:"" help:"Check a local file or directory against what most servers hold."`
	Repair repairCmd `cmd:"" help:"Mend a local file or directory: fetch only what differs."`
	Index  indexCmd  `cmd:"" help:"Write beside a file or directory what it holds, so that any copy can be checked."`
	Link   linkCmd   `cmd:"" help:"Print a signed address of what serve offers, for browsers and curl."`
	Trust  trustCmd  `cmd:"" help:"Show or forget remembered servers."`
	Demo   demoCmd   `cmd:"" help:"Show the main job on this machine: five servers, one liar, one that dies."`

	Topics     helpCmd       `cmd:"" name:"help" help:"Print the help of a command, or a topic of the manual."`
	Settings   configCmd     `cmd:"" name:"config" help:"Show what the environment and the config files set."`
	Completion completionCmd `cmd:"" help:"Print what a shell needs to complete malcolm's command lines."`
	Build      versionCmd    `cmd:"" name:"version" help:"Show what was built: version, revision, Go, modules."`
	Man        manCmd        `cmd:"" hidden:"" help:"Write the man pages."`

	ProgramFlags
}

// ProgramFlags are the flags of every command.
type ProgramFlags struct {
	Config  flags.Path       `placeholder:"FILE" help:"Read FILE instead of config.toml in the user's configuration directory and in /etc/malcolm."`
	Version kong.VersionFlag `help:"Print the version and exit."`
}

// run does what the command line says and returns the exit code. Only one call
// may be under way.
func run(ctx context.Context, args []string, sys system) int {
	quietQUIC()
	ctx, abort := context.WithCancelCause(ctx)
	defer abort(nil)
	sys.abort, sys.quit, sys.cause = abort, ctx.Done(), func() error { return context.Cause(ctx) }
	t := newTerminal(sys, screen.ColorAuto)
	if sys.exit != nil {
		defer t.watchEnd(ctx, args, sys.exit)()
	}
	err := t.carryOut(ctx, args, sys)
	stopped := ctx.Err() != nil
	delivered := t.flush()
	cause := context.Cause(ctx)
	if err == nil && isOutputError(cause) {
		err = cause
	}
	code := t.finish(err)
	t.metrics.Close(code)
	delivered = t.flush() && delivered
	cause = context.Cause(ctx)
	if isPipe(cause) || !stopped && !delivered && cause != nil {
		return exitCode(cause)
	}
	return code
}

// carryOut runs the command that args name.
func (t *terminal) carryOut(ctx context.Context, args []string, sys system) error {
	t.use(askedFor(args, sys.getenv), false)
	cmd, err := parse(args, sys, t)
	if cmd == nil {
		return err
	}
	color, err := cmd.mode()
	if err != nil {
		return &usageError{err}
	}
	t.color(color, sys)
	if o, ok := cmd.(interface{ output() OutputFlags }); ok {
		t.use(o.output(), o.output().isTimed(cmd, sys))
	}
	return cmd.run(ctx, args, t)
}

// quietQUIC keeps quic-go from writing to the terminal. Malcolm itself says the
// one thing it would say, about socket buffers.
func quietQUIC() { os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true") }

// parse returns the command; nil: there is nothing to run, because of a usage
// error, or since help or the version have been printed.
func parse(args []string, sys system, t *terminal) (command, error) {
	cmd, advice, err := parseLine(args, newSettings(sys.getenv, sys.configs), t.stdout, t.stderr)
	if err != nil && advice != "" {
		t.fail(err)
		t.Hint(advice)
		return nil, &reportedError{err: &usageError{err}, more: []string{advice}}
	}
	return cmd, err
}

// reread parses the command line again, with the present environment and config
// files, and writes nothing.
func (t *terminal) reread(args []string) (command, error) {
	cmd, _, err := parseLine(args, newSettings(t.getenv, t.configs), io.Discard, io.Discard)
	if err != nil {
		return nil, &usageError{err}
	}
	return cmd, nil
}

// parseLine returns the command of a command line; nil: help or the version
// have been written. hint belongs to an error of the line.
func parseLine(args []string, s *settings, stdout, stderr io.Writer) (cmd command, hint string, err error) {
	exited := false
	parser, err := newParser(new(cli),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { exited = true }),
		kong.Resolvers(s),
		kong.WithBeforeResolve(s.load),
	)
	if err != nil {
		return nil, "", err
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	k, err := parser.Parse(splitShortValues(args, parser))
	if exited {
		return nil, "", nil
	}
	if err == nil {
		err = s.targets(k)
	}
	if err != nil {
		if s.err != nil {
			return nil, configHint(s.err, meant(parser, err)), s.err
		}
		return nil, helpHint(meant(parser, err)), err
	}
	cmd = k.Selected().Target.Addr().Interface().(command)
	if c, ok := cmd.(interface{ uses(*settings) }); ok {
		c.uses(s)
	}
	return cmd, "", nil
}

func helpHint(command *kong.Node) string {
	return command.FullPath() + " --help shows the flags, with examples"
}

// configHint is the hint for an error of the settings.
func configHint(err error, command *kong.Node) string {
	if _, ok := errors.AsType[*config.Error](err); ok {
		return "malcolm config --config FILE shows what another file sets; " + os.DevNull + " is an empty one"
	}
	return helpHint(command)
}

// meant returns the command that a wrong line names, or the program.
func meant(parser *kong.Kong, err error) *kong.Node {
	if e, ok := errors.AsType[*kong.ParseError](err); ok {
		if node := e.Context.Selected(); node != nil {
			return node
		}
	}
	return parser.Model.Node
}

var shortValue = regexp.MustCompile(`^-([A-Za-z])=(.*)$`)

// splitShortValues rewrites -o=DIR as --output=DIR: the parser would take the
// equals sign as part of the value.
func splitShortValues(args []string, parser *kong.Kong) []string {
	long := make(map[string]string)
	for _, node := range parser.Model.Children {
		for _, f := range node.Flags {
			if f.Short != 0 {
				long[node.Name+string(f.Short)] = f.Name
			}
		}
	}
	out := make([]string, len(args))
	word := args[commandIndex(args)]
	for i, a := range args {
		if a == "--" {
			copy(out[i:], args[i:])
			break
		}
		out[i] = a
		if m := shortValue.FindStringSubmatch(a); m != nil && long[word+m[1]] != "" {
			out[i] = "--" + long[word+m[1]] + "=" + m[2]
		}
	}
	return out
}

// commandIndex returns the place of the command among args, which have one:
// behind --config FILE, or first.
func commandIndex(args []string) int {
	switch {
	case args[0] == "--config" && len(args) > 2:
		return 2
	case strings.HasPrefix(args[0], "--config=") && len(args) > 1:
		return 1
	}
	return 0
}

// A usageError says that the command line cannot be carried out.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }

func (e *usageError) Unwrap() error { return e.err }

func usage(text string) error { return &usageError{errors.New(text)} }
