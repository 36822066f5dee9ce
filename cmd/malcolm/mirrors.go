package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"malcolm/cmd/malcolm/flags"
	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/beside"
	"malcolm/transfer/fetch"
	"malcolm/transfer/localfile"
	"malcolm/transfer/source"
	"malcolm/transfer/source/described"
	"malcolm/transfer/source/https"
	"malcolm/transfer/source/malcolm"
	"malcolm/wire"
)

// MirrorFlags are the flags about mirrors.
type MirrorFlags struct {
	Headers flags.Headers `name:"header" placeholder:"LINE" help:"Send NAME: VALUE to mirrors, or HOST NAME: VALUE to those of one host. Credentials come from @FILE, a line each, or env:NAME. May be repeated."`
	CA      flags.Path    `name:"ca" placeholder:"FILE" help:"Certificate authorities, in PEM, to check mirrors against. Default: the system's."`
	Values  string        `placeholder:"WHERE" help:"File or URL of the values to check mirrors' bytes against, without a malcolm server. A file counts as your own word. Default: each mirror's URL.malcolm."`
}

// Largest files of values, in bytes: beside an object, and beside a directory,
// with its listing.
const (
	mostValues     = 64 << 20
	mostTreeValues = 256 << 20
)

// A supply says how mirrors are reached, and by which values they vote.
type supply struct {
	https *https.Config
	// host votes by the values that read returns, for all mirrors; nil:
	// each mirror votes by its own.
	host string
	read described.Reader
}

// mirrorsOf returns the mirrors among targets, and the servers.
func mirrorsOf(targets []source.Target) (mirrors, servers []source.Target) {
	for _, t := range targets {
		if t.IsMirror() {
			mirrors = append(mirrors, t)
		} else {
			servers = append(servers, t)
		}
	}
	return mirrors, servers
}

// supply returns what the flags say of the mirrors of a query, whose targets
// and checksum are known.
func (f *ServerFlags) supply(q *query, t *terminal) (s supply, err error) {
	mirrors, servers := mirrorsOf(q.targets)
	if f.batch != nil {
		return f.batch.supply(mirrors, servers), nil
	}
	return f.supplyOf(mirrors, servers, q, t)
}

// supplyOf is supply for some mirrors and servers.
func (f *ServerFlags) supplyOf(mirrors, servers []source.Target, q *query, t *terminal) (s supply, err error) {
	s.https = &https.Config{Network: f.network(), ConnectTimeout: q.reach.ConnectTimeout, Proxy: q.reach.Proxy}
	if err := f.checkMirrors(mirrors, servers); err != nil || len(mirrors) == 0 {
		return s, err
	}
	if s.https.Headers, err = f.headers(mirrors, t); err != nil {
		return s, err
	}
	for _, p := range f.Pins {
		s.https.Pins = append(s.https.Pins, p.Keys...)
	}
	if f.CA != "" {
		if s.https.Roots, err = authorities(string(f.CA)); err != nil {
			return s, err
		}
	}
	if f.Values != "" {
		err = s.readValues(f.Values, q)
	}
	return s, err
}

// checkMirrors refuses flags that have no meaning for these targets.
func (f *ServerFlags) checkMirrors(mirrors, servers []source.Target) error {
	ofServers := slices.ContainsFunc(f.Pins, func(p flags.Pin) bool { return p.OfServers(len(mirrors) > 0) })
	ofMirrors := slices.ContainsFunc(f.Pins, func(p flags.Pin) bool { return !p.OfServers(len(mirrors) > 0) })
	switch {
	case len(mirrors) == 0 && (ofMirrors || f.CA != "" || f.Values != "" || len(f.Headers) > 0):
		return usage("--header, --ca, --values and --pin sha256//… are for mirrors, and no mirror is named: a mirror is https://HOST/PATH")
	case len(servers) == 0 && ofServers:
		return usage("--pin: no malcolm server is named; a mirror's key is sha256//…, as curl's --pinnedpubkey")
	case len(servers) > 0 && f.Values != "":
		return usage("--values is for mirrors alone: malcolm servers have the values and vote on them; --checksum chooses the file")
	}
	return nil
}

// headers returns the headers that mirrors are sent.
func (f *ServerFlags) headers(mirrors []source.Target, t *terminal) (list []https.Header, err error) {
	read, err := f.Headers.Read(os.LookupEnv, func(w string) { t.Warn("%s", w) })
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return nil, &localfile.Error{Op: e.Op, Path: e.Path, Err: e.Err}
	} else if err != nil {
		return nil, &usageError{err}
	}
	hosts := make(map[string]bool)
	for _, m := range mirrors {
		hosts[m.Host] = true
	}
	for _, h := range read {
		switch {
		case h.Host == "" && len(hosts) > 1:
			return nil, usage("--header " + h.Name + ": there are mirrors of several hosts: write HOST NAME: VALUE")
		case h.Host != "" && !hosts[h.Host]:
			return nil, usage("--header " + h.Name + ": no mirror has the host " + human.Quote(h.Host))
		}
		list = append(list, https.Header{Host: h.Host, Name: h.Name, Value: h.Value})
	}
	return list, nil
}

// authorities reads certificates.
func authorities(path string) (*x509.CertPool, error) {
	b, err := readBounded(path, 4<<20)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, &localfile.Error{Op: "read", Path: path, Err: errNoCertificate}
	}
	return pool, nil
}

var (
	errNoCertificate = errors.New("has no certificate in PEM, as -----BEGIN CERTIFICATE-----")
	errTooLarge      = errors.New("is too large")
)

