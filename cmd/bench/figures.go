package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"malcolm/transfer/manifest"
)

// A figure is a number beside the rows.
type figure struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Unit  string `json:"unit"`
	Value spread `json:"value"`
}

// A figureSet is measured together. An error says why it was not measured.
type figureSet struct {
	name, title string
	measure     func(ctx context.Context, l *lab, c *runCmd) ([]figure, error)
}

func allFigures() []figureSet {
	return []figureSet{
		{"index", "how fast serve hashes a file that it does not know", measureIndex},
		{"resume", "how fast get checks an unfinished copy", measureResume},
		{"memory", "what 8 clients of 4 servers make serve hold", measureMemory},
		{"sparse", "CPU for a GB of a large file against a small one", measureSparse},
		{"small", "files of 1 MiB, one process after another", measureSmall},
		{"allocs", "what get and serve allocate", measureAllocs},
	}
}

// figureRounds bounds the repetitions of figures that vary little.
const figureRounds = 3

// measureIndex times serve from its first line to the greeting, with an empty
// cache.
func measureIndex(ctx context.Context, l *lab, c *runCmd) ([]figure, error) {
	var speeds []float64
	for range min(c.Rounds, figureRounds) {
		const cold = "-cold"
		env := l.malcolmEnv(cold)
		servers, _, err := l.serveMalcolm(ctx, loopback, l.source, 1, env)
		if err != nil {
			return nil, err
		}
		log := &servers[0].log
		_, began := log.find(listeningLine)
		_, ready := log.find(readyLine)
		stopAll(servers)
		if err := os.RemoveAll(filepath.Join(l.dir, "cache"+cold)); err != nil {
			return nil, err
		}
		speeds = append(speeds, float64(l.source.size)/ready.Sub(began).Seconds()/1e9)
	}
	return []figure{{"index", "index speed of serve", "GB/s", spreadOf(speeds)}}, nil
}

var (
	checkingLine = regexp.MustCompile(`getting .*; checking .* of an earlier run`)
	checkedLine  = regexp.MustCompile(` kept from an earlier run`)
)

// measureResume makes a copy that lacks its last chunk. It times get from its
// line "checking" to its end, since get fetches while it checks.
func measureResume(ctx context.Context, l *lab, c *runCmd) ([]figure, error) {
	env := l.malcolmEnv("")
	size := l.source.size
	chunk := manifest.ChunkSize(size)
	last := (size-1)%chunk + 1
	if last == size {
		return nil, errors.New("the file has only one chunk")
	}
	var speeds []float64
	for range min(c.Rounds, figureRounds) {
		dir, err := l.output("copy")
		if err != nil {
			return nil, err
		}
		if err := l.interrupt(ctx, dir, last, env); err != nil {
			return nil, err
		}
		servers, targets, err := l.serveMalcolm(ctx, loopback, l.source, 1, env)
		if err != nil {
			return nil, err
		}
		get, err := start(ctx, l.getMalcolm(dir, targets, env, "-r"))
		if err == nil {
			err = get.wait()
		}
		stopAll(servers)
		if err != nil {
			return nil, err
		}
		_, began := get.log.find(checkingLine)
		_, ended := get.log.find(checkedLine)
		if began.IsZero() || ended.IsZero() {
			return nil, fmt.Errorf("get did not say when it checked: %s", get.log.tail(3))
		}
		speeds = append(speeds, float64(size-last)/ended.Sub(began).Seconds()/1e9)
	}
	return []figure{{"resume", "check speed of resume", "GB/s", spreadOf(speeds)}}, nil
}

// interrupt leaves an unfinished copy of the file without its last bytes.
func (l *lab) interrupt(ctx context.Context, dir string, last int64, env []string) error {
	servers, targets, err := l.serveOwn(ctx, loopback, 1, env, "--keep", strconv.FormatInt(last, 10))
	if err != nil {
		return err
	}
	defer stopAll(servers)
	get, err := start(ctx, l.getOwn(dir, targets, env, "--until", strconv.FormatInt(l.source.size-last, 10)))
	if err != nil {
		return err
	}
	return get.wait()
}

