//go:build unix

package screen

import (
	"os"
	"os/signal"
	"syscall"
)

const unicodeByDefault = false

// knowsSequences reports whether a terminal understands the sequences that draw
// frames. An unknown one does not.
func knowsSequences(_ *os.File, getenv func(string) string) bool { return getenv("TERM") != "" }

// onResume calls f whenever the process continues after ^Z, until stop is
// called.
func onResume(f func()) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGCONT)
	quit := make(chan struct{})
	go func() {
		for {
			select {
			case <-signals:
				f()
			case <-quit:
				return
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(quit)
	}
}
