package transport

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quic-go/quic-go"
)

// TestQLog: each end of a connection leaves a whole file, one JSON record a
// line, that begins with the schema and has packets in it.
func TestQLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	q, err := NewQLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	server, err := ListenUDP("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	l := serve(t, server, ListenOptions{QLog: q})
	client, err := ListenUDP("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	conn := mustDial(t, client, l.Addr(), DialOptions{QLog: q})
	mustAccept(t, l)
	conn.Close(0, "")
	l.Close()
	if err := q.Close(); err != nil {
		t.Error(err)
	}
	for _, side := range []string{"client", "server"} {
		files, err := filepath.Glob(filepath.Join(dir, "*_"+side+".sqlog"))
		if err != nil || len(files) != 1 {
			t.Errorf("files of the %s = %v, %v, want one", side, files, err)
			continue
		}
		text, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		records := bytes.Split(text, []byte{0x1e})[1:]
		for _, r := range records {
			if !json.Valid(r) {
				t.Errorf("%s: %q is no JSON", side, r)
			}
		}
		if all := string(text); !strings.Contains(all, "urn:ietf:params:qlog:events:quic") || !strings.Contains(all, "packet_sent") {
			t.Errorf("%s: %d records without the schema or without packets", side, len(records))
		}
	}
}

// TestQLogOfNobody: a nil QLog writes nothing.
func TestQLogOfNobody(t *testing.T) {
	var q *QLog
	if q.tracer() != nil || q.Close() != nil {
		t.Error("a nil QLog does something")
	}
}

// TestQLogBroken: a failed write is reported at the end, and the connection
// goes on.
func TestQLogBroken(t *testing.T) {
	q, err := NewQLog(filepath.Join(t.TempDir(), "logs"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Dir(q.prefix)); err != nil {
		t.Fatal(err)
	}
	server, err := ListenUDP("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	l := serve(t, server, ListenOptions{QLog: q})
	client, err := ListenUDP("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	mustDial(t, client, l.Addr(), DialOptions{})
	mustAccept(t, l)
	if err := q.Close(); err == nil || !strings.HasPrefix(err.Error(), "qlog: ") {
		t.Errorf("got %v, want what could not be written", err)
	}
	if _, err := NewQLog(filepath.Join(os.Args[0], "x")); err == nil {
		t.Error("a directory in a file: no error")
	}
}

// TestQLogIsBounded: strangers decide neither how much is written nor a file's
// name, and no existing file is overwritten.
func TestQLogIsBounded(t *testing.T) {
	dir := t.TempDir()
	q, err := NewQLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	id := quic.ConnectionIDFromBytes([]byte("../../x"))
	if err := os.WriteFile(q.prefix+"-2_server.sqlog", []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		if trace := q.trace(t.Context(), false, id); (trace == nil) != (n == 1) {
			t.Errorf("connection %d: trace %v", n+1, trace)
		} else if trace != nil {
			p := trace.AddProducer()
			p.Close()
		}
	}
	if err := q.Close(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v, want that a file is there already", err)
	}
	files, _ := os.ReadDir(dir)
	if mine, err := os.ReadFile(q.prefix + "-2_server.sqlog"); err != nil || string(mine) != "mine" || len(files) != 3 {
		t.Errorf("%d files, and that of somebody else holds %q, %v", len(files), mine, err)
	}
	q.files.Store(maxQLogFiles)
	if q.trace(t.Context(), false, id) != nil {
		t.Error("there is no bound on the number of files")
	}
	f := &qlogFile{q: q, Writer: bufio.NewWriter(new(bytes.Buffer))}
	q.bytes.Store(maxQLogBytes - 1)
	if n, err := f.Write(make([]byte, 2)); n != 2 || err != nil || f.Buffered() > 0 {
		t.Errorf("wrote %d bytes beyond the bound, %v", f.Buffered(), err)
	}
}
