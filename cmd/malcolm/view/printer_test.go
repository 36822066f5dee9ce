package view

import (
	"bytes"
	"fmt"

	"malcolm/cmd/malcolm/screen"
	"malcolm/transfer/source"
)

// A transcript is a Printer that writes as the program does, without colour.
type transcript struct{ out, err bytes.Buffer }

func (p *transcript) Result(line string)         { fmt.Fprintln(&p.out, line) }
func (p *transcript) Emit(e Event)               { p.out.Write(Line(e)) }
func (p *transcript) Say(f string, args ...any)  { fmt.Fprintf(&p.err, f+"\n", args...) }
func (p *transcript) Warn(f string, args ...any) { p.Say("malcolm: warning: "+f, args...) }
func (p *transcript) WarnHint(text string)       { p.Hint(text) }
func (p *transcript) Fail(err error)             { p.Say("malcolm: error: %v", err) }
func (p *transcript) Hint(text string)           { p.Say("malcolm: hint: %s", text) }

func (p *transcript) Report(f string, args ...any)  { p.Say(f, args...) }
func (p *transcript) Explain(f string, args ...any) { p.Say(f, args...) }

func (p *transcript) Draw(func(width, height int) screen.Frame) (stop func()) { return func() {} }

// newTestTerminal returns a terminal and what is written to it.
func newTestTerminal() (on Terminal, out, err *bytes.Buffer) {
	p := new(transcript)
	return Terminal{Printer: p, Look: shows.Look}, &p.out, &p.err
}

// Servers and a checksum for tests.
var (
	here  = source.Target{Host: "127.0.0.1", Port: 10001}
	sum9f = [32]byte{0x9f, 0x86, 0xd0, 0x81}
)

// shows is a terminal with block characters and without colour.
var shows = painter{screen.Look{Unicode: true}}
