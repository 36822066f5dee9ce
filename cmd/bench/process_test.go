package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestMain lets a test's process play another program.
func TestMain(m *testing.M) {
	if os.Getenv("BENCH_TEST_CHILD") != "" {
		os.Stderr.WriteString("hello 17\npackets lost: 5\nlast")
		os.Exit(3)
	}
	os.Exit(m.Run())
}

// TestProcess: a program's end, its lines and its figures arrive.
func TestProcess(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := start(t.Context(), command{args: []string{self}, env: []string{"BENCH_TEST_CHILD=1"}})
	if err != nil {
		t.Fatal(err)
	}
	m, at, err := p.log.await(t.Context(), regexp.MustCompile(`hello (\d+)`))
	if err != nil || m[1] != "17" || at.IsZero() {
		t.Errorf("got %q at %v, %v", m, at, err)
	}
	if _, _, err := p.log.await(t.Context(), regexp.MustCompile("never")); !errors.Is(err, errEnded) {
		t.Errorf("a line that never comes: %v", err)
	}
	if err := p.wait(); err == nil || !strings.HasSuffix(err.Error(), "exit status 3: hello 17; packets lost: 5; last") {
		t.Errorf("got %v", err)
	}
	if got := p.lost(); got != 5 {
		t.Errorf("%d packets lost, want 5", got)
	}
	if p.ended.IsZero() || p.computed() < 0 {
		t.Errorf("ended at %v after computing %v s", p.ended, p.computed())
	}
	p.stop() // of what has ended: returns
}

func TestLineLog(t *testing.T) {
	var l lineLog
	found := make(chan string)
	go func() {
		m, _, err := l.await(t.Context(), regexp.MustCompile(`^second (.*)$`))
		if err != nil {
			m = []string{"", err.Error()}
		}
		found <- m[1]
	}()
	for _, piece := range []string{"fir", "st\nsec", "ond li", "ne\r\nthird"} {
		if _, err := l.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
	}
	if got := <-found; got != "line" {
		t.Errorf("got %q", got)
	}
	if got, want := l.tail(1), "second line; third"; got != want {
		t.Errorf("tail: got %q, want %q", got, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := l.await(ctx, regexp.MustCompile("never")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestLostOf: the losses that programs report count before those of the kernel.
func TestLostOf(t *testing.T) {
	says := func(text string) *process {
		p := new(process)
		p.log.Write([]byte(text))
		return p
	}
	tests := []struct {
		programs      []*process
		before, after int64
		want          int64
	}{
		{[]*process{says("packets lost: 3\n"), says("packets lost: 4\n"), says("")}, 10, 30, 7},
		{[]*process{says("packets lost: 0\n")}, 10, 30, 0},
		{[]*process{says("other\n")}, 10, 30, 20},
		{nil, unknown, 30, unknown},
	}
	for i, test := range tests {
		if got := lostOf(test.programs, test.before, test.after); got != test.want {
			t.Errorf("%d: got %d, want %d", i, got, test.want)
		}
	}
}

func TestSources(t *testing.T) {
	l := &lab{dir: t.TempDir()}
	whole, err := l.newSource(t.Context(), "whole", 3*mib+5, mib)
	if err != nil {
		t.Fatal(err)
	}
	again, err := l.newSource(t.Context(), "again", 3*mib+5, mib)
	if err != nil {
		t.Fatal(err)
	}
	if same, err := sameFile(whole.path, again.path); err != nil || !same {
		t.Errorf("the same source twice: same %v, %v", same, err)
	}
	if len(whole.sha256) != 64 {
		t.Errorf("sha256 %q", whole.sha256)
	}
	sparse, err := l.newSource(t.Context(), "sparse", 5*mib, 2*mib)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(sparse.path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		zero := strings.Trim(string(text[i*mib:(i+1)*mib]), "\x00") == ""
		if want := i%2 == 1; zero != want {
			t.Errorf("MiB %d is a hole: %v, want %v", i, zero, want)
		}
	}
	short := filepath.Join(l.dir, "short")
	if err := os.WriteFile(short, text[:mib], 0o600); err != nil {
		t.Fatal(err)
	}
	text[4*mib]++
	if err := os.WriteFile(again.path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{short, again.path} {
		if same, err := sameFile(sparse.path, other); err != nil || same {
			t.Errorf("%s is the same file: %v, %v", filepath.Base(other), same, err)
		}
	}
	if l.room(1<<60) == "" || l.room(0) != "" {
		t.Error("there is room for 2^60 bytes, or none for no byte")
	}
}

// TestRoundsBeginElsewhere: each round runs every cell once; one that fails is
// left out from then on, and the rest goes on.
func TestRoundsBeginElsewhere(t *testing.T) {
	l := &lab{dir: t.TempDir(), source: &sourceFile{size: 1}, say: t.Logf}
	var order string
	failure := errors.New("planted")
	var cells []*cell
	for _, name := range []string{"a", "b", "c"} {
		cells = append(cells, &cell{link: loopback, row: row{name: name, serve: func(context.Context, *lab, *link, string) ([]*process, command, error) {
			order += name
			return nil, command{}, failure
		}}})
	}
	for round := range 3 {
		for _, one := range cells {
			one.failed = ""
		}
		if err := l.round(t.Context(), cells, round, 3); err != nil {
			t.Fatal(err)
		}
	}
	if want := "abcbcacab"; order != want {
		t.Errorf("order %s, want %s", order, want)
	}
	order = ""
	cells[1].failed = "before"
	if err := l.round(t.Context(), cells[1:2], 0, 1); err != nil || order != "" || cells[0].failed != "planted" {
		t.Errorf("%v: ran %q, failed %q", err, order, cells[0].failed)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	cells[1].failed = ""
	if err := l.round(stopped, cells, 0, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestPlan: what is missing is skipped with its reason, what is not wanted is
// not mentioned.
func TestPlan(t *testing.T) {
	c := parsed(t, "--only", "curl", "--only", "veth", "--only", "more/index")
	p := c.plan([]*link{loopback}, []skip{{"veth/", "no root"}})
	var names []string
	for _, one := range p.cells {
		names = append(names, one.name())
	}
	for _, k := range p.skipped {
		names = append(names, k.Name)
	}
	if got, want := strings.Join(names, " "), "loopback/curl veth/"; got != want && got != "veth/ loopback/curl" {
		t.Errorf("got %q, want %q", got, want)
	}
	if len(p.figures) != 1 || p.figures[0].name != "index" {
		t.Errorf("figures %v", p.figures)
	}
}
