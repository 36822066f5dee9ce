package main

import (
	"io"
	"os"
	"strings"
	"time"
)

// The commands of scripts about the readers of malcolm's output:
//
//	unread NAME OUTPUT ARG...  start malcolm with OUTPUT, stdout or stderr, a pipe that is full and that
//	                           nobody reads
//	drain NAME                 read that pipe from now on
//	appears FILE               wait until there is such a file

// unread starts a malcolm whose stdout or stderr nobody reads.
func (s *script) unread(args []string) {
	s.want(args, 3, "unread NAME OUTPUT ARG...")
	r, w, err := os.Pipe()
	s.Check(err)
	s.cleanup(func() { r.Close() })
	junk := fillPipe(w)
	p := s.command(args[0], "malcolm", args[2:], homeOf(s.work, args[0]))
	output := p.stdout
	if args[1] == "stderr" {
		p.cmd.Stderr, output = w, p.stderr
	} else {
		p.cmd.Stdout = w
	}
	p.drain = func() {
		io.CopyN(io.Discard, r, junk)
		io.Copy(output, r)
	}
	s.keep(s.begin(p))
	w.Close()
}

// fillPipe writes into a pipe that nobody reads until it is full, and returns
// the number of bytes.
func fillPipe(w *os.File) (junk int64) {
	buf := []byte(strings.Repeat("j", 4096))
	for len(buf) > 0 {
		w.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
		n, err := w.Write(buf)
		junk += int64(n)
		if err != nil {
			buf = buf[:len(buf)/2]
		}
	}
	return junk
}

// drainNow reads a pipe that nobody has read.
func (s *script) drainNow(args []string) {
	s.want(args, 1, "drain NAME")
	p := s.process(args[0])
	done := p.done
	both := make(chan struct{})
	go func() {
		p.drain()
		<-done
		close(both)
	}()
	p.done = both
}

func (s *script) appears(args []string) {
	s.want(args, 1, "appears FILE")
	path := s.MkAbs(args[0])
	for begun := time.Now(); time.Since(begun) < hangTime; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return
		}
	}
	s.Fatalf("%s does not appear", args[0])
}
