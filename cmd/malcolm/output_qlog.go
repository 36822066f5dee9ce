package main

import (
	"malcolm/cmd/malcolm/flags"
	"malcolm/transfer/localfile"
	"malcolm/transport"
)

// QLogFlags are the flags of commands that have connections.
type QLogFlags struct {
	QLog flags.Path `name:"qlog" placeholder:"DIR" help:"Write each connection's packets to a file in DIR (qlog, for qvis). Costs speed."`
}

// openQLog returns where connections write their packets; nil: nobody asks.
// [terminal.finish] ends it.
func (t *terminal) openQLog(f QLogFlags) (*transport.QLog, error) {
	if f.QLog == "" {
		return nil, nil
	}
	q, err := transport.NewQLog(string(f.QLog))
	if err != nil {
		return nil, &localfile.Error{Op: "make the directory", Path: string(f.QLog), Err: err}
	}
	t.qlog = q
	return q, nil
}
