package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"malcolm/transfer/localfile"
)

// A lateOutput is stdout on a network file system: only its Close says that
// written bytes could not be stored.
type lateOutput struct {
	bytes.Buffer
	err    error
	closed int
}

func (o *lateOutput) Close() error {
	o.closed++
	return o.err
}

// With -o - stdout is closed at the end. The run fails with its error.
func TestStdoutIsClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(path, []byte("content"), 0o644); err != nil {
		t.Fatal(err)
	}
	server := serveHere(t, localfile.Named(path))
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	for _, c := range []struct {
		err  error
		code int
	}{{nil, exitDone}, {syscall.EDQUOT, exitLocal}, {syscall.EPIPE, exitPipe}} {
		out := &lateOutput{err: c.err}
		var stderr bytes.Buffer
		code := run(context.Background(), []string{"get", "-o", "-", server}, system{
			stdin: strings.NewReader(""), stdout: out, stderr: &stderr, getenv: func(string) string { return "" },
		})
		if code != c.code || out.closed != 1 || out.String() != "content" {
			t.Errorf("closing says %v: exit code %d, want %d; closed %d times, %d bytes; stderr: %s",
				c.err, code, c.code, out.closed, out.Len(), stderr.String())
		}
		if c.code == exitLocal && !strings.Contains(stderr.String(), `write to "stdout"`) {
			t.Errorf("stderr %q does not say what failed", stderr.String())
		}
	}
}