// readBounded reads a file of at most most bytes.
func readBounded(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, localError("open", path, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		err = errTooLarge
	}
	if err != nil {
		return nil, localError("read", path, err)
	}
	return b, nil
}

func localError(op, path string, err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		err = e.Err
	}
	return &localfile.Error{Op: op, Path: path, Err: err}
}

// readValues takes the values that the user names for all mirrors. Values from
// a file are the user's own word, as --checksum is.
func (s *supply) readValues(where string, q *query) error {
	if strings.Contains(where, "://") {
		at, err := flags.ParseURL(where)
		if err != nil {
			return &usageError{fmt.Errorf("--values: %w", err)}
		}
		s.host, s.read = at.Host, once(fromURL(s.https, at, mostTreeValues))
		return nil
	}
	b, err := readBounded(where, mostTreeValues)
	if err != nil {
		return err
	}
	f, err := described.Parse(b)
	if err != nil {
		return &localfile.Error{Op: "read", Path: where, Err: err}
	}
	sum := flags.Checksum{Sum: f.Offer.Checksum}
	if f.Offer.Kind == wire.KindTree {
		sum.Kind = flags.OfTree
	}
	if c := q.ballot.Checksum; c != nil && (*c != sum.Sum || q.ballot.Tree != (sum.Kind == flags.OfTree)) {
		return usage("--checksum and the file of --values name different files")
	}
	q.ballot.Checksum, q.ballot.Tree = &sum.Sum, sum.Kind == flags.OfTree
	s.host, s.read = "--values", func(context.Context) ([]byte, error) { return b, nil }
	return nil
}

// once reads a file of values once, for all callers. After a failure it is read
// again.
func once(read described.Reader) described.Reader {
	turn := make(chan []byte, 1)
	turn <- nil
	return func(ctx context.Context) ([]byte, error) {
		select {
		case b := <-turn:
			var err error
			if b == nil {
				b, err = read(ctx)
			}
			turn <- b
			return b, err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// fromURL reads a file of values from an address.
func fromURL(cfg *https.Config, at source.Target, most int64) described.Reader {
	return func(ctx context.Context) ([]byte, error) {
		b, _, err := https.Fetch(ctx, cfg, at, most)
		return b, err
	}
}

// valuesBeside reads the file of values beside what a mirror has. Without one,
// or with one that cannot be used, the mirror sends bytes only.
func valuesBeside(cfg *https.Config, m source.Target) described.Reader {
	most := int64(mostValues)
	if path, _, _ := strings.Cut(m.URL, "?"); strings.HasSuffix(path, "/") {
		most = mostTreeValues
	}
	at := m
	at.URL = valuesURL(m.URL)
	read := fromURL(cfg, at, most)
	return func(ctx context.Context) ([]byte, error) {
		b, err := read(ctx)
		if what := source.WhatOf(err); err != nil && (what == source.Absent || what == source.Unsupported) {
			return nil, &source.Fault{What: source.BytesOnly, Words: "has no file of values", Err: err}
		}
		return b, err
	}
}

// valuesURL returns the address of the file of values beside an object, or
// beside a directory, whose address ends in a slash.
func valuesURL(url string) string {
	path, query, hasQuery := strings.Cut(url, "?")
	path = strings.TrimRight(path, "/") + beside.Suffix
	if hasQuery {
		path += "?" + query
	}
	return path
}

// sources returns where a session's files come from: the servers, then the
// mirrors. Mirrors vote only if the command names no server, not even a dead
// one. Otherwise an attacker who blocks servers would choose who votes.
func (q query) sources(ctx context.Context) (list []source.Source, err error) {
	targets, err := q.begin(ctx)
	if err != nil {
		return nil, err
	}
	return q.sourcesOf(ctx, targets)
}

// sourcesOf is sources for some targets of the query.
func (q query) sourcesOf(ctx context.Context, targets []source.Target) (list []source.Source, err error) {
	_, named := mirrorsOf(q.targets)
	mirrors, servers := mirrorsOf(targets)
	if len(servers) > 0 {
		if list, err = malcolm.Sources(ctx, q.reach, servers, q.all); err != nil {
			return nil, err
		}
	}
	for _, m := range mirrors {
		src := https.New(m, q.supply.https)
		switch {
		case len(named) > 0:
		case q.supply.read != nil:
			src = described.New(src, q.supply.host, q.supply.read)
		default:
			src = described.New(src, m.Host, valuesBeside(q.supply.https, m))
		}
		list = append(list, src)
	}
	return list, nil
}

// voters returns who votes.
func (q query) voters() []source.Voter {
	mirrors, servers := mirrorsOf(q.targets)
	if len(servers) > 0 {
		return malcolm.Voters(q.reach.Trust, servers, q.all || len(services(servers)) > 0)
	}
	var list []source.Voter
	for _, m := range mirrors {
		v := source.Voter{Host: m.Host}
		if q.supply.read != nil {
			v.Host = q.supply.host
		}
		list = append(list, v)
	}
	return list
}

// provedAtEnd accepts bytes of mirrors that only a checksum of the whole
// proves, if the command names no server.
func (q *query) provedAtEnd() {
	_, servers := mirrorsOf(q.targets)
	switch {
	case len(servers) > 0 || q.supply.read != nil:
	case q.ballot.Checksum != nil && !q.ballot.Tree:
		q.ballot.Whole = &fetch.Whole{Sum: *q.ballot.Checksum}
	case q.sha256 != nil:
		q.ballot.Whole = &fetch.Whole{Sum: *q.sha256, SHA256: true}
	}
}
