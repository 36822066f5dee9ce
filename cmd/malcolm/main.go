// Command malcolm copies one file from several servers at once, over QUIC or
// TCP, and proves that what arrived is what most of them hold.
package main

import (
	"context"
	"io"
	"os"

	"malcolm/cmd/malcolm/screen"
)

func main() { start(os.Stdout, os.Stderr) }

// start is main with outputs that tests can read.
func start(stdout, stderr io.Writer) {
	var will screen.LastWill
	defer will.Do() // when something panics
	exit := func(code int) {
		will.Do()
		os.Exit(code)
	}
	ctx, stop := withSignals(context.Background(), exit)
	code := run(ctx, os.Args[1:], system{
		stdin: os.Stdin, stdout: stdout, stderr: stderr, getenv: os.Getenv, will: &will, exit: exit,
		configs: configPlaces(systemConfig),
	})
	stop()
	os.Exit(code)
}
