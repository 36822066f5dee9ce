package main

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// A row is one way to copy the file.
type row struct {
	name  string // its name for --only and --skip, behind the link's
	title string
	// missing says why it cannot be measured here; empty if it can.
	missing string
	// serve starts servers. Once they are ready it returns the command for
	// the client, which writes its copy into dir. It returns servers with
	// an error too.
	serve func(ctx context.Context, l *lab, k *link, dir string) (servers []*process, client command, err error)
	// copies says that the client leaves a copy of the file.
	copies bool
}

// allRows are the rows in the order of the table.
func allRows() []row {
	rows := append(malcolmRows(), quicRows()...)
	rows = append(rows, ceilingRows()...)
	return append(rows, peerRows()...)
}

// A variant is a way in which malcolm copies.
type variant struct {
	name, title string // what they add to those of a row
	transport   string
	without     []string // environment variables that switch something off
}

var variants = []variant{
	{"", "", "quic", nil},
	{"-nogro", ", without GRO", "quic", []string{"MALCOLM_NO_GRO"}},
	{"-nojoin", ", sends not joined", "quic", []string{"MALCOLM_NO_JOIN"}},
	{"-tcp", " over TCP", "tcp", nil},
	{"-auto", ", which chooses its transport", "auto", nil},
	{remembers, ", which remembers its transport", "auto", nil},
}

// remembers marks the variant whose later rounds use what the first has found
// out. All others begin each round as if it were the first.
const remembers = "-again"

// malcolmRows are malcolm over QUIC, with and without GRO and joined sends,
// over TCP, and over what it chooses.
func malcolmRows() []row {
	var rows []row
	for _, v := range variants {
		for _, n := range []int{1, 2, 4, 8} {
			rows = append(rows, row{
				name:   fmt.Sprintf("malcolm-%d%s", n, v.name),
				title:  fmt.Sprintf("malcolm, %s%s", plural(n, "server"), v.title),
				copies: true,
				serve: func(ctx context.Context, l *lab, k *link, dir string) ([]*process, command, error) {
					env := l.malcolmEnv("", v.without...)
					server, targets, err := l.serveMalcolm(ctx, k, l.source, n, env)
					get := l.getMalcolm
					if v.name == remembers {
						get = l.getAgain
					}
					return server, get(dir, targets, env, "--transport", v.transport), err
				},
			})
		}
	}
	return rows
}

// plural writes a number and its noun.
func plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// malcolmEnv gives malcolm an identity and an index cache in the lab. cache
// names a cache other than the usual one. without are variables that switch
// something off.
func (l *lab) malcolmEnv(cache string, without ...string) []string {
	env := []string{
		"XDG_STATE_HOME=" + filepath.Join(l.dir, "state"),
		"XDG_CACHE_HOME=" + filepath.Join(l.dir, "cache"+cache),
		"QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING=true",
	}
	for _, name := range without {
		env = append(env, name+"=1")
	}
	return env
}

var (
	listeningLine = regexp.MustCompile(`listening on UDP(?: and TCP)? ([0-9 ]+)`)
	readyLine     = regexp.MustCompile(`to copy it:`)
)

// serveMalcolm starts `malcolm serve` with n virtual servers and waits until
// the file is hashed.
func (l *lab) serveMalcolm(ctx context.Context, k *link, s *sourceFile, n int, env []string) ([]*process, []string, error) {
	p, err := start(ctx, at(k.servers, command{env: env, args: []string{
		l.binary, "serve", "-f", s.path, "-n", strconv.Itoa(n), "-i", "0", "--bind", k.addr,
	}}))
	if err != nil {
		return nil, nil, err
	}
	targets, err := targetsOf(ctx, p, k)
	if err == nil {
		_, _, err = p.log.await(ctx, readyLine)
	}
	return serverOrError(p, targets, err)
}

// targetsOf returns host and port of each UDP port on which a server says that
// it listens.
func targetsOf(ctx context.Context, p *process, k *link) ([]string, error) {
	m, _, err := p.log.await(ctx, listeningLine)
	if err != nil {
		return nil, err
	}
	var targets []string
	for _, port := range strings.Fields(m[1]) {
		targets = append(targets, k.addr+":"+port)
	}
	return targets, nil
}

// serverOrError is a ready server; after an error it is stopped.
func serverOrError(p *process, targets []string, err error) ([]*process, []string, error) {
	if err != nil {
		p.stop()
		return nil, nil, fmt.Errorf("%s: %w", p.name, err)
	}
	return []*process{p}, targets, nil
}

// getMalcolm is `malcolm get` that knows of no earlier run.
func (l *lab) getMalcolm(dir string, targets, env []string, flags ...string) command {
	return l.getAgain(dir, targets, env, append([]string{"--forget-paths"}, flags...)...)
}

// getAgain is `malcolm get` that remembers the last day's runs.
func (l *lab) getAgain(dir string, targets, env []string, flags ...string) command {
	args := append([]string{l.binary, "get", "-o", dir, "-i", "0"}, flags...)
	return command{env: env, args: append(args, targets...)}
}

// quicRows are quic-go without malcolm.
func quicRows() []row {
	var rows []row
	for _, n := range []int{1, 4} {
		rows = append(rows, row{
			name:  fmt.Sprintf("quic-%d", n),
			title: fmt.Sprintf("plain quic-go, %s, no hashing, no file", plural(n, "connection")),
			serve: func(ctx context.Context, l *lab, k *link, _ string) ([]*process, command, error) {
				return l.serveSelf(ctx, k, "quic", n)
			},
		})
	}
	return rows
}

// ceilingRows are encrypted UDP without anything else.
func ceilingRows() []row {
	var rows []row
	for _, n := range []int{1, 4} {
		rows = append(rows, row{
			name:    fmt.Sprintf("ceiling-%d", n),
			title:   fmt.Sprintf("the ceiling: encrypted UDP, %s", plural(n, "flow")),
			missing: ceilingMissing,
			serve: func(ctx context.Context, l *lab, k *link, _ string) ([]*process, command, error) {
				return l.serveSelf(ctx, k, "udp", n)
			},
		})
	}
	return rows
}

// serveSelf starts this program's own server of a kind, on n ports.
func (l *lab) serveSelf(ctx context.Context, k *link, kind string, n int) ([]*process, command, error) {
	p, err := start(ctx, at(k.servers, command{args: []string{l.self, kind + "-serve", "--bind", k.addr, "--number", strconv.Itoa(n)}}))
	if err != nil {
		return nil, command{}, err
	}
	targets, err := targetsOf(ctx, p, k)
	servers, targets, err := serverOrError(p, targets, err)
	get := []string{l.self, kind + "-get", "--size", strconv.FormatInt(l.source.size, 10)}
	return servers, command{args: append(get, targets...)}, err
}