// serveOwn starts this program's own kind of `malcolm serve`.
func (l *lab) serveOwn(ctx context.Context, k *link, n int, env []string, flags ...string) ([]*process, []string, error) {
	args := append([]string{l.self, "malcolm-serve", "--bind", k.addr, "--number", strconv.Itoa(n)}, flags...)
	p, err := start(ctx, at(k.servers, command{env: env, args: append(args, l.source.path)}))
	if err != nil {
		return nil, nil, err
	}
	targets, err := targetsOf(ctx, p, k)
	return serverOrError(p, targets, err)
}

// getOwn is this program's own kind of `malcolm get`.
func (l *lab) getOwn(dir string, targets, env []string, flags ...string) command {
	args := append([]string{l.self, "malcolm-get", "--output", dir}, flags...)
	return command{env: env, args: append(args, targets...)}
}

// measureMemory lets eight clients at once copy from four virtual servers, and
// measures the server.
func measureMemory(ctx context.Context, l *lab, c *runCmd) ([]figure, error) {
	const clients, servers = 8, 4
	const most = 512 << 20
	size := min(int64(c.Size), most)
	if reason := l.room((clients + 1) * size); reason != "" {
		return nil, errors.New(reason)
	}
	s, err := l.newSource(ctx, "memory", size, mib)
	if err != nil {
		return nil, err
	}
	defer l.remove(s)
	env := l.malcolmEnv("")
	serving, targets, err := l.serveMalcolm(ctx, loopback, s, servers, env)
	if err != nil {
		return nil, err
	}
	var gets []command
	for i := range clients {
		dir, err := l.output(strconv.Itoa(i))
		if err != nil {
			stopAll(serving)
			return nil, err
		}
		gets = append(gets, l.getMalcolm(dir, targets, env))
	}
	got, err := l.measure(ctx, loopback, serving, gets)
	if err != nil {
		return nil, err
	}
	if got.ServerRSS < 0 {
		return nil, errors.New("this system does not tell how much memory a process had")
	}
	title := fmt.Sprintf("serve VmHWM, %d clients × %d servers, %s each", clients, servers, Size(size))
	return []figure{{"memory", title, "MiB", spreadOf([]float64{float64(got.ServerRSS) / mib})}}, nil
}

// measureSparse compares the cost of a GB of a file of four times the size with
// that of half the size: 8 GB and 1 GB if the size is 2 GB. The cost includes
// the system's work for pages of memory that were unused for a while; the plain
// file shows how much that is.
func measureSparse(ctx context.Context, l *lab, c *runCmd) ([]figure, error) {
	small, large := int64(c.Size)/2, int64(c.Size)*4
	if reason := l.room(large + large/8); reason != "" {
		return nil, errors.New(reason)
	}
	var figures []figure
	for _, way := range []struct {
		name, title string
		once        func(ctx context.Context, size int64) (cpu float64, err error)
	}{
		{"sparse", "sparse source", l.sparseFile},
		{"sparse-stream", "sparse source, to stdout", l.sparseStream},
		{"plain-file", "zeros written to a file by one program", l.plainFile},
	} {
		var costs [2][]float64
		var ratios []float64
		for round := range min(c.Rounds, figureRounds) {
			for i, size := range []int64{small, large} {
				cpu, err := way.once(ctx, size)
				if err != nil {
					return nil, err
				}
				costs[i] = append(costs[i], cpu/float64(size)*1e9)
			}
			ratios = append(ratios, costs[1][round]/costs[0][round])
		}
		figures = append(figures,
			figure{way.name + "-small", "CPU for a GB of " + Size(small).String() + ", " + way.title, "s", spreadOf(costs[0])},
			figure{way.name + "-large", "CPU for a GB of " + Size(large).String() + ", " + way.title, "s", spreadOf(costs[1])},
			figure{way.name, "the second against the first", "×", spreadOf(ratios)})
	}
	return figures, nil
}

func (l *lab) sparseFile(ctx context.Context, size int64) (cpu float64, err error) {
	dir, err := l.output("copy")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, l.clearOutput()) }()
	return l.sparseOnce(ctx, size, dir)
}

func (l *lab) sparseStream(ctx context.Context, size int64) (cpu float64, err error) {
	return l.sparseOnce(ctx, size, "-")
}

