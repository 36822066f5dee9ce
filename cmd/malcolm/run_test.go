package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/alecthomas/kong"
)

// runHere runs a command line in this process.
func runHere(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), args, system{
		stdin: strings.NewReader(""), stdout: &out, stderr: &err,
		getenv: func(string) string { return "" },
	})
	return code, out.String(), err.String()
}

// TestRunWithoutCommand: some lines are answered without running a command.
func TestRunWithoutCommand(t *testing.T) {
	t.Setenv("MALCOLM_PORTS", "")
	tests := []struct {
		args           []string
		code           int
		stdout, stderr string // the beginning; empty: nothing
	}{
		{nil, exitDone, "Usage: malcolm <command>", ""},
		{[]string{"--help"}, exitDone, "Usage: malcolm <command>", ""},
		{[]string{"get", "--help"}, exitDone, "Usage: malcolm get", ""},
		{[]string{"--version"}, exitDone, "malcolm ", ""},
		{[]string{"gett"}, exitUsage, "", `malcolm: error: unexpected argument gett, did you mean "get"?`},
		{[]string{"serve"}, exitUsage, "", "malcolm: error: missing flags: --file=PATH"},
		{[]string{""}, exitUsage, "", "malcolm: error: "},
		{[]string{"get", "-c", "--color=never", "h:1"}, exitUsage, "", "malcolm: error: -c and --color=never"},
	}
	for _, test := range tests {
		code, stdout, stderr := runHere(t, test.args...)
		if code != test.code {
			t.Errorf("%q: exit code %d, want %d", test.args, code, test.code)
		}
		for _, s := range []struct{ name, got, want string }{{"stdout", stdout, test.stdout}, {"stderr", stderr, test.stderr}} {
			if !strings.HasPrefix(s.got, s.want) || s.want == "" && s.got != "" {
				t.Errorf("%q: %s begins %.80q, want %q", test.args, s.name, s.got, s.want)
			}
		}
	}
}

// TestUsageHintNamesTheCommand: the hint of a usage error leads to the help of
// the command that was meant.
func TestUsageHintNamesTheCommand(t *testing.T) {
	for args, want := range map[string]string{
		"serve --x": "malcolm serve --help", "get --x": "malcolm get --help", "demo --x": "malcolm demo --help", "trust list --x": "malcolm trust list --help",
		"--x": "malcolm --help", "nonsense": "malcolm --help",
	} {
		code, _, stderr := runHere(t, strings.Fields(args)...)
		if code != exitUsage || !strings.Contains(stderr, "malcolm: hint: "+want+" shows the flags") {
			t.Errorf("%s: exit code %d, stderr %q, want %d and a hint at %q", args, code, stderr, exitUsage, want)
		}
	}
}

func TestSplitShortValues(t *testing.T) {
	var c cli
	parser, err := kong.New(&c, kong.Vars{"version": ""})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ line, want string }{
		{"get -o=copy", "get --output=copy"},
		{"get -o=a=b -i=0.5", "get --output=a=b --interval=0.5"},
		{"get -o=", "get --output="},
		{"get -o copy -ocopy --output=x", "get -o copy -ocopy --output=x"},
		{"serve -f=x -n=2 -p=1", "serve --file=x --number=2 --port=1"},
		{"serve -o=copy", "serve -o=copy"}, // serve has no -o
		{"get -z=1", "get -z=1"},
		{"get -ro=x", "get -ro=x"},
		{"get -- -o=x", "get -- -o=x"},
		{"get -o=x -- -o=y", "get --output=x -- -o=y"},
		{"demo -f=x", "demo --file=x"},
	}
	for _, test := range tests {
		args := strings.Fields(test.line)
		before := slices.Clone(args)
		if got := splitShortValues(args, parser); !slices.Equal(got, strings.Fields(test.want)) {
			t.Errorf("%s: got %q, want %q", test.line, got, test.want)
		}
		if !slices.Equal(args, before) {
			t.Errorf("%s: the arguments were changed to %q", test.line, args)
		}
	}
}

func TestVersion(t *testing.T) {
	words := strings.Fields(version())
	if len(words) != 3 || words[0] != "malcolm" || !strings.HasPrefix(words[2], "go") {
		t.Errorf("got %q, want malcolm, a version and Go's", words)
	}
}

func TestUsageError(t *testing.T) {
	err := usage("wrong word")
	if _, ok := errors.AsType[*usageError](err); !ok || err.Error() != "wrong word" {
		t.Errorf("got %#v, want a usage error with its words", err)
	}
	inner := errors.New("inner")
	if err := error(&usageError{inner}); !errors.Is(err, inner) {
		t.Error("the cause is not found")
	}
}

// TestRunEndsWithItsSignal: the cause of the context's end decides the exit
// code.
func TestRunEndsWithItsSignal(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(&signalError{signal: 15})
	var stderr bytes.Buffer
	code := run(ctx, []string{"get", "-o", t.TempDir(), "127.0.0.1:9"}, system{
		stdout: io.Discard, stderr: &stderr, getenv: func(string) string { return "" },
	})
	if code != 143 {
		t.Errorf("exit code %d, want 143; stderr: %s", code, &stderr)
	}
}

// TestInterruptedWhileATokenIsTyped: after a signal nobody has to type on.
func TestInterruptedWhileATokenIsTyped(t *testing.T) {
	for _, command := range []string{"get", "serve"} {
		ctx, cancel := context.WithCancelCause(t.Context())
		typed, end := io.Pipe()
		defer end.Close()
		go func() {
			io.WriteString(end, "half of")
			cancel(&signalError{signal: syscall.SIGINT})
		}()
		args := map[string][]string{"get": {"get", "--token", "-", "127.0.0.1:9"}, "serve": {"serve", "--token", "-", "-f", os.Args[0]}}[command]
		t.Setenv("XDG_STATE_HOME", t.TempDir())
		var stderr bytes.Buffer
		code := run(ctx, args, system{stdin: typed, stdout: io.Discard, stderr: &stderr, getenv: timeless})
		if got, want := stderr.String(), "interrupted\n"; code != 130 || got != want {
			t.Errorf("%s: exit code %d, %q, want 130 and %q", command, code, got, want)
		}
	}
}

// timeless is an environment in which lines have no time.
func timeless(name string) string {
	if name == "MALCOLM_LOG_TIME" {
		return "never"
	}
	return ""
}
