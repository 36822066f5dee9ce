package main

import (
	"errors"
	"io/fs"
	"os"

	"malcolm/cmd/malcolm/flags"
	"malcolm/transfer"
	"malcolm/transport"
)

// QLogFlags are the flags of every command that has connections.
type QLogFlags struct {
	QLog flags.Path `name:"qlog" placeholder:"DIR" help:"Write what each connection does, packet by packet, to a file there (qlog, for qvis). Costs speed."`
}

// openQLog returns where connections write what they do, nil when nobody asks.
// [terminal.finish] ends it.
func (t *terminal) openQLog(f QLogFlags) (*transport.QLog, error) {
	if f.QLog == "" {
		return nil, nil
	}
	q, err := transport.NewQLog(string(f.QLog))
	if err != nil {
		return nil, &transfer.FileError{Op: "make the directory", Path: string(f.QLog), Err: bare(err)}
	}
	t.qlog = q
	return q, nil
}

// bare takes the operation and the path out of a system's error.
func bare(err error) error {
	var p *fs.PathError
	var l *os.LinkError
	switch {
	case errors.As(err, &p):
		return p.Err
	case errors.As(err, &l):
		return l.Err
	}
	return err
}
