package main

import (
	"strconv"
	"strings"

	"malcolm/cmd/malcolm/batch"
	"malcolm/cmd/malcolm/flags"
	"malcolm/cmd/malcolm/human"
)

// lineOptions are the options below a line of a list. They have aria2's names
// where aria2 has the option, else the long name of the flag. Each changes the
// file's own copy of the flags.
var lineOptions = map[string]func(c *getCmd, value string) error{
	"out":         setName,
	"name":        setName,
	"dir":         setDir,
	"output":      setDir,
	"checksum":    setChecksum,
	"quorum":      setQuorum,
	"max-size":    setMaxSize,
	"resume":      nil, // it is always on
	"force":       setBool(func(c *getCmd) *bool { return &c.Force }),
	"recheck":     setBool(func(c *getCmd) *bool { return &c.Recheck }),
	"remote-time": setBool(func(c *getCmd) *bool { return &c.RemoteTime }),
	"each":        setBool(func(c *getCmd) *bool { return &c.Each }),
	"all-addresses": setBool(func(c *getCmd) *bool {
		return &c.AllAddresses
	}),
}

// withOptions returns the command for one line of a list. The error is a
// [*batch.Error].
func (c *getCmd) withOptions(e *batch.Entry) (*getCmd, error) {
	line := *c
	for _, o := range e.Options {
		set, known := lineOptions[o.Name]
		if !known {
			return nil, &batch.Error{Line: o.Line, Problem: "has the unknown option " + human.Quote(o.Name)}
		}
		if set == nil {
			continue
		}
		value := o.Value
		if !o.HasValue {
			value = "true"
		}
		if err := set(&line, value); err != nil {
			return nil, &batch.Error{Line: o.Line, Problem: "has a wrong " + o.Name + ": " + err.Error()}
		}
	}
	return &line, nil
}

func setName(c *getCmd, value string) error {
	c.Name = flags.Path(value)
	return nil
}

func setDir(c *getCmd, value string) error {
	if value == "" || value == stdoutName {
		return usage("a directory is named")
	}
	c.Output = flags.Path(value)
	return nil
}

// setChecksum reads a checksum as --checksum does, or as aria2 writes it,
// TYPE=HEX.
func setChecksum(c *getCmd, value string) error {
	if kind, hex, typed := strings.Cut(value, "="); typed {
		if !strings.EqualFold(kind, "sha-256") {
			return usage("of aria2's types only sha-256 is possible")
		}
		value = "sha256:" + hex
	}
	c.Checksum = new(flags.Checksum)
	return c.Checksum.UnmarshalText([]byte(value))
}

func setQuorum(c *getCmd, value string) (err error) {
	if c.Quorum, err = strconv.Atoi(value); err != nil {
		return usage(human.Quote(value) + " is no number")
	}
	return nil
}

func setMaxSize(c *getCmd, value string) (err error) {
	c.MaxSize, err = flags.ParseSize(value)
	return err
}

// setBool returns how a flag without a value is set: true or false, or its name
// alone.
func setBool(of func(*getCmd) *bool) func(*getCmd, string) error {
	return func(c *getCmd, value string) error {
		switch value {
		case "true", "false":
			*of(c) = value == "true"
			return nil
		}
		return usage("it is true or false")
	}
}
