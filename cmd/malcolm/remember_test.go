package main

import (
	"context"
	"encoding/json"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"malcolm/certs"
	"malcolm/transfer/localfile"
	"malcolm/transfer/paths"
	"malcolm/transfer/paths/disk"
	"malcolm/transfer/serve"
	"malcolm/transport"
)

// serveBoth serves a file over UDP and TCP until the test ends.
func serveBoth(t *testing.T, path string) (address string, id certs.ServerID) {
	t.Helper()
	identity, err := certs.Generate()
	if err != nil {
		t.Fatal(err)
	}
	pc, err := transport.ListenUDP("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := transport.OpenTCP("127.0.0.1", uint16(pc.LocalAddr().(*net.UDPAddr).Port))
	if err != nil {
		pc.Close()
		t.Skip(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ready := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		err := serve.Serve(ctx, serve.Config{
			Source: localfile.Named(path), Name: "data", Identity: identity,
			Conns: []net.PacketConn{pc}, TCP: serve.TCP{Sockets: []net.Listener{ln}},
			Events: func(e serve.Event) {
				if _, ok := e.(serve.Ready); ok {
					close(ready)
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
	return pc.LocalAddr().String(), identity.ID()
}

// TestRememberedTransport: what is remembered of a known server decides which
// transport is dialled first, on real sockets. A damaged memory, and none, are
// as good as the first run.
func TestRememberedTransport(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_STATE_HOME", filepath.Join(dir, "state"))
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	path := filepath.Join(dir, "data")
	if err := os.WriteFile(path, []byte(strings.Repeat("0123456789abcdef", 1<<20/16)), 0o600); err != nil {
		t.Fatal(err)
	}
	address, id := serveBoth(t, path)
	get := func(what, want string, flags ...string) {
		t.Helper()
		code, stdout, stderr := runHere(t, append(append([]string{"get", "--json"}, flags...), "--force", "-o", t.TempDir(), address)...)
		if code != exitDone || strings.Contains(stderr, "warning") {
			t.Fatalf("%s: exit code %d, want 0 without a warning; stderr: %s", what, code, stderr)
		}
		for line := range strings.Lines(stdout) {
			var e struct{ Event, State, Transport string }
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatal(err)
			}
			if e.Event == "server" && e.State == "connected" {
				if e.Transport != want {
					t.Errorf("%s: connected over %s, want %s", what, e.Transport, want)
				}
				return
			}
		}
		t.Errorf("%s: nobody connected: %s", what, stdout)
	}
	cache, err := certs.CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(cache, "paths")
	get("the first run", "quic")
	if _, err := os.Lstat(file); err == nil {
		t.Error("a run of a moment is remembered")
	}
	m := paths.NewMemory(nil, disk.Network)
	m.Note(id, netip.MustParseAddr("127.0.0.1"), paths.Path{TCP: true, Conns: 2, Rate: 2, Other: 1, When: time.Now()})
	if err := disk.Save(cache, m.Noted(), time.Now()); err != nil {
		t.Fatal(err)
	}
	get("a remembered server", "tcp")
	get("nothing is to be remembered", "quic", "--forget-paths")
	get("the transport is fixed", "quic", "--transport", "quic")
	if err := os.WriteFile(file, []byte("malcolm paths 1\n\x00\xff damaged\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	get("a damaged memory", "quic")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file, 0o700); err != nil {
		t.Fatal(err)
	}
	get("a directory in its place", "quic")
}
