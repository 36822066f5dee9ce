package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"malcolm/certs"
	"malcolm/cmd/malcolm/flags"
	"malcolm/cmd/malcolm/human"
	"malcolm/cmd/malcolm/view"
	"malcolm/transfer/fetch"
	"malcolm/transfer/localfile"
	"malcolm/transfer/partfile"
	"malcolm/transfer/serve"
	"malcolm/transfer/source"
	"malcolm/transfer/source/malcolm"
	"malcolm/transport"
)

const (
	// demoSize is the size of the demo's own file in bytes. With little
	// room it is cut down, at most to demoLeast.
	demoSize  = 256 << 20
	demoLeast = 8 << 20
	// demoSeconds is how long the demo's copy should take, and demoRate its
	// least rate in bytes a second: a small file takes less time.
	demoSeconds = 6
	demoRate    = 64 << 10
	// demoInterval is the time between its status reports.
	demoInterval = time.Second
	// demoStop is the percentage of the file that has arrived when a server
	// is stopped.
	demoStop = 40
	demoName = "demo.bin"
)

type demoCmd struct {
	File flags.Path `short:"f" placeholder:"PATH" help:"A real file to copy; default: 256 MiB of random bytes."`
	OutputFlags
}

// Help is what kong prints after the flags.
func (*demoCmd) Help() string {
	return `Three processes on this machine, whose server IDs are pinned, so that each has a vote: one with three good servers, one with a fourth, and one whose reader flips bits. It is outvoted; at 40 % the fourth server is stopped. The copy is compared byte by byte, and everything is removed again.

Examples:
  malcolm demo
  malcolm demo -f data.mp4
  malcolm demo -c | cat`
}

func (c *demoCmd) run(ctx context.Context, _ []string, t *terminal) (err error) {
	t.mute = true // the copy will be removed, so its path is of no use
	dir, err := os.MkdirTemp("", "malcolm-demo-")
	if err != nil {
		return demoError("make a temporary directory", err)
	}
	defer func() {
		if removeErr := os.RemoveAll(dir); err == nil && removeErr != nil {
			err = demoError("clean up", removeErr)
		}
	}()
	d := &demo{terminal: t, dir: dir, name: demoName}
	if err := d.prepare(ctx, string(c.File)); err != nil {
		return err
	}
	return d.show(ctx)
}

func demoError(op string, err error) error {
	var path string
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		path = p.Path
	}
	return &localfile.Error{Op: op, Path: path, Err: err}
}

// A demo is one run of the demonstration.
type demo struct {
	*terminal
	dir     string
	name    string // of the file and its copy
	path    string // of the file
	size    int64
	targets []source.Target
	pins    certs.Pins // the IDs of its processes, which give each a vote
}

// prepare makes the directory of the copy, and the file.
func (d *demo) prepare(ctx context.Context, path string) (err error) {
	if err := os.Mkdir(d.copyDir(), 0o700); err != nil {
		return demoError("make a directory", err)
	}
	if path == "" {
		if d.path, err = d.makeFile(ctx); err != nil {
			return err
		}
	} else {
		d.path = path
		if base := filepath.Base(path); fetch.CheckName(base) == nil {
			d.name = base
		}
	}
	info, err := localfile.Named(d.path).Stat()
	if err != nil {
		return err
	}
	d.size = info.Size()
	return nil
}

func (d *demo) copyDir() string { return filepath.Join(d.dir, "copy") }

// makeFile writes a file of random bytes and returns its path. It is small
// enough for a third of the free space, if possible.
func (d *demo) makeFile(ctx context.Context) (string, error) {
	size := int64(demoSize)
	root, err := os.OpenRoot(d.dir)
	if err != nil {
		return "", demoError("open", err)
	}
	defer root.Close()
	if free, err := partfile.Dir(root).Free(); err == nil {
		for size > demoLeast && free < 3*size {
			size /= 2
		}
	}
	f, err := os.Create(filepath.Join(d.dir, demoName))
	if err != nil {
		return "", demoError("make a file", err)
	}
	defer f.Close()
	d.Say("making %s of random bytes", human.Bytes(size))
	random := rand.NewChaCha8([32]byte([]byte(time.Now().Format("malcolm 2006-01-02 15:04:05.000000"))[:32]))
	buf := make([]byte, 1<<20)
	for written := int64(0); written < size && err == nil; written += int64(len(buf)) {
		random.Read(buf)
		if _, err = f.Write(buf); err == nil {
			err = context.Cause(ctx)
		}
	}
	if err != nil {
		return "", demoError("write", err)
	}
	return f.Name(), nil
}

