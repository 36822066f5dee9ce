package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"malcolm/certs"
	"malcolm/cmd/malcolm/flags"
	"malcolm/cmd/malcolm/view"
	"malcolm/transfer/localfile"
	"malcolm/transfer/serve"
	"malcolm/transfer/source/malcolm"
)

// TrustFlags are the flags that say which servers are accepted.
type TrustFlags struct {
	Pins  []flags.Pin       `name:"pin" sep:"none" placeholder:"ID" help:"Server ID that every server must have, or HOST=ID, HOST:PORT=ID. For mirrors: sha256//KEY, as curl takes it, or HOST=sha256//KEY. May be repeated: one must match."`
	Trust certs.TrustPolicy `default:"first" placeholder:"WHOM" help:"Servers without a pin: first accepts and remembers new ones, strict refuses new ones, pinned refuses all. Default ${default}."`
	Token *flags.Token      `placeholder:"WHERE" help:"Shared secret that each side must prove to have: @FILE, env:NAME, or - for standard input."`
}

// readToken returns the token; zero: none is wanted.
func (t *terminal) readToken(from *flags.Token) (certs.Token, error) {
	if from == nil {
		return certs.Token{}, nil
	}
	var token certs.Token
	var err error
	read := make(chan struct{})
	go func() { // a pipe, or a person typing, may keep it waiting for ever
		defer close(read)
		token, err = certs.ReadToken(from.Where, os.LookupEnv, t.in)
	}()
	select {
	case <-read:
	case <-t.quit:
		return certs.Token{}, t.cause()
	}
	var bad *certs.TokenError
	if errors.As(err, &bad) && bad.Err == nil {
		return token, &usageError{err}
	}
	if risk := certs.TokenRisk(from.Where); err == nil && risk != "" {
		t.Warn("%s", risk)
	}
	return token, err
}

// readTokens returns the tokens of serve, of which clients need one.
func (t *terminal) readTokens(from []flags.Token) (tokens []certs.Token, err error) {
	if len(from) > serve.MaxTokens {
		return nil, usage(fmt.Sprintf("--token is given %d times: serve holds at most %d, an old one and a new one", len(from), serve.MaxTokens))
	}
	for _, f := range from {
		token, err := t.readToken(&f)
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, token)
	}
	return tokens, nil
}

// readTokensAgain is readTokens for a run that has read them before. A token
// that it made is there now. Standard input is over.
func (t *terminal) readTokensAgain(from []flags.Token) ([]certs.Token, error) {
	again := slices.Clone(from)
	for i, f := range again {
		if f.Where == "-" {
			return nil, usage("--token -: a token of standard input cannot be read again; --token @FILE can")
		}
		if file, made := strings.CutPrefix(f.Where, "new:"); made {
			again[i].Where = "@" + file
		}
	}
	return t.readTokens(again)
}

// trust returns what the flags say, and the remembered servers. mirrors says
// whether the command names mirrors.
func (f *TrustFlags) trust(t *terminal, mirrors bool) (malcolm.Trust, error) {
	trust := malcolm.Trust{Policy: f.Trust}
	for _, p := range f.Pins {
		if p.OfServers(mirrors) {
			trust.Pins = append(trust.Pins, p.Pin)
		}
	}
	var err error
	if f.Token != nil && strings.HasPrefix(f.Token.Where, "new:") {
		return trust, usage("--token new:FILE makes a token and is for serve; use @FILE, env:NAME or - here")
	}
	if trust.Token, err = t.readToken(f.Token); err != nil {
		return trust, err
	}
	if trust.Known, err = openKnown(); err != nil {
		var damaged *certs.KnownFileError
		if f.Trust == certs.StrictTrust || errors.As(err, &damaged) {
			return trust, err
		}
		t.Warn("server IDs are not remembered: %s", err.Error())
	}
	return trust, nil
}

func openKnown() (*certs.Known, error) {
	dir, err := certs.StateDir()
	if err != nil {
		return nil, &localfile.Error{Op: "find the home of the known servers", Err: err}
	}
	return certs.OpenKnown(dir)
}

// takeTickets replaces tickets among the positional targets by their addresses,
// and returns what else they say. All tickets must be for one file or
// directory; sum is nil without a ticket.
func takeTickets(positional []string) (targets []string, pins certs.Pins, sum *flags.Checksum, err error) {
	for _, word := range positional {
		if !certs.IsTicket(word) {
			targets = append(targets, word)
			continue
		}
		ticket, err := certs.ParseTicket(word)
		if err != nil {
			return nil, nil, nil, &usageError{err}
		}
		of := flags.Checksum{Sum: ticket.Checksum}
		if ticket.Tree {
			of.Kind = flags.OfTree
		}
		if sum != nil && *sum != of {
			return nil, nil, nil, usage("the tickets are for different files")
		}
		sum = &of
		pins = append(pins, ticket.Pins()...)
		for _, host := range ticket.Hosts {
			for _, port := range ticket.Ports {
				targets = append(targets, net.JoinHostPort(host, strconv.Itoa(int(port))))
			}
		}
	}
	return targets, pins, sum, nil
}

// checkTickets refuses tickets whose servers cannot satisfy the pins too.
func checkTickets(pins, tickets certs.Pins) error {
	for _, p := range tickets {
		lists := append(pins.Demands(p.Port, p.Host), tickets.IDs(p.Host, p.Port))
		if len(certs.Common(lists)) == 0 {
			return usage("--pin and the ticket name different server IDs")
		}
	}
	return nil
}

type trustCmd struct {
	List   trustListCmd   `cmd:"" help:"Show the remembered servers."`
	Forget trustForgetCmd `cmd:"" help:"Forget a server, or all servers of a host."`
}

type trustListCmd struct{ OutputFlags }

// Help is what kong prints after the flags.
func (*trustListCmd) Help() string {
	return `Examples:
  malcolm trust list
  malcolm trust list | grep 10.0.0.5
  malcolm trust list --color never

One server a line: address, server ID, and when it was first seen.`
}

func (*trustListCmd) run(_ context.Context, _ []string, t *terminal) error {
	known, err := openKnown()
	if err != nil {
		return err
	}
	for _, s := range known.List() {
		view.Known(t, s)
	}
	return nil
}

type trustForgetCmd struct {
	Servers []string `arg:"" name:"server" help:"HOST, for all of its ports, or HOST:PORT."`
	OutputFlags
}

// Help is what kong prints after the flags.
func (*trustForgetCmd) Help() string {
	return `Examples:
  malcolm trust forget 10.0.0.5:10001
  malcolm trust forget 10.0.0.5
  malcolm trust forget backup.example [2001:db8::1]:9000

The next contact with such a server is a first contact again.`
}

func (c *trustForgetCmd) run(_ context.Context, _ []string, t *terminal) error {
	known, err := openKnown()
	if err != nil {
		return err
	}
	for _, which := range c.Servers {
		n, err := known.Forget(which)
		var file *certs.KnownFileError
		var state *certs.StateError
		switch {
		case errors.As(err, &file), errors.As(err, &state):
			return err
		case err != nil:
			return &usageError{err}
		}
		view.Forgotten(t, which, n)
	}
	return nil
}
