// Command malcolm copies one file from several servers at once, over QUIC, and
// proves that what arrived is what most of them hold.
package main

import (
	"context"
	"os"
)

func main() {
	var will lastWill
	defer will.do() // when something panics
	ctx, stop := withSignals(context.Background(), func(code int) {
		will.do()
		os.Exit(code)
	})
	code := run(ctx, os.Args[1:], system{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, will: &will,
	})
	stop()
	os.Exit(code)
}
