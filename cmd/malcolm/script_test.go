package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// The scripts in testdata/script run the real program, one promise each. Next
// to testscript's own commands they use:
//
//	serve NAME ARG...       start malcolm serve with a home of its own, and wait until it is ready;
//	                        $NAME are its ports with commas, $NAME1, $NAME2, ... each of them, and
//	                        $NAMEID is its server ID.
//	                        --bind 127.0.0.1 is added where ARGs have no --bind
//	start NAME ARG...       start malcolm with a home of its own
//	shielded NAME ARG...    the same, with SIGHUP and SIGINT ignored, as nohup and background jobs are
//	await NAME REGEXP       wait until the stderr of NAME matches
//	awaitout NAME REGEXP    wait until the stdout of NAME matches
//	signal NAME SIGNAL      send INT, TERM, HUP or KILL
//	insist NAME SIGNAL      send it again, until that is more than one request
//	ends NAME CODE          wait for the end; stdout and stderr are those of NAME from here on
//	exits CODE PROGRAM ...  run, and demand the exit code
//	refused CODE ARG...     run malcolm, and demand the exit code, an empty stdout, and every file
//	                        outside of the homes as it was
//	again CODE              run the command that the last stderr says continues
//	tabbed FILE LINE...     make a file of lines, in which \t is a tab
//	snapshot, unchanged     remember every file outside of the homes; compare with it
//
// and those of script_files_test.go, script_net_test.go, script_http_test.go,
// script_dns_test.go, script_repair_test.go and script_readers_test.go. What is
// still running at the end of a script is sent SIGINT and must then exit with
// 0.

// hangTime is when a script gives up on a process: far beyond any wait, on slow
// machines too.
const hangTime = 2 * time.Minute

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"malcolm": overheard})
}

func TestScript(t *testing.T) {
	t.Cleanup(hearSignals()) // scripts run in parallel, until after TestScript has returned
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		Setup:               setUpScript,
		Condition:           scriptCondition,
		Cmds:                scriptCommands,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

var scriptCommands = map[string]func(*testscript.TestScript, bool, []string){
	"serve":     withoutNeg((*script).serve),
	"start":     withoutNeg((*script).start),
	"shielded":  withoutNeg((*script).shielded),
	"await":     withoutNeg((*script).await),
	"awaitout":  withoutNeg((*script).awaitOut),
	"signal":    withoutNeg((*script).signal),
	"insist":    withoutNeg((*script).insist),
	"ends":      withoutNeg((*script).ends),
	"exits":     withoutNeg((*script).exits),
	"refused":   withoutNeg((*script).refused),
	"again":     withoutNeg((*script).again),
	"snapshot":  withoutNeg((*script).snapshot),
	"unchanged": withoutNeg((*script).unchanged),
	"bytes":     withoutNeg((*script).bytes),
	"flip":      withoutNeg((*script).flip),
	"hardlink":  withoutNeg((*script).hardlink),
	"cmpfile":   withoutNeg((*script).cmpfile),
	"name":      withoutNeg((*script).name),
	"b3sum":     withoutNeg((*script).b3sum),
	"ports":     withoutNeg((*script).ports),
	"hold":      withoutNeg((*script).hold),
	"mirror":    withoutNeg((*script).mirror),
	"values":    withoutNeg((*script).values),
	"lines":     withoutNeg((*script).lines),
	"sha256":    withoutNeg((*script).sha256),
	"says":      withoutNeg((*script).says),
	"udpecho":   withoutNeg((*script).udpEcho),
	"otherquic": withoutNeg((*script).otherQUIC),
	"cut":       withoutNeg((*script).cut),
	"grow":      withoutNeg((*script).grow),
	"hasmode":   withoutNeg((*script).hasMode),
	"sha256sum": withoutNeg((*script).sha256sum),
	"settle":    withoutNeg((*script).settle),
	"journal":   withoutNeg((*script).journal),
	"unread":    withoutNeg((*script).unread),
	"drain":     withoutNeg((*script).drainNow),
	"appears":   withoutNeg((*script).appears),
	"http":      withoutNeg((*script).http),
	"httplink":  withoutNeg((*script).httpLink),
	"tabbed":    withoutNeg((*script).tabbed),
	"dns":       withoutNeg((*script).dns),
}

// A script is one script's run. The script's goroutine calls its methods.
type script struct {
	*testscript.TestScript // of the command that runs
	work                   string
	vars                   []string // names of the variables that our processes inherit
	processes              map[string]*process
	order                  []*process
	tree                   map[string]string // of snapshot
	cleanup                func(func())
	overheard              string // directory; see overhear
	names                  *nameServer
}

// scriptKey is the key of a script among its testscript's values.
type scriptKey struct{}

func withoutNeg(do func(*script, []string)) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg {
			ts.Fatalf("the command takes no !")
		}
		s := ts.Value(scriptKey{}).(*script)
		s.TestScript = ts
		do(s, args)
	}
}

