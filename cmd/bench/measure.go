package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// A cell is one row over one link.
type cell struct {
	link *link
	row  row

	samples []sample
	failed  string // why it is no longer measured
}

func (c *cell) name() string { return c.link.name + "/" + c.row.name }

// A plan is what will be measured, and what will not and why.
type plan struct {
	cells   []*cell
	figures []figureSet
	skipped []skip
}

// A skip says why something is not measured.
type skip struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// plan chooses what the flags want and this machine can do.
func (c *runCmd) plan(links []*link, unlinked []skip) plan {
	p := plan{}
	for _, s := range unlinked {
		if c.wants(s.Name) {
			p.skipped = append(p.skipped, s)
		}
	}
	for _, k := range links {
		for _, r := range allRows() {
			one := &cell{link: k, row: r}
			switch {
			case !c.wants(one.name()):
			case r.missing != "":
				p.skipped = append(p.skipped, skip{one.name(), r.missing})
			default:
				p.cells = append(p.cells, one)
			}
		}
	}
	for _, f := range allFigures() {
		if c.wants("more/" + f.name) {
			p.figures = append(p.figures, f)
		}
	}
	return p
}

// Run measures and reports.
func (c *runCmd) Run(ctx context.Context, s *streams) (err error) {
	if err := c.settle(); err != nil {
		return err
	}
	say := func(format string, args ...any) { fmt.Fprintf(s.err, "bench: "+format+"\n", args...) }
	if c.List {
		c.list(s)
		return nil
	}
	for _, name := range []string{c.JSON, c.SVG} {
		if err := writable(name); err != nil {
			return err
		}
	}
	links := []*link{loopback}
	var unlinked []skip
	if reason := vethMissing(); reason != "" {
		unlinked = append(unlinked, skip{"veth/", reason})
	} else if c.wantsLink("veth") {
		veth, remove, err := newVeth(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, remove()) }()
		links = append(links, veth)
	}
	l, err := newLab(ctx, c, say)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	p := c.plan(links, unlinked)
	for _, k := range p.skipped {
		say("%s: skipped: %s", k.Name, k.Reason)
	}
	r, err := c.carryOut(ctx, l, &p)
	if err != nil {
		return err
	}
	return c.publish(s, r)
}

// wantsLink reports whether any row over a link is wanted.
func (c *runCmd) wantsLink(name string) bool {
	for _, r := range allRows() {
		if c.wants(name + "/" + r.name) {
			return true
		}
	}
	return false
}

// list writes the names for --only and --skip.
func (c *runCmd) list(s *streams) {
	veth := &link{name: "veth"}
	var unlinked []skip
	links := []*link{loopback, veth}
	if reason := vethMissing(); reason != "" {
		links, unlinked = links[:1], []skip{{"veth/", reason}}
	}
	p := c.plan(links, unlinked)
	for _, one := range p.cells {
		fmt.Fprintf(s.out, "%s: %s\n", one.name(), one.row.title)
	}
	for _, f := range p.figures {
		fmt.Fprintf(s.out, "more/%s: %s\n", f.name, f.title)
	}
	for _, k := range p.skipped {
		fmt.Fprintf(s.out, "%s: skipped: %s\n", k.Name, k.Reason)
	}
}

// writable reports early if a result cannot be written.
func writable(name string) error {
	if name == "" {
		return nil
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

// carryOut measures everything that is planned.
func (c *runCmd) carryOut(ctx context.Context, l *lab, p *plan) (*report, error) {
	size := int64(c.Size)
	if reason := l.room(2 * size); reason != "" {
		return nil, errors.New(reason)
	}
	var err error
	if l.source, err = l.newSource(ctx, "source", size, mib); err != nil {
		return nil, fmt.Errorf("make the file: %w", err)
	}
	for round := range c.Rounds {
		if err := l.round(ctx, p.cells, round, c.Rounds); err != nil {
			return nil, err
		}
	}
	r := newReport(c, p)
	for _, set := range p.figures {
		l.say("more/%s: %s", set.name, set.title)
		figures, err := set.measure(ctx, l, c)
		err = errors.Join(err, l.clearOutput())
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			l.say("more/%s: skipped: %v", set.name, err)
			r.Skipped = append(r.Skipped, skip{"more/" + set.name, err.Error()})
			continue
		}
		r.Figures = append(r.Figures, figures...)
	}
	r.judge()
	return r, nil
}

// round runs every cell once. Each round begins with another cell, so that a
// row does not always follow the same one.
func (l *lab) round(ctx context.Context, cells []*cell, round, rounds int) error {
	for i := range cells {
		one := cells[(i+round*len(cells)/rounds)%len(cells)]
		if one.failed != "" {
			continue
		}
		s, err := l.copyOnce(ctx, one, round == 0)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			one.failed = err.Error()
			l.say("%s: left out: %v", one.name(), err)
			continue
		}
		s.Round = round
		one.samples = append(one.samples, s)
		l.say("round %d of %d: %s: %.2f s, %.0f MB/s", round+1, rounds, one.name(), s.Seconds, float64(l.source.size)/s.Seconds/1e6)
	}
	return nil
}

// copyOnce runs a cell once, and may compare the copy with the file.
func (l *lab) copyOnce(ctx context.Context, one *cell, compare bool) (s sample, err error) {
	dir, err := l.output("copy")
	if err != nil {
		return sample{}, err
	}
	defer func() { err = errors.Join(err, l.clearOutput()) }()
	servers, client, err := one.row.serve(ctx, l, one.link, dir)
	if err != nil {
		return sample{}, err
	}
	s, err = l.measure(ctx, one.link, servers, []command{client})
	if err != nil || !one.row.copies {
		return s, err
	}
	copied := filepath.Join(dir, fileName)
	info, err := os.Stat(copied)
	if err != nil {
		return sample{}, err
	}
	same := info.Size() == l.source.size
	if same && compare {
		same, err = sameFile(l.source.path, copied)
	}
	if err == nil && !same {
		err = errors.New("the copy is not the file")
	}
	return s, err
}
