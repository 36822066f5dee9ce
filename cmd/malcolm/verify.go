package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"malcolm/cmd/malcolm/flags"
	"malcolm/cmd/malcolm/human"
	"malcolm/transfer"
)

type verifyCmd struct {
	File    flags.Path `arg:"" help:"The local file."`
	Targets []string   `arg:"" optional:"" name:"target" help:"The same as -a: host:10001-10004 other:9000."`
	ServerFlags
}

// Help is what kong prints behind the flags.
func (*verifyCmd) Help() string {
	return `Examples:
  malcolm verify data.mp4 host:10001-10004 other:9000
  malcolm verify data.mp4 -a 127.0.0.1 -p 10001-10004
  malcolm verify f.iso --checksum 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

The chunks that differ go to stdout, one a line: chunk, offset and length in bytes. Exit code 3 when there are any. Without servers, --checksum can only say right or wrong.`
}

func (c *verifyCmd) run(ctx context.Context, _ []string, t *terminal) error {
	if c.Checksum != nil && c.Checksum.SHA256 {
		return usage("verify takes a BLAKE3; for a SHA-256 there is sha256sum")
	}
	if c.Checksum != nil && len(c.Addresses)+len(c.Targets) == 0 {
		return c.checkOnly(ctx, t)
	}
	cfg, err := c.config(c.Targets, t)
	if err != nil {
		return err
	}
	r, err := verify(ctx, t, cfg, string(c.File))
	if err != nil {
		return err
	}
	t.Result(fmt.Sprintf("%s: right, %s, BLAKE3 %s", human.ShellQuote(string(c.File)), human.Bytes(r.Size), human.Hex(r.Checksum)))
	return nil
}

// verify checks a file and lists the chunks that differ.
func verify(ctx context.Context, t *terminal, cfg transfer.GetConfig, path string) (*transfer.VerifyResult, error) {
	watchers := t.watchGet(cfg, false)
	cfg.Events = watchers.event
	r, err := transfer.Verify(ctx, cfg, path)
	watchers.ended(outcome{verified: r, path: path, err: err})
	return r, err
}

// checkOnly compares the file's own checksum with the one that is given.
func (c *verifyCmd) checkOnly(ctx context.Context, t *terminal) error {
	var done atomic.Int64
	stop := t.watchHashing(c.Interval.Duration(), string(c.File), &done)
	size, err := transfer.VerifyChecksum(ctx, string(c.File), c.Checksum.Sum, &done)
	stop()
	_, differs := errors.AsType[*transfer.MismatchError](err)
	if err == nil || differs {
		t.emit(verifiedEvent{
			head: is("verified"), Path: jsonText(string(c.File)), Right: err == nil, Bytes: size, TotalBytes: size,
			Checksum: human.Hex(c.Checksum.Sum),
		})
	}
	if err != nil {
		return err
	}
	t.Result(fmt.Sprintf("%s: right, %s, BLAKE3 %s", human.ShellQuote(string(c.File)), human.Bytes(size), human.Hex(c.Checksum.Sum)))
	return nil
}

// every calls f at each interval until stop is called, which waits for a call
// under way; 0 is never.
func every(interval time.Duration, f func()) (stop func()) {
	if interval == 0 {
		return func() {}
	}
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(interval)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				f()
			case <-quit:
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-ended
	}
}
