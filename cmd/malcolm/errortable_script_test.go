package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"malcolm/cmd/malcolm/screen"
	"malcolm/cmd/malcolm/view/schema"
)

// overheardVar names the directory where every malcolm of a script leaves a
// copy of its output: NAME.err, and NAME.json with --json.
const overheardVar = "MALCOLM_TEST_OVERHEARD"

// systemConfigVar names the config file of all users in a script.
const systemConfigVar = "MALCOLM_TEST_SYSTEM_CONFIG"

// overheard is main, with a copy of its output. A terminal stays a terminal.
func overheard() {
	if path := os.Getenv(systemConfigVar); path != "" {
		systemConfig = path
	}
	hearNames()
	dir := os.Getenv(overheardVar)
	if dir == "" || screen.IsTerminal(os.Stderr) {
		main()
		return
	}
	stderr, err := os.CreateTemp(dir, "*.err")
	if err != nil {
		panic(err)
	}
	var stdout io.Writer = os.Stdout
	if slices.Contains(os.Args, "--json") {
		copied, err := os.Create(strings.TrimSuffix(stderr.Name(), ".err") + ".json")
		if err != nil {
			panic(err)
		}
		args, _ := json.Marshal(os.Args[1:])
		copied.Write(append(args, '\n'))
		stdout = copier{os.Stdout, copied}
	}
	start(stdout, io.MultiWriter(os.Stderr, stderr))
}

// nobodyRead is the last line of a copy whose stdout nobody read to its end.
const nobodyRead = "nobody read the rest"

// A copier writes, and keeps a copy.
type copier struct{ to, copy io.Writer }

func (c copier) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	if err != nil {
		p = []byte(nobodyRead + "\n")
	}
	c.copy.Write(p)
	return n, err
}

// overhear makes the directory for the copies.
func (s *script) overhear(e *testscript.Env) error {
	dir, err := os.MkdirTemp("", "overheard-")
	if err != nil {
		return err
	}
	e.Defer(func() { os.RemoveAll(dir) }) // after checkWords
	s.overheard = dir
	e.Setenv(overheardVar, dir)
	s.vars = append(s.vars, overheardVar)
	return nil
}

// checkWords checks the output of all processes of a script: each line of
// stderr against the table of errors, each event against the schema.
func (s *script) checkWords(t testing.TB) {
	dir := s.overheard
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Error(err)
		return
	}
	table, err := readErrorTable()
	if err != nil {
		t.Error(err)
		return
	}
	events, err := schema.Read("schema.json")
	if err != nil {
		t.Error(err)
		return
	}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(dir, name.Name()))
		if err != nil {
			t.Error(err)
			continue
		}
		lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		if filepath.Ext(name.Name()) == ".json" {
			checkEvents(t, events, lines)
			continue
		}
		for _, line := range lines {
			if err := table.check(ofBatch.ReplaceAllString(line, "$1")); err != nil {
				t.Errorf("stderr: %v", err)
			}
		}
	}
}

// checkEvents checks the events of one run. The first line has its arguments.
func checkEvents(t testing.TB, events *schema.Node, lines []string) {
	var args []string
	if err := json.Unmarshal([]byte(lines[0]), &args); err != nil {
		t.Error(err)
		return
	}
	last, ends := "", 0
	for _, line := range lines[1:] {
		if line == nobodyRead {
			return
		}
		event, err := events.Check(line)
		if err != nil {
			t.Errorf("%q: %v\n%s", args, err, line)
			continue
		}
		last = event["event"].(string)
		if last == "done" || last == "error" {
			ends++
		}
	}
	if len(lines) == 1 { // nobody read anything
		return
	}
	if slices.Contains(args, "--input-file") {
		if last != "batch" && last != "error" {
			t.Errorf("%q: the last event is %q", args, last)
		}
		return
	}
	if args[0] == "get" && !slices.Contains(args, "--dry-run") && (ends != 1 || last != "done" && last != "error") {
		t.Errorf("%q: %d ends among the events, the last is %q", args, ends, last)
	}
}

// ofBatch is what stands before the messages of one file of a batch.
var ofBatch = regexp.MustCompile(`^(malcolm: (?:error|warning): )line [0-9]+: `)

// goWords must not be in messages for people.
var goWords = regexp.MustCompile(`context deadline exceeded|context canceled|i/o timeout|goroutine \d|\.go:\d|\*[a-z]+\.\w+|\b(errors|fmt|net|os|fs|transport|transfer|partfile|certs|wire|quic|syscall)\.[A-Z]\w*|%!|0x[0-9a-f]{8,}`)

// awaitOut waits until the stdout of a process matches.
func (s *script) awaitOut(args []string) {
	s.want(args, 2, "awaitout NAME REGEXP")
	re, err := regexp.Compile("(?m)" + args[1])
	s.Check(err)
	p := s.process(args[0])
	if _, err := p.awaitIn(p.stdout, re); err != nil {
		s.Fatalf("%s: stdout: %v", args[0], err)
	}
}