func (l *lab) sparseOnce(ctx context.Context, size int64, output string) (cpu float64, err error) {
	const stride = 16 * mib
	s, err := l.newSource(ctx, "sparse", size, stride)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, l.remove(s)) }()
	env := l.malcolmEnv("")
	servers, targets, err := l.serveMalcolm(ctx, loopback, s, 4, env)
	if err != nil {
		return 0, err
	}
	got, err := l.measure(ctx, loopback, servers, []command{l.getMalcolm(output, targets, env)})
	return got.CPU, err
}

func (l *lab) plainFile(ctx context.Context, size int64) (cpu float64, err error) {
	dir, err := l.output("plain")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, l.clearOutput()) }()
	args := []string{l.self, "plain-write", "--size", strconv.FormatInt(size, 10), filepath.Join(dir, "zeros")}
	p, err := start(ctx, command{args: args})
	if err != nil {
		return 0, err
	}
	if err := p.wait(); err != nil {
		return 0, err
	}
	return p.computed(), nil
}

// plainWriteCmd only writes a file.
type plainWriteCmd struct {
	Size int64  `required:""`
	File string `arg:""`
}

// Run is called by kong.
func (c *plainWriteCmd) Run() error {
	f, err := os.Create(c.File)
	if err != nil {
		return err
	}
	piece := make([]byte, mib)
	for left := c.Size; left > 0 && err == nil; {
		var n int
		n, err = f.Write(piece[:min(left, mib)])
		left -= int64(n)
	}
	return errors.Join(err, f.Close())
}

// measureSmall copies files of 1 MiB one after another, each with a get of its
// own. They are copies of one file, since serve offers one.
func measureSmall(ctx context.Context, l *lab, c *runCmd) ([]figure, error) {
	s, err := l.newSource(ctx, "small", mib, mib)
	if err != nil {
		return nil, err
	}
	defer l.remove(s)
	env := l.malcolmEnv("")
	servers, targets, err := l.serveMalcolm(ctx, loopback, s, 4, env)
	if err != nil {
		return nil, err
	}
	defer stopAll(servers)
	var times []float64
	for i := range c.Files {
		dir, err := l.output(strconv.Itoa(i))
		if err != nil {
			return nil, err
		}
		began := time.Now()
		p, err := start(ctx, l.getMalcolm(dir, targets, env))
		if err == nil {
			err = p.wait()
		}
		if err != nil {
			return nil, err
		}
		times = append(times, p.ended.Sub(began).Seconds()*1e3)
	}
	var sum float64
	for _, t := range times {
		sum += t
	}
	return []figure{
		{"small", fmt.Sprintf("a file of 1 MiB, of %d one after another, 4 servers", c.Files), "ms", spreadOf(times)},
		{"small-sum", fmt.Sprintf("all %d of them", c.Files), "s", spreadOf([]float64{sum / 1e3})},
	}, nil
}

var allocationsLine = regexp.MustCompile(`^allocations: (\d+)$`)

// measureAllocs copies the file with this program's own processes.
func measureAllocs(ctx context.Context, l *lab, _ *runCmd) ([]figure, error) {
	env := l.malcolmEnv("")
	servers, targets, err := l.serveOwn(ctx, loopback, 4, env)
	if err != nil {
		return nil, err
	}
	dir, err := l.output("copy")
	if err == nil {
		var get *process
		if get, err = start(ctx, l.getOwn(dir, targets, env)); err == nil {
			servers, err = append(servers, get), get.wait()
		}
	}
	stopAll(servers)
	if err != nil {
		return nil, err
	}
	var figures []figure
	for i, name := range []string{"serve", "get"} {
		m, _ := servers[i].log.find(allocationsLine)
		if m == nil {
			return nil, fmt.Errorf("%s did not say what it allocated: %s", name, servers[i].log.tail(3))
		}
		n, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return nil, err
		}
		perMB := n / (float64(l.source.size) / 1e6)
		figures = append(figures, figure{"allocs-" + name, "allocations of " + name + " for a MB, 4 servers", "", spreadOf([]float64{perMB})})
	}
	return figures, nil
}