// set sets a variable of the script, which processes inherit.
func (s *script) set(name, value string) {
	s.Setenv(name, value)
	s.vars = append(s.vars, name)
}

// want stops the script unless it has at least n arguments.
func (s *script) want(args []string, n int, usage string) {
	if len(args) < n {
		s.Fatalf("usage: %s", usage)
	}
}

func setUpScript(e *testscript.Env) error {
	s := &script{work: e.WorkDir, processes: make(map[string]*process), cleanup: e.Defer}
	for _, v := range homeOf(e.WorkDir, "user") {
		key, value, _ := strings.Cut(v, "=")
		e.Setenv(key, value)
	}
	e.Setenv("LC_ALL", "C.UTF-8")
	e.Setenv("MALCOLM_LOG_TIME", "never")
	e.Setenv(systemConfigVar, filepath.Join(e.WorkDir, "etc", "config.toml"))
	s.vars = append(s.vars, systemConfigVar)
	// The race detector's own pause at each exit would take most of the
	// time.
	e.Setenv("GORACE", e.Getenv("GORACE")+" atexit_sleep_ms=0")
	for _, v := range e.Vars {
		key, _, _ := strings.Cut(v, "=")
		s.vars = append(s.vars, key)
	}
	s.vars = append(s.vars, "MALCOLM_PORTS", "NO_COLOR", "JOURNAL_STREAM")
	if err := s.overhear(e); err != nil {
		return err
	}
	e.Values[scriptKey{}] = s
	t := e.T().(testing.TB)
	e.Defer(func() { s.checkWords(t) }) // after end
	e.Defer(func() { s.end(t) })
	return nil
}

// homeOf is the environment that gives a user a home of its own. The home is
// beneath a hidden directory, which snapshots leave out.
func homeOf(work, user string) []string {
	home := filepath.Join(work, ".homes", user)
	return []string{
		"HOME=" + home, "USERPROFILE=" + home,
		"LOCALAPPDATA=" + filepath.Join(home, "local"), "APPDATA=" + filepath.Join(home, "roaming"),
		"XDG_STATE_HOME=" + filepath.Join(home, "state"),
		"XDG_CACHE_HOME=" + filepath.Join(home, "cache"),
		"XDG_CONFIG_HOME=" + filepath.Join(home, "config"),
		"XDG_DATA_HOME=" + filepath.Join(home, "data"),
	}
}

// end stops what still runs. If the script has failed, it shows the output of
// the processes.
func (s *script) end(t testing.TB) {
	for _, p := range s.order {
		if p.running() {
			p.cmd.Process.Signal(os.Interrupt)
		}
	}
	for _, p := range s.order {
		if p.collected {
			continue
		}
		if err := p.wait(); err != nil {
			t.Errorf("%s: %v", p.name, err)
		} else if p.code() != exitDone {
			t.Errorf("%s, interrupted at the end of the script: exit code %d, want 0", p.name, p.code())
		}
	}
	if t.Failed() {
		for _, p := range s.order {
			t.Logf("stderr of %s (exit code %d):\n%s", p.name, p.code(), p.stderr.String())
		}
	}
}

