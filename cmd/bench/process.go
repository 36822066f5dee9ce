package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Time limits for other programs.
const (
	startTime = 60 * time.Second // until a server is ready
	stopTime  = 8 * time.Second  // between the request to end and the end
	memEvery  = 50 * time.Millisecond
)

// A command is a program to start: its arguments, and additions to the
// environment.
type command struct {
	args []string
	env  []string
	name string // for messages; empty: the first word
}

// A process is a program that runs, or has ended.
type process struct {
	name string
	cmd  *exec.Cmd
	log  lineLog

	done chan struct{} // closed when it has ended
	// valid after done
	err   error
	ended time.Time
	peak  int64 // bytes resident at most
}

// start starts a program. It is killed when ctx ends.
func start(ctx context.Context, c command) (*process, error) {
	p := &process{name: filepath.Base(cmp.Or(c.name, c.args[0])), done: make(chan struct{}), peak: unknown}
	p.cmd = exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	p.cmd.Env = append(os.Environ(), c.env...)
	p.cmd.Stdout, p.cmd.Stderr = nil, &p.log
	p.cmd.WaitDelay = time.Second
	isolate(p.cmd)
	// The kernel counts this process's resident memory at the fork as the
	// child's: only what is above that is the child's own.
	floor := hwm(os.Getpid())
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	go p.watch(floor)
	return p, nil
}

// watch waits for the end and measures the memory meanwhile.
func (p *process) watch(floor int64) {
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	ticker := time.NewTicker(memEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			p.peak = max(p.peak, hwm(p.cmd.Process.Pid))
		case p.err = <-ended:
			p.ended = time.Now()
			if most := maxRSS(p.cmd.ProcessState); most > floor {
				p.peak = most
			}
			p.log.close()
			close(p.done)
			return
		}
	}
}

// wait waits for the end. The error has the last lines that the program wrote.
func (p *process) wait() error {
	<-p.done
	if p.err != nil {
		return fmt.Errorf("%s: %w: %s", p.name, p.err, p.log.tail(3))
	}
	return nil
}

// stop asks the program to end and waits for it.
func (p *process) stop() {
	if p.cmd.Process.Signal(os.Interrupt) != nil {
		kill(p.cmd)
	}
	select {
	case <-p.done:
	case <-time.After(stopTime):
		kill(p.cmd)
		<-p.done
	}
}

// computed returns the seconds of user and system time of an ended program.
func (p *process) computed() float64 {
	s := p.cmd.ProcessState
	return (s.UserTime() + s.SystemTime()).Seconds()
}

var lostLine = regexp.MustCompile(`\bpackets lost: (\d+)$`)

// lost returns the number of lost packets that the program reports.
func (p *process) lost() int64 {
	if m, _ := p.log.find(lostLine); m != nil {
		if n, err := strconv.ParseInt(m[1], 10, 64); err == nil {
			return n
		}
	}
	return unknown
}

// stopAll stops programs that serve.
func stopAll(servers []*process) {
	for _, p := range servers {
		p.stop()
	}
}

// A lineLog keeps what a program writes, with the time of each line. Any
// goroutine may call its methods.
type lineLog struct {
	mu    sync.Mutex
	lines []logLine
	rest  []byte
	ended bool
	news  chan struct{} // closed and replaced at a new line; nil while nobody waits
}

type logLine struct {
	at   time.Time
	text string
}

// Write implements [io.Writer].
func (l *lineLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.rest = append(l.rest, b...)
	for {
		line, rest, ok := strings.Cut(string(l.rest), "\n")
		if !ok {
			break
		}
		l.lines = append(l.lines, logLine{at: now, text: strings.TrimRight(line, "\r")})
		l.rest = []byte(rest)
	}
	l.tell()
	return len(b), nil
}

func (l *lineLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.tell()
}

// tell wakes those who wait; l.mu is held.
func (l *lineLog) tell() {
	if l.news != nil {
		close(l.news)
		l.news = nil
	}
}

// find returns the first line that matches, and its time; nil if no line does.
func (l *lineLog) find(pattern *regexp.Regexp) ([]string, time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.findLocked(pattern)
}

func (l *lineLog) findLocked(pattern *regexp.Regexp) ([]string, time.Time) {
	for _, line := range l.lines {
		if m := pattern.FindStringSubmatch(line.text); m != nil {
			return m, line.at
		}
	}
	return nil, time.Time{}
}

var errEnded = errors.New("ended early")

// await waits for a line that matches and returns it with its time.
func (l *lineLog) await(ctx context.Context, pattern *regexp.Regexp) ([]string, time.Time, error) {
	timeout := time.NewTimer(startTime)
	defer timeout.Stop()
	for {
		l.mu.Lock()
		m, at := l.findLocked(pattern)
		ended := l.ended
		if l.news == nil {
			l.news = make(chan struct{})
		}
		news := l.news
		l.mu.Unlock()
		switch {
		case m != nil:
			return m, at, nil
		case ended:
			return nil, time.Time{}, fmt.Errorf("%w: %s", errEnded, l.tail(3))
		}
		select {
		case <-news:
		case <-timeout.C:
			return nil, time.Time{}, fmt.Errorf("no line %q in %v", pattern, startTime)
		case <-ctx.Done():
			return nil, time.Time{}, ctx.Err()
		}
	}
}

// tail returns the last n lines.
func (l *lineLog) tail(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var texts []string
	for _, line := range l.lines[max(0, len(l.lines)-n):] {
		texts = append(texts, line.text)
	}
	if len(l.rest) > 0 {
		texts = append(texts, string(l.rest))
	}
	return strings.Join(texts, "; ")
}
