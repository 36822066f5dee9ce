package main

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"malcolm/cmd/malcolm/screen"
	"malcolm/cmd/malcolm/view"
	"malcolm/transfer/fetch"
	"malcolm/transfer/partfile"
	"malcolm/transfer/source"
)

func TestResumeCommand(t *testing.T) {
	tests := []struct {
		args []string
		want string
	}{
		{[]string{"get", "h:1"}, "malcolm get -r h:1"},
		{[]string{"get", "-r", "h:1"}, "malcolm get -r h:1"},
		{[]string{"get", "h:1", "--resume"}, "malcolm get h:1 --resume"},
		{[]string{"get", "-o", "my dir", "-a", "::1", "-p", "1", "2"}, "malcolm get -r -o 'my dir' -a ::1 -p 1 2"},
		{[]string{"get", "-o", "it's", "h:1"}, `malcolm get -r -o 'it'\''s' h:1`},
		{[]string{"get", "--name", "a\nb", "h:1"}, `malcolm get -r --name $'a\nb' h:1`},
		{[]string{"get", "--proxy=http://me:s@cret@proxy:1", "h:1"}, "malcolm get -r --proxy=http://me:PASSWORD@proxy:1 h:1"},
		{[]string{"get", "--force", "--", "h:1"}, "malcolm get -r --force -- h:1"},
	}
	for _, test := range tests {
		if got := resumeCommand(test.args); got != test.want {
			t.Errorf("%q: got %s, want %s", test.args, got, test.want)
		}
	}
}

// TestQuorumBounds: a quorum that no vote can reach is refused at once.
func TestQuorumBounds(t *testing.T) {
	t.Setenv("MALCOLM_PORTS", "")
	for _, quorum := range []string{"3", "1000", "-1"} {
		code, stdout, stderr := runHere(t, "get", "--quorum="+quorum, "127.0.0.1:1,2,3", "127.0.0.2:1")
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, "--quorum") {
			t.Errorf("%s of 2 hosts: exit code %d, stdout %q, stderr %q", quorum, code, stdout, stderr)
		}
	}
}

// TestEachAddressIsNamed: one host may be several servers; then their errors
// are not the run's.
func TestEachAddressIsNamed(t *testing.T) {
	for all, want := range map[bool]string{false: "", true: "malcolm: warning: 127.0.0.1:10001: odd\n"} {
		term, _, stderr := newTestTerminal(screen.ColorAuto)
		show := view.NewGet(term.view(), query{targets: []source.Target{{Host: "h", Port: 10001}}, all: all}.run())
		show.Event(fetch.NotReached{Target: here, Err: errors.New("odd")})
		if got := stderr.String(); got != want {
			t.Errorf("all addresses %t: got %q, want %q", all, got, want)
		}
	}
}

// TestEndOfARun: an error has its hint, then comes what is kept, then the
// command that continues. A signal is not an error, and a pipe that nobody
// reads gets nothing.
func TestEndOfARun(t *testing.T) {
	kept := &fetch.Result{Part: "my copy/data.part", Size: 4 << 20, Amounts: fetch.Amounts{Fetched: 1 << 20, Resumed: 1 << 20}}
	const keptLines = "kept 'my copy/data.part': 2.0 MiB of 4.0 MiB are good\nmalcolm: hint: to continue: malcolm get -r h:1\n"
	full := &partfile.Error{Op: "write", Name: "x", Err: syscall.ENOSPC}
	tests := []struct {
		name string
		err  error
		want string
		more int // hints beyond the error's own
	}{
		{"interrupted", &signalError{signal: syscall.SIGINT}, "interrupted\n" + keptLines, 1},
		{"full", full, "malcolm: error: " + full.Error() + "\nmalcolm: hint: " + diskHints[partfile.Full] + "\n" + keptLines, 1},
		{"refused", &fetch.TargetError{Path: "x", Part: partfile.PartSame, Hint: partfile.HintResume},
			"malcolm: error: \"x\" is an unfinished download\nmalcolm: hint: -r continues it; --force drops it and starts over\n", 0},
		{"unread", &pipeError{"stdout"}, "", 1},
	}
	for _, test := range tests {
		term, _, stderr := newTestTerminal(screen.ColorAuto)
		show := view.NewGet(term.view(), query{}.run())
		err := term.ended(show, view.Outcome{Got: kept, Err: test.err}, "malcolm get -r h:1")
		if got := stderr.String(); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.name, got, test.want)
		}
		told, ok := errors.AsType[*reportedError](err)
		if !ok || told.err != test.err || len(told.more) != test.more {
			t.Errorf("%s: got %#v, want that the error is told, and %d hints", test.name, err, test.more)
		}
	}
}