// A process is a malcolm in the background.
type process struct {
	name           string
	cmd            *exec.Cmd
	stdout, stderr *transcript
	done           chan struct{} // closed when it has ended and all output is here
	drain          func()        // reads an output that nobody has read; see unread
	collected      bool          // the script has asked for the exit code
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// code is the exit code, -1 while it runs or when a signal ended it.
func (p *process) code() int {
	if p.running() {
		return -1
	}
	return p.cmd.ProcessState.ExitCode()
}

// wait waits for the end. A process that hangs is made to show its goroutines.
func (p *process) wait() error {
	select {
	case <-p.done:
		return nil
	case <-time.After(hangTime):
	}
	p.dump()
	return errors.New("does not end")
}

// dump ends a process that hangs. Where the system can do that, its goroutines
// are on its stderr.
func (p *process) dump() {
	if runtime.GOOS != "windows" {
		p.cmd.Process.Signal(scriptSignals["QUIT"])
		select {
		case <-p.done:
			return
		case <-time.After(hangTime / 6):
		}
	}
	p.cmd.Process.Kill()
	<-p.done
}

// A transcript keeps what is written to it and can be waited on.
type transcript struct {
	mu   sync.Mutex
	text []byte
	more chan struct{} // closed when text has grown
}

func newTranscript() *transcript { return &transcript{more: make(chan struct{})} }

func (t *transcript) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	close(t.more)
	t.more = make(chan struct{})
	return len(b), nil
}

func (t *transcript) String() string {
	text, _ := t.now()
	return text
}

func (t *transcript) now() (text string, more <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text), t.more
}

// await waits until the stderr of p matches re and returns the submatches.
func (p *process) await(re *regexp.Regexp) ([]string, error) { return p.awaitIn(p.stderr, re) }

// awaitIn waits until an output of p matches re and returns the submatches.
func (p *process) awaitIn(output *transcript, re *regexp.Regexp) ([]string, error) {
	hang := time.NewTimer(hangTime)
	defer hang.Stop()
	for {
		ended := !p.running() // checked first: then output is complete
		text, more := output.now()
		if m := re.FindStringSubmatch(text); m != nil {
			return m, nil
		}
		if ended {
			return nil, fmt.Errorf("ended with exit code %d before its output matched %q", p.code(), re)
		}
		select {
		case <-more:
		case <-p.done:
		case <-hang.C:
			p.dump()
			return nil, fmt.Errorf("stderr does not come to match %q", re)
		}
	}
}

func (s *script) process(name string) *process {
	p := s.processes[name]
	if p == nil {
		s.Fatalf("no process is called %q", name)
	}
	return p
}

func (s *script) start(args []string) {
	s.want(args, 2, "start NAME ARG...")
	s.launch(args[0], args[1:])
}

func (s *script) shielded(args []string) {
	s.want(args, 2, "shielded NAME ARG...")
	ignoring := []string{"-c", `trap "" HUP INT; exec malcolm "$@"`, "sh"}
	s.keep(s.execute(args[0], "sh", append(ignoring, args[1:]...), homeOf(s.work, args[0])))
}

func (s *script) launch(name string, args []string) *process {
	return s.keep(s.execute(name, "malcolm", args, homeOf(s.work, name)))
}

// keep remembers a process by its name.
func (s *script) keep(p *process) *process {
	s.processes[p.name] = p
	s.order = append(s.order, p)
	return p
}

// execute starts a program with the script's environment and more.
func (s *script) execute(name, program string, args, more []string) *process {
	return s.begin(s.command(name, program, args, more))
}

// command is a program with the script's environment and more, to be started.
func (s *script) command(name, program string, args, more []string) *process {
	path, err := exec.LookPath(program)
	s.Check(err)
	p := &process{name: name, stdout: newTranscript(), stderr: newTranscript(), done: make(chan struct{})}
	p.cmd = exec.Command(path, args...)
	p.cmd.Dir = s.MkAbs(".")
	for _, key := range s.vars {
		if value := s.Getenv(key); value != "" {
			p.cmd.Env = append(p.cmd.Env, key+"="+value)
		}
	}
	p.cmd.Env = append(p.cmd.Env, more...)
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	return p
}

func (s *script) begin(p *process) *process {
	s.Check(p.cmd.Start())
	done := p.done // drain replaces it
	go func() {
		p.cmd.Wait()
		close(done)
	}()
	return p
}