// show serves, copies and compares.
func (d *demo) show(ctx context.Context) error {
	serving, stopAll := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stopAll()
	victim, stopVictim := context.WithCancel(serving)
	defer stopVictim()

	var ready sync.WaitGroup
	file := localfile.Named(d.path)
	groups := []struct {
		ctx    context.Context
		label  string
		source localfile.Source
		ports  int
	}{
		{serving, "good", file, 3},
		{victim, "victim", file, 1},
		{serving, "liar", bitFlipper{file}, 1},
	}
	for _, g := range groups {
		sockets, err := d.bind(g.ports)
		if err != nil {
			return err
		}
		identity, err := certs.Generate()
		if err != nil {
			return err
		}
		d.pins = append(d.pins, certs.Pin{ID: identity.ID()})
		ready.Add(1)
		wg.Go(func() { d.serve(g.ctx, g.label, g.source, identity, sockets, ready.Done) })
	}
	ready.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	q := query{
		targets:  d.targets,
		interval: demoInterval,
		showMap:  d.isInteractive(),
		reach:    malcolm.Config{Trust: malcolm.Trust{Pins: d.pins}},
		progress: func(now fetch.Snapshot) {
			if now.Good*100 >= now.Size*demoStop {
				stopVictim()
			}
		},
	}
	q.limit(flags.Rate(max(d.size/demoSeconds, demoRate)))
	err := runGet(ctx, d.terminal, q, fetch.Output{Dir: d.copyDir(), Name: d.name}, "malcolm demo")
	if err != nil {
		return err
	}
	return d.compare()
}

// demoSockets are the sockets of one process, UDP and TCP on the same port
// numbers. A nil TCP socket: another program has that port.
type demoSockets struct {
	udp []net.PacketConn
	tcp []net.Listener
}

func (d *demo) bind(n int) (s demoSockets, err error) {
	const host = "127.0.0.1"
	for range n {
		pc, err := transport.ListenUDP(host, 0)
		if err != nil {
			return s, &listenError{ports: n}
		}
		port := uint16(pc.LocalAddr().(*net.UDPAddr).Port)
		ln, _ := transport.OpenTCP(host, port)
		s.udp, s.tcp = append(s.udp, pc), append(s.tcp, ln)
		d.targets = append(d.targets, source.Target{Host: host, Port: port})
	}
	return s, nil
}

// serve runs the servers of one process. It calls ready once their file is
// hashed or they have failed.
func (d *demo) serve(ctx context.Context, label string, source localfile.Source, identity *certs.Identity, sockets demoSockets, ready func()) {
	once := sync.OnceFunc(ready)
	defer once()
	show := view.NewDemoServer(d, label)
	err := serve.Serve(ctx, serve.Config{
		Source: source, Name: d.name, Identity: identity, Conns: sockets.udp, TCP: serve.TCP{Sockets: sockets.tcp},
		Events: func(e serve.Event) {
			show.Event(e)
			if _, ok := e.(serve.Ready); ok {
				once()
			}
		},
	})
	if err != nil {
		d.fail(err)
	}
}

// compare reads both files.
func (d *demo) compare() error {
	original, err := os.Open(d.path)
	if err != nil {
		return demoError("open", err)
	}
	defer original.Close()
	copied, err := os.Open(filepath.Join(d.copyDir(), d.name))
	if err != nil {
		return demoError("open", err)
	}
	defer copied.Close()
	same, err := sameBytes(original, copied)
	if err != nil {
		return demoError("compare", err)
	}
	d.Emit(view.Compared(d.size, same))
	if !same {
		return errors.New("the copy differs from the original")
	}
	d.Say("%s", d.Green("compared byte by byte: the copy equals the original"))
	return nil
}

func sameBytes(a, b io.Reader) (bool, error) {
	bufA, bufB := make([]byte, 1<<20), make([]byte, 1<<20)
	for {
		n, errA := io.ReadFull(a, bufA)
		m, errB := io.ReadFull(b, bufB)
		endA, endB := isEOF(errA), isEOF(errB)
		switch {
		case errA != nil && !endA:
			return false, errA
		case errB != nil && !endB:
			return false, errB
		case !bytes.Equal(bufA[:n], bufB[:m]):
			return false, nil
		case endA || endB:
			return endA && endB, nil
		}
	}
}

func isEOF(err error) bool { return err == io.EOF || err == io.ErrUnexpectedEOF }

// A bitFlipper is a file of which a bit of every 1,000,000th byte is read
// wrong.
type bitFlipper struct{ localfile.Source }

// Open opens the file behind it.
func (b bitFlipper) Open() (localfile.File, error) {
	f, err := b.Source.Open()
	if err != nil {
		return nil, err
	}
	return flippedFile{f}, nil
}

type flippedFile struct{ localfile.File }

func (f flippedFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	const every = 1_000_000
	for i := (every - off%every) % every; i < int64(n); i += every {
		p[i] ^= 1
	}
	return n, err
}
