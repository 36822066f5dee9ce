// Command malcolm copies one file from several servers at once, over QUIC, and
// proves that what arrived is what most of them hold.
package main

import (
	"context"
	"io"
	"os"
)

func main() { start(os.Stdout, os.Stderr) }

// start is main with outputs that tests may listen to.
func start(stdout, stderr io.Writer) {
	var will lastWill
	defer will.do() // when something panics
	ctx, stop := withSignals(context.Background(), func(code int) {
		will.do()
		os.Exit(code)
	})
	code := run(ctx, os.Args[1:], system{
		stdin: os.Stdin, stdout: stdout, stderr: stderr, getenv: os.Getenv, will: &will,
	})
	stop()
	os.Exit(code)
}
