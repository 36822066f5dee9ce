package main

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"

	"malcolm/certs"
	"malcolm/cmd/malcolm/view"
	"malcolm/transfer/fetch"
	"malcolm/transfer/localfile"
	"malcolm/transfer/partfile"
	"malcolm/transfer/source"
	"malcolm/transfer/source/malcolm"
	"malcolm/transfer/vote"
)

// A hint says how to continue from what was fetched, and not how to end the
// same way.
func TestResumeHints(t *testing.T) {
	left := func(states ...fetch.State) error {
		e := &fetch.NoServerLeftError{Missing: 1}
		for _, s := range states {
			e.Servers = append(e.Servers, fetch.ServerReport{State: s})
		}
		return e
	}
	const command = "malcolm get -r h:1"
	for _, test := range []struct {
		name string
		err  error
		want string // empty: no hint
	}{
		{"interrupted", &signalError{}, "to continue: " + command},
		{"lost", left(fetch.StateLost, fetch.StateWrong), "to continue: " + command},
		{"wrong bytes", left(fetch.StateWrong), "add a server that has the right bytes, and continue: " + command},
		{"changed", left(fetch.StateChanged), "if a server still has that version, this continues: " + command + " --checksum ab" + strings.Repeat("0", 62)},
		{"a file appeared", &partfile.Error{Reason: partfile.Exists, Err: fs.ErrExist}, ""},
		{"not ours", &partfile.Error{Reason: partfile.Foreign, Err: fs.ErrExist}, ""},
		{"another SHA-256", &fetch.FinishedError{SHA256: new([32]byte)}, ""},
		{"refused", &fetch.TargetError{}, ""},
	} {
		o := view.Outcome{Got: &fetch.Result{Part: "x.part", Checksum: [32]byte{0xab}}, Err: test.err}
		if got := strings.Join(resumeHints(o, command), "\n"); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

// A directory's checksum is written as --checksum takes it.
func TestHintsOfTrees(t *testing.T) {
	dir := vote.Group{Tree: true, Checksum: [32]byte{0xab}}
	e := &fetch.UndecidedError{Result: vote.Result{Groups: []vote.Group{dir, {}}, Reason: vote.NoMajority}}
	zeros := strings.Repeat("0", 62)
	want := "nothing was written; --checksum chooses one of these: tree:ab" + zeros + " 00" + zeros
	if got := hints(e); !slices.Equal(got, []string{want}) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := e.Error(), "no majority: the servers do not agree on one file or directory"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	unfinished := partfile.Header{Chunks: 1, Size: 1, Checksum: dir.Checksum}
	there := &fetch.TargetError{Hint: partfile.HintForce, Unfinished: unfinished, Tree: true}
	if got := hints(there)[0]; !strings.HasPrefix(got, "-r --checksum tree:ab"+zeros+" finishes that version") {
		t.Errorf("got %q", got)
	}
	left := &fetch.NoServerLeftError{Missing: 1, Servers: []fetch.ServerReport{{State: fetch.StateChanged}}}
	o := view.Outcome{Got: &fetch.Result{Part: "x.part", Checksum: dir.Checksum, Tree: fetch.TreeReport{Voted: true}}, Err: left}
	if got := strings.Join(resumeHints(o, "malcolm get -r h:1"), "\n"); !strings.HasSuffix(got, " --checksum tree:ab"+zeros) {
		t.Errorf("got %q", got)
	}
}

// No hint names a flag that drops what was fetched, unless another way comes
// first.
func TestHintsLoseNothing(t *testing.T) {
	for _, hint := range []partfile.Hint{partfile.HintResume, partfile.HintCheck, partfile.HintForce, partfile.HintElsewhere, partfile.HintMoveAway, partfile.HintRepair, partfile.HintReplaced} {
		for _, final := range []partfile.FinalState{partfile.FinalNone, partfile.FinalUnread, partfile.FinalWrong} {
			list := hints(&fetch.TargetError{Hint: hint, Final: final, Part: partfile.PartOtherChecksum, Unfinished: partfile.Header{Size: 1}})
			if strings.HasPrefix(list[0], "--force") {
				t.Errorf("hint %d, final %d: %q", hint, final, list)
			}
			for _, h := range list {
				if strings.Contains(h, "--force") && !strings.Contains(h, "-r --force") && !strings.Contains(h, "drops it") {
					t.Errorf("hint %d, final %d: %q does not say what --force drops", hint, final, h)
				}
			}
		}
	}
}

func TestHints(t *testing.T) {
	target := func(hint partfile.Hint, final partfile.FinalState) error {
		return &fetch.TargetError{Hint: hint, Final: final}
	}
	nobody := func(errs ...error) error {
		e := new(fetch.NobodyAnsweredError)
		for _, err := range errs {
			e.Servers = append(e.Servers, fetch.ServerReport{Err: err})
		}
		return e
	}
	undecided := func(r vote.Reason) error {
		return &fetch.UndecidedError{Result: vote.Result{Reason: r, Groups: []vote.Group{{Checksum: [32]byte{0xab}}}}}
	}
	unresolved := &source.Fault{What: source.NoHost, Words: "host \"x\": no such host"}
	tests := []struct {
		name string
		err  error
		want string // a part of the only hint; empty: no hint
	}{
		{"resume", target(partfile.HintResume, partfile.FinalNone), "-r continues it"},
		{"check", target(partfile.HintCheck, partfile.FinalUnread), "-r accepts it"},
		{"force over a part", target(partfile.HintForce, partfile.FinalNone), "--force drops it and starts over"},
		{"force over a file", target(partfile.HintForce, partfile.FinalWrong), "malcolm repair '' HOST:PORT keeps what is right of it; -r --force replaces it"},
		{"repair, not ours", target(partfile.HintMoveAway, partfile.FinalNone), "move it away"},
		{"a directory is there", target(partfile.HintRepair, partfile.FinalWrong), "malcolm repair '' HOST:PORT brings it to what the servers have"},
		{"replaced before", target(partfile.HintReplaced, partfile.FinalWrong), "move it away"},
		{"more names", &fetch.LinksError{Path: "x", Links: 2}, "--split-links"},
		{"elsewhere", target(partfile.HintElsewhere, partfile.FinalOther), "-o DIR or --name NAME"},
		{"no hint", target(partfile.HintNone, partfile.FinalNone), ""},
		{"output is a file", &fetch.NotDirectoryError{Path: "x"}, "-o DIR --name FILE"},
		{"output is missing", &fetch.NotDirectoryError{Path: "my dir", Missing: true}, "-o 'my dir/'; to choose the file's name: -o DIR --name FILE"},
		{"offered name", &fetch.NameError{}, "--name NAME"},
		{"chosen name", &fetch.NameError{Chosen: true}, ""},
		{"pin of no server", &malcolm.PinError{Place: "h"}, "a pin without a host is for every server"},
		{"nobody", nobody(errors.New("refused")), "is malcolm serve running there"},
		{"nobody, some unresolved", nobody(unresolved, errors.New("refused")), "is malcolm serve running there"},
		{"nobody resolved", nobody(unresolved, unresolved), "check the spelling of the host"},
		{"tie", undecided(vote.NoMajority), "--checksum HEX chooses one of these files: ab00"},
		{"too few", undecided(vote.TooFewVotes), "lower --quorum"},
		{"checksum", undecided(vote.ChecksumNotOffered), "without --checksum the majority decides"},
		{"key file", &certs.KeyFileError{}, ""},
		{"damaged key file", &certs.KeyFileError{Err: errors.New("it is empty")}, ""},
		{"no permission for the key", &certs.KeyFileError{Err: syscall.EACCES}, "--identity FILE"},
		{"no directory for the key", &certs.KeyFileError{Err: &fs.PathError{Op: "mkdir", Path: "x", Err: syscall.ENOTDIR}}, "--identity FILE"},
		{"no home", &localfile.Error{Op: "find the home of the identity", Err: &noHomeError{errors.New("x")}}, "--identity FILE"},
		{"full", &partfile.Error{Op: "write", Err: syscall.ENOSPC}, "make room"},
		{"quota", &partfile.Error{Op: "write", Err: syscall.EDQUOT}, "quota"},
		{"too large", &partfile.Error{Op: "truncate", Err: syscall.EFBIG}, "no file of that size"},
		{"read-only", &partfile.Error{Op: "create", Err: syscall.EROFS}, "read-only"},
		{"failing", &partfile.Error{Op: "read", Err: syscall.EIO}, "the disk fails"},
		{"not allowed", &partfile.Error{Op: "rename", Err: syscall.EACCES}, "permissions"},
		{"emptied", &partfile.Error{Op: "keep", Reason: partfile.Changed, Err: errors.New("emptied")}, "another program"},
		{"moved", &partfile.Error{Op: "find", Reason: partfile.Changed, Err: errors.New("moved")}, ""},
		{"no space", &partfile.Error{Reason: partfile.NoSpace, Need: 3 << 20, Have: 1 << 20, Err: syscall.ENOSPC}, "free 2.0 MiB more"},
		{"part exists", &partfile.Error{Op: "create", Name: "x.part", Reason: partfile.Exists, Err: fs.ErrExist}, "-r continues"},
		{"file appears", &partfile.Error{Op: "rename", Name: "x", Reason: partfile.Exists, Err: fs.ErrExist}, "-r --force replaces what is there"},
		{"not ours", &partfile.Error{Op: "open", Name: "x.part.journal", Reason: partfile.Foreign, Err: errors.New("mine")}, "move it away"},
		{"cannot be replaced", &partfile.Error{Op: "replace", Name: "x", Err: syscall.EROFS}, "a copy of the file can be repaired"},
		{"repaired file changed", &partfile.Error{Op: "replace", Name: "x", Reason: partfile.Changed, Err: errors.New("changed")}, "run the same again"},
		{"no files", &partfile.Error{Op: "reserve", Reason: partfile.NoFiles, Err: syscall.ENOSPC}, "no room for more files"},
		{"unfit", &partfile.Error{Op: "make", Reason: partfile.Unfit, Err: errors.New("one name")}, "another file system"},
		{"replaced meanwhile", &partfile.Error{Op: "replace", Name: "x.replaced", Reason: partfile.Exists, Err: fs.ErrExist}, "move it away"},
		{"no directory", &partfile.Error{Reason: partfile.NotDirectory, Err: errors.New("a file")}, "writes elsewhere"},
		{"locked", &partfile.Error{Reason: partfile.Locked, Err: errors.New("in use")}, "another malcolm get"},
		{"not regular", &partfile.Error{Reason: partfile.NotRegular, Err: errors.New("a directory")}, "writes elsewhere"},
		{"disk", &partfile.Error{Err: syscall.ENOSPC}, "make room"},
		{"permission", &partfile.Error{Err: fs.ErrPermission}, "check the permissions"},
		{"open", &localfile.Error{Op: "open", Path: "x", Err: fs.ErrNotExist}, "check the path"},
		{"serve", &localfile.Error{Op: "serve", Path: "x", Err: errors.New("is a directory")}, ""},
		{"odd", errors.New("odd"), ""},
	}
	for _, test := range tests {
		got := hints(test.err)
		if test.want == "" {
			if len(got) > 0 {
				t.Errorf("%s: got %q, want none", test.name, got)
			}
			continue
		}
		if len(got) != 1 || !strings.Contains(got[0], test.want) {
			t.Errorf("%s: got %q, want one with %q", test.name, got, test.want)
		}
	}
}

func TestChecksums(t *testing.T) {
	var groups []vote.Group
	for i := range 5 {
		groups = append(groups, vote.Group{Checksum: [32]byte{31: byte(i)}})
	}
	words := strings.Fields(checksums(groups))
	if len(words) != 3 || slices.ContainsFunc(words, func(w string) bool { return len(w) != 64 }) {
		t.Errorf("got %q, want the first three, each of 64 digits", words)
	}
	if got := checksums(nil); got != "" {
		t.Errorf("of no group: %q, want nothing", got)
	}
}
