package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"malcolm/certs"
	"malcolm/cmd/malcolm/view/schema"
	"malcolm/transfer/localfile"
	"malcolm/transfer/serve"
	"malcolm/transport"
)

// A turncoat is a file that returns flipped bits once it is told to.
type turncoat struct {
	localfile.Source
	lies atomic.Bool
}

func (s *turncoat) Open() (localfile.File, error) {
	f, err := s.Source.Open()
	if err != nil {
		return nil, err
	}
	return turncoatFile{f, s}, nil
}

type turncoatFile struct {
	localfile.File
	of *turncoat
}

func (f turncoatFile) ReadAt(p []byte, off int64) (int, error) {
	if f.of.lies.Load() {
		return flippedFile{f.File}.ReadAt(p, off)
	}
	return f.File.ReadAt(p, off)
}

// serveHere serves a file until the test ends. It returns the address once it
// is ready.
func serveHere(t *testing.T, source localfile.Source) string {
	t.Helper()
	identity, err := certs.Generate()
	if err != nil {
		t.Fatal(err)
	}
	pc, err := transport.ListenUDP("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ready := make(chan struct{})
	var once sync.Once // a server that finds its disk damaged is ready twice
	var wg sync.WaitGroup
	wg.Go(func() {
		err := serve.Serve(ctx, serve.Config{
			Source: source, Name: "data", Identity: identity, Conns: []net.PacketConn{pc},
			Events: func(e serve.Event) {
				if _, ok := e.(serve.Ready); ok {
					once.Do(func() { close(ready) })
				}
			},
		})
		if err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		stop()
		wg.Wait()
	})
	<-ready
	return pc.LocalAddr().String()
}

// TestJSONOfALiar: an event tells of a server that sends wrong bytes, and so
// does the receipt.
func TestJSONOfALiar(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_STATE_HOME", filepath.Join(dir, "state"))
	data := []byte(strings.Repeat("0123456789abcdef", 8<<20/16))
	path := filepath.Join(dir, "data")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "copy"), 0o700); err != nil {
		t.Fatal(err)
	}
	liar := &turncoat{Source: localfile.Named(path)}
	lies, good := serveHere(t, liar), serveHere(t, localfile.Named(path))
	liar.lies.Store(true)
	// This is so slow that neither is done before the other has begun.
	code, stdout, stderr := runHere(t, "get", "--json", "--limit", "8M", "-o", filepath.Join(dir, "copy"), lies, good)
	if code != exitDone {
		t.Fatalf("exit code %d, want 0; stderr: %s", code, stderr)
	}
	events, err := schema.Read("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	count := make(map[string]int)
	var last map[string]any
	for line := range strings.Lines(stdout) {
		if last, err = events.Check(strings.TrimSuffix(line, "\n")); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		count[last["event"].(string)]++
		if last["event"] == "chunk_refused" && (last["address"] != lies || last["changed"] != false) {
			t.Errorf("chunk_refused = %v, want the liar", last)
		}
	}
	if count["chunk_refused"] != 1 || count["server_lost"] != 1 || count["done"] != 1 || last["event"] != "done" {
		t.Errorf("events = %v, the last %v; want one chunk_refused, one server_lost and done", count, last["event"])
	}
	if n, ok := last["refetched_bytes"].(float64); !ok || n == 0 {
		t.Errorf("refetched_bytes = %v, want some", last["refetched_bytes"])
	}
	for _, s := range last["servers"].([]any) {
		server := s.(map[string]any)
		want := "[0 serving]"
		if server["address"] == lies {
			want = "[1 wrong_bytes]"
		}
		if got := fmt.Sprint([]any{server["bad_chunks"], server["state"]}); got != want {
			t.Errorf("%v: %s, want %s", server["address"], got, want)
		}
	}
}