var (
	listeningLine = regexp.MustCompile(`(?m)^listening on UDP(?: and TCP)? ([0-9 ]+)(?: and TCP [0-9 ]+)?;`)
	idLine        = regexp.MustCompile(`(?m)^server ID ([A-Z2-7-]+)$`)
	readyLine     = regexp.MustCompile(`(?m)^(anyone who can reach|only holders)`)
)

func (s *script) serve(args []string) {
	s.want(args, 2, "serve NAME ARG...")
	name, words := args[0], append([]string{"serve"}, args[1:]...)
	if !strings.Contains(strings.Join(words, " "), "--bind") {
		words = append(words, "--bind", "127.0.0.1")
	}
	p := s.launch(name, words)
	m, err := p.await(listeningLine)
	s.Check(err)
	_, err = p.await(readyLine)
	s.Check(err)
	ports := strings.Fields(m[1])
	s.set(name, strings.Join(ports, ","))
	id, err := p.await(idLine)
	s.Check(err)
	s.set(name+"ID", id[1])
	for i, port := range ports {
		s.set(name+strconv.Itoa(i+1), port)
	}
}

func (s *script) await(args []string) {
	s.want(args, 2, "await NAME REGEXP")
	re, err := regexp.Compile("(?m)" + args[1])
	s.Check(err)
	if _, err := s.process(args[0]).await(re); err != nil {
		s.Fatalf("%s: %v", args[0], err)
	}
}

func (s *script) signal(args []string) {
	s.want(args, 2, "signal NAME SIGNAL")
	number, ok := scriptSignals[args[1]]
	if !ok {
		s.Fatalf("no signal is called %q", args[1])
	}
	err := s.process(args[0]).cmd.Process.Signal(number)
	if !errors.Is(err, os.ErrProcessDone) { // "ends" checks how it ended
		s.Check(err)
	}
}

// insist sends a signal until the process ends, or until it counts as another
// request than the first.
func (s *script) insist(args []string) {
	s.want(args, 2, "insist NAME SIGNAL")
	p := s.process(args[0])
	for begun := time.Now(); p.running() && time.Since(begun) < 2*sameRequest; time.Sleep(sameRequest / 10) {
		s.signal(args)
	}
}

func (s *script) ends(args []string) {
	s.want(args, 2, "ends NAME CODE")
	p := s.process(args[0])
	s.Check(p.wait())
	p.collected = true
	fmt.Fprint(s.Stdout(), p.stdout.String())
	fmt.Fprint(s.Stderr(), p.stderr.String())
	if args[1] == "KILLED" {
		if p.code() != -1 {
			s.Fatalf("%s: exit code %d, want the end by a signal", p.name, p.code())
		}
		return
	}
	s.demandCode(p.name, p.code(), args[1])
}

func (s *script) demandCode(what string, got int, want string) {
	if strconv.Itoa(got) != want {
		s.Fatalf("%s: exit code %d, want %s", what, got, want)
	}
}

func (s *script) exits(args []string) {
	s.want(args, 2, "exits CODE PROGRAM ARG...")
	p := s.run(args[1], args[2:])
	s.demandCode(args[1], p.code(), args[0])
}

// run runs a program to its end.
func (s *script) run(program string, args []string) *process {
	p := s.execute(program, program, args, nil)
	err := p.wait()
	fmt.Fprint(s.Stdout(), p.stdout.String())
	fmt.Fprint(s.Stderr(), p.stderr.String())
	s.Check(err)
	return p
}

func (s *script) refused(args []string) {
	s.want(args, 1, "refused CODE ARG...")
	s.snapshot(nil)
	p := s.run("malcolm", args[1:])
	s.demandCode("malcolm", p.code(), args[0])
	if out := p.stdout.String(); out != "" {
		s.Fatalf("stdout is %q, want nothing", out)
	}
	s.unchanged(nil)
}

var continueLine = regexp.MustCompile(`(?m)^malcolm: hint: to continue: (.+)$`)

func (s *script) again(args []string) {
	s.want(args, 1, "again CODE")
	m := continueLine.FindStringSubmatch(s.ReadFile("stderr"))
	if m == nil {
		s.Fatalf("stderr has no command that continues")
	}
	s.exits([]string{args[0], "sh", "-c", m[1]})
}
