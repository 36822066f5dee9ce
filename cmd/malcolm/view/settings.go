package view

import (
	"fmt"

	"malcolm/cmd/malcolm/human"
)

// A Setting is a flag of a command, and the value that it has when the command
// line does not give it.
type Setting struct {
	Command, Flag string
	Values        []string // as they would be typed, without passwords
	Line          string   // of TOML
	From          string   // default, environment or file
	Place         string   // the variable, or FILE:LINE
}

// settingColumns bounds the width of a line that its comment is put behind in
// one column with others, in bytes.
const settingColumns = 32

// Settings shows the settings of a command, as a table of a config file. name
// is the table's.
func Settings(on Printer, name string, all []Setting) {
	if len(all) == 0 {
		return
	}
	on.Result(fmt.Sprintf("\n[%s]", name))
	for _, s := range all {
		where := s.Place
		if where == "" {
			where = s.From
		}
		on.Result(fmt.Sprintf("%-*s # %s", settingColumns, s.Line, where))
		e := settingEvent{head: is("setting"), Command: s.Command, Flag: s.Flag, From: s.From, Place: jsonText(s.Place), Values: []string{}}
		for _, v := range s.Values {
			e.Values = append(e.Values, jsonText(v))
		}
		on.Emit(e)
	}
}

// ConfigFile shows where a config file may be, and whether it was read.
func ConfigFile(on Printer, path string, read bool) {
	state := "not there"
	if read {
		state = "read"
	}
	on.Result("# " + human.ShellQuote(path) + ": " + state)
}

// A Build is what was built. Empty fields are not known.
type Build struct {
	Version, Revision, Time string
	Dirty                   bool // the sources were changed after the revision
	Go, Platform            string
	Modules                 []Module
}

// A Module is one that was built in.
type Module struct{ Path, Version, Sum string }

// Show shows what was built.
func (b Build) Show(on Printer) {
	e := versionEvent{
		head: is("version"), Version: b.Version, Revision: b.Revision, Time: b.Time, Dirty: b.Dirty, Go: b.Go, Platform: b.Platform,
		Modules: []versionModule{},
	}
	on.Result("malcolm " + b.Version)
	if b.Revision != "" {
		line := "revision " + b.Revision + " of " + b.Time
		if b.Dirty {
			line += ", changed"
		}
		on.Result(line)
	}
	on.Result(b.Go + " " + b.Platform)
	for _, m := range b.Modules {
		on.Result(m.Path + " " + m.Version)
		e.Modules = append(e.Modules, versionModule(m))
	}
	on.Emit(e)
}
