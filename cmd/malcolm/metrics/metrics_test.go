package metrics

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"

	"malcolm/transfer/fetch"
	"malcolm/transfer/serve"
	"malcolm/transfer/source"
	"malcolm/wire"
)

// snapshot returns one of a session over n sources.
func snapshot(n int) fetch.Snapshot {
	p := fetch.Snapshot{Taken: time.Now(), Phase: fetch.PhaseFetching, Size: 1000, Good: 500}
	p.Session.Votes = fetch.VoteTotals{Decided: 1, Groups: 2, Most: 3, All: 4}
	for i := range n {
		r := fetch.ServerReport{
			Target: source.Target{Host: fmt.Sprintf("host-%d", i), Port: 9001}, State: fetch.StateServing,
			Bytes: 100, BadChunks: 1, Rate: 5, RTT: time.Millisecond, Conns: 2,
		}
		r.Over[source.QUIC], r.Over[source.TCP], r.Asked = 200, 10, 7
		p.Servers = append(p.Servers, r)
	}
	return p
}

// everything returns a registry with all collectors, pedantic.
func everything(p fetch.Snapshot, st serve.Status) *prometheus.Registry {
	r := prometheus.NewPedanticRegistry()
	c := newSessions()
	c.watch(func() fetch.Snapshot { return p })
	ready := func() (bool, string) { return true, "" }
	r.MustRegister(&run{command: "get", begun: time.Now(), ready: ready}, c, newServer(func() serve.Status { return st }))
	r.MustRegister(ending{time.Now(), 7})
	return r
}

func status(ports ...int) (st serve.Status) {
	for i, p := range ports {
		st.Servers = append(st.Servers, serve.VirtualStatus{
			Addr: addr(p), UDP: true, Sent: 100, OverTCP: serve.PartStatus{Sent: 30}, HTTP: serve.PartStatus{Sent: 10}, Packets: 10, Lost: int64(i + 1),
		})
	}
	st.Refused[wire.StatusBusy] = 3
	st.Reads.Slots[2], st.Reads.Sum = 4, time.Millisecond
	return st
}

// What is shown keeps Prometheus's rules, and every metric of the table is
// shown.
func TestLint(t *testing.T) {
	r := everything(snapshot(2), status(9001, 9002))
	problems, err := testutil.GatherAndLint(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	shown := make(map[string]bool)
	for _, f := range families {
		shown[f.GetName()] = true
	}
	for _, m := range table {
		if !shown[m.Name] {
			t.Errorf("%s is never shown", m.Name)
		}
		if m.Kind == "counter" != strings.HasSuffix(m.Name, "_total") {
			t.Errorf("%s is a %s", m.Name, m.Kind)
		}
		if strings.ContainsAny(m.Help, "|") {
			t.Errorf("%s: its help would break the table", m.Name)
		}
	}
	if len(shown) != len(table) {
		t.Errorf("%d metrics are shown, want the %d of the table", len(shown), len(table))
	}
}

// The numbers are those of the run.
func TestValues(t *testing.T) {
	st := status(9001, 80)
	st.Servers[1] = serve.VirtualStatus{Addr: &net.TCPAddr{Port: 80}, TCP: true, Web: true}
	r := everything(snapshot(1), st)
	want := `
# HELP malcolm_get_received_bytes_total Bytes of ranges that came, right or not.
# TYPE malcolm_get_received_bytes_total counter
malcolm_get_received_bytes_total{source="host-0:9001",transport="quic"} 200
malcolm_get_received_bytes_total{source="host-0:9001",transport="tcp"} 10
# HELP malcolm_get_vote_majority_votes Votes of the majority in the last vote.
# TYPE malcolm_get_vote_majority_votes gauge
malcolm_get_vote_majority_votes 3
# HELP malcolm_serve_sent_bytes_total Bytes of the file that were sent.
# TYPE malcolm_serve_sent_bytes_total counter
malcolm_serve_sent_bytes_total{port="80",transport="http"} 0
malcolm_serve_sent_bytes_total{port="80",transport="quic"} 0
malcolm_serve_sent_bytes_total{port="80",transport="tcp"} 0
malcolm_serve_sent_bytes_total{port="9001",transport="http"} 10
malcolm_serve_sent_bytes_total{port="9001",transport="quic"} 70
malcolm_serve_sent_bytes_total{port="9001",transport="tcp"} 20
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want),
		"malcolm_get_received_bytes_total", "malcolm_get_vote_majority_votes", "malcolm_serve_sent_bytes_total"); err != nil {
		t.Error(err)
	}
	text := textOf(t, r)
	for _, line := range []string{
		`malcolm_serve_refusals_total{reason="busy"} 3`, `malcolm_serve_disk_read_seconds_bucket{le="0.0005"} 4`,
		`malcolm_serve_disk_read_seconds_bucket{le="0.00025"} 0`, `malcolm_serve_disk_read_seconds_count 4`,
		`malcolm_serve_listening{port="80",transport="http"} 1`, `malcolm_serve_listening{port="9001",transport="tcp"} 0`,
		`malcolm_get_sources{state="serving"} 1`, `malcolm_get_phase{phase="fetching"} 1`, `malcolm_run_exit_code 7`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("%s is missing", line)
		}
	}
}

func textOf(t testing.TB, g prometheus.Gatherer) string {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range families {
		expfmt.MetricFamilyToText(&b, f)
	}
	return b.String()
}

// A thousand sources have no more labels than maxNamed and one, and their sums
// are right. So have a thousand ports.
func TestCardinality(t *testing.T) {
	ports := make([]int, 1000)
	for i := range ports {
		ports[i] = 10000 + i
	}
	text := textOf(t, everything(snapshot(1000), status(ports...)))
	for _, want := range []string{
		`malcolm_get_good_bytes_total{source="host-99:9001"} 100`, `malcolm_get_good_bytes_total{source="others"} 90000`,
		`malcolm_serve_sent_bytes_total{port="others",transport="quic"} 63000`, `malcolm_serve_sent_bytes_total{port="10099",transport="quic"} 70`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("%s is missing", want)
		}
	}
	if n := strings.Count(text, "malcolm_get_good_bytes_total{"); n != maxNamed+1 {
		t.Errorf("%d sources are named, want %d", n, maxNamed+1)
	}
	if n := strings.Count(text, "\n"); n > 4000 {
		t.Errorf("%d lines", n)
	}
}

// Addresses of one name have its label, whatever DNS says, and a name may be
// any bytes.
func TestLabelsAreTyped(t *testing.T) {
	p := snapshot(2)
	p.Servers[0].Target = source.Target{Host: "10.0.0.1", Port: 1, Name: "h\xffst"}
	p.Servers[1].Target = source.Target{Host: "10.0.0.2", Port: 1, Name: "h\xffst"}
	text := textOf(t, everything(p, status()))
	if !strings.Contains(text, `malcolm_get_good_bytes_total{source="h?st:1"} 200`) || strings.Contains(text, "10.0.0.") {
		t.Error("the sources are not summed under the name that was typed")
	}
	for i := range 2 {
		p.Servers[i].Target = source.Target{Host: "h" + string(rune('1'+i)), Port: uint16(i + 1), Service: "_m._udp.x"}
	}
	if text := textOf(t, everything(p, status())); !strings.Contains(text, `malcolm_get_good_bytes_total{source="srv:_m._udp.x"} 200`) {
		t.Error("the servers of an SRV name are not summed under it")
	}
}

// A mirror has its address without what may be secret, and no transport of a
// server.
func TestMirrors(t *testing.T) {
	p := snapshot(1)
	p.Servers[0].Target = source.Target{Host: "h", Port: 443, URL: "https://user:secret@h/dir/x?key=secret"}
	p.Servers[0].Over = [source.TCP + 1]int64{5}
	text := textOf(t, everything(p, status()))
	want := `malcolm_get_received_bytes_total{source="https://h/dir/x",transport="https"} 5`
	if !strings.Contains(text, want+"\n") || strings.Contains(text, "secret") || strings.Contains(text, `source="https://h/dir/x",transport="quic"`) {
		t.Errorf("%s is missing, or a secret is shown", want)
	}
}

// Counters do not fall when a session ends or a late packet is acknowledged.
func TestCountersNeverFall(t *testing.T) {
	c := newSessions()
	r := prometheus.NewPedanticRegistry()
	st := status(9001)
	r.MustRegister(c, newServer(func() serve.Status { return st }))
	p := snapshot(1)
	release := c.watch(func() fetch.Snapshot { return p })
	expect := func(when string, lines ...string) {
		t.Helper()
		text := textOf(t, r)
		for _, line := range lines {
			if !strings.Contains(text, line+"\n") {
				t.Errorf("%s: %s is missing", when, line)
			}
		}
	}
	expect("first", `malcolm_get_good_bytes_total{source="host-0:9001"} 100`, `malcolm_get_connections{source="host-0:9001"} 2`, `malcolm_serve_lost_packets_total{port="9001"} 1`)
	st.Servers[0].Lost = 0
	release()
	expect("after its end", `malcolm_get_good_bytes_total{source="host-0:9001"} 100`, `malcolm_get_connections{source="host-0:9001"} 0`, `malcolm_get_done_bytes 500`, `malcolm_get_phase{phase="fetching"} 0`, `malcolm_serve_lost_packets_total{port="9001"} 1`)
	c.watch(func() fetch.Snapshot { return p })
	expect("with another", `malcolm_get_good_bytes_total{source="host-0:9001"} 200`, `malcolm_get_votes_total{result="decided"} 2`)
}

// A session is ready when its vote is over, and alive while its loop takes
// snapshots.
func TestHealthOfSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := Open(Config{Command: "get"})
		if err != nil {
			t.Fatal(err)
		}
		h := m.handler()
		expect := func(path string, code int, body string) {
			t.Helper()
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
			if w.Code != code || strings.TrimSpace(w.Body.String()) != body {
				t.Errorf("%s is %d %q, want %d %q", path, w.Code, w.Body, code, body)
			}
		}
		expect("/livez", 200, "ok")
		expect("/readyz", 503, "starting")
		p := fetch.Snapshot{Taken: time.Now()}
		release := m.Watch(func() fetch.Snapshot { return p })
		expect("/readyz", 503, "voting")
		p.Phase = fetch.PhasePreparing
		expect("/readyz", 200, "ok")
		time.Sleep(frozenTime)
		expect("/livez", 200, "ok")
		time.Sleep(time.Second)
		expect("/livez", 503, "no progress of the main loop for 11s")
		release()
		expect("/livez", 200, "ok")
		expect("/readyz", 200, "ok")
	})
}

// Profiles are only there if they are asked for, by address, and never the
// command line.
func TestProfiles(t *testing.T) {
	for _, test := range []struct {
		on   bool
		url  string
		code int
	}{
		{false, "http://127.0.0.1:9100/debug/pprof/", 404},
		{true, "http://127.0.0.1:9100/debug/pprof/", 200},
		{true, "http://localhost:9100/debug/pprof/heap?debug=1", 200},
		{true, "http://[::1]:9100/debug/pprof/goroutine?debug=1", 200},
		{true, "http://rebound.example:9100/debug/pprof/heap", 403},
		{true, "http://127.0.0.1:9100/debug/pprof/cmdline", 404},
	} {
		m, err := Open(Config{Command: "get", PProf: test.on})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		m.handler().ServeHTTP(w, httptest.NewRequest("GET", test.url, nil))
		if w.Code != test.code {
			t.Errorf("%s with profiles %t: %d, want %d", test.url, test.on, w.Code, test.code)
		}
	}
}

// The listener answers over HTTP, and nothing is left of it at the end.
func TestListen(t *testing.T) {
	m, err := Open(Config{Command: "get"})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := ln.Addr().String()
	m.Listen(ln)
	for path, want := range map[string]string{"/metrics": "go_goroutines ", "/": "/livez"} {
		resp, err := http.Get("http://" + at + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || !strings.Contains(string(body), want) {
			t.Errorf("%s is %d, %v, without %s", path, resp.StatusCode, err, want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	m.Close(0)
	if _, err := http.Get("http://" + at + "/livez"); err == nil {
		t.Error("it still answers at the end")
	}
	(*Metrics)(nil).Close(0)
}

// Connections that only wait shut nobody out: beyond the bound goes the longest
// idle one of the address with the most, and nobody who is being answered.
func TestLongestIdleConnectionGoesFirst(t *testing.T) {
	gone := make(map[int]bool)
	c := crowd{most: 4}
	conns := make([]*guest, 10)
	for i := range conns {
		conns[i] = &guest{from: net.IPv4(127, 0, 0, 1), gone: func() { gone[i] = true }}
	}
	conns[0].from = net.IPv4(127, 0, 0, 2)
	come := func(i int) { c.watch(conns[i], http.StateNew) }
	for i := range 4 {
		come(i)
	}
	c.watch(conns[1], http.StateActive)
	for _, step := range []struct {
		then func()
		want []int
	}{
		{func() { come(4) }, []int{2}},
		{func() { c.watch(conns[2], http.StateClosed); come(5) }, []int{2, 3}},
		{func() { c.watch(conns[1], http.StateIdle); come(6) }, []int{2, 3, 4}},
		{func() {
			for _, i := range []int{0, 1, 5, 6} {
				c.watch(conns[i], http.StateActive)
			}
			come(7)
		}, []int{2, 3, 4, 7}},
		{func() { c.watch(conns[7], http.StateClosed); c.watch(conns[1], http.StateClosed); come(8) }, []int{2, 3, 4, 7}},
	} {
		step.then()
		if got := slices.Sorted(maps.Keys(gone)); !slices.Equal(got, step.want) {
			t.Errorf("sent away are %v, want %v", got, step.want)
		}
	}
}

// A guest is a connection that says when it is closed.
type guest struct {
	net.Conn
	from net.IP
	gone func()
}

func (g *guest) RemoteAddr() net.Addr { return &net.TCPAddr{IP: g.from} }

func (g *guest) Close() error {
	g.gone()
	return nil
}

// A hundred idle connections do not keep out who scrapes.
func TestIdleConnectionsDoNotBlockScrapes(t *testing.T) {
	m, err := Open(Config{Command: "get"})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.Listen(ln)
	defer m.Close(0)
	for range 100 {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	resp, err := client.Get("http://" + ln.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

// The file is there from the start, whole, for everybody, and says at the end
// how the run ended. Nothing else is left beside it.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "backup.prom")
	m, err := Open(Config{Command: "get", File: path, Interval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	m.Begin()
	first := read(t, path)
	release := m.Watch(func() fetch.Snapshot { return snapshot(1) })
	for !strings.Contains(read(t, path), "host-0") {
		time.Sleep(time.Millisecond)
	}
	release()
	m.Close(7)
	last := read(t, path)
	for text, want := range map[string]string{
		first: `malcolm_run_info{command="get",run="backup"} 1`, last: `malcolm_run_exit_code{run="backup"} 7`,
	} {
		if !strings.Contains(text, want+"\n") || !strings.HasPrefix(text, fileStart) || strings.Contains(text, "go_") {
			t.Errorf("%s is missing in\n%s", want, text)
		}
	}
	if strings.Contains(first, "exit_code") {
		t.Error("there is an exit code from the start")
	}
	info, err := os.Stat(path)
	if err != nil || os.PathSeparator == '/' && info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v; want -rw-r--r--", info.Mode(), err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("%v lie there, want the file alone", entries)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Only files that hold metrics of malcolm are replaced, and the name must be
// one that node_exporter reads.
func TestFileOfOthers(t *testing.T) {
	dir := t.TempDir()
	at := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	data, other := at("data.mp4", "bytes"), at("node.prom", "# HELP node_load1 1m load average.\n")
	if _, err := Open(Config{Command: "get", File: data}); err == nil || !errors.As(err, new(*NameError)) {
		t.Errorf("%v for a name without .prom", err)
	}
	for _, path := range []string{other, dir + "/none/x.prom", t.TempDir() + "/x.prom/"} {
		if _, err := Open(Config{Command: "get", File: path}); err == nil {
			t.Errorf("%s can be written", path)
		}
	}
	if read(t, other) != "# HELP node_load1 1m load average.\n" || read(t, data) != "bytes" {
		t.Error("a file of others was changed")
	}
	for _, path := range []string{at("empty.prom", ""), at("ours.prom", fileStart+"x\n")} {
		if _, err := Open(Config{Command: "get", File: path}); err != nil {
			t.Error(err)
		}
	}
}

// A file that cannot be written any more is told once.
func TestFileFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var told []string
	m, err := Open(Config{Command: "get", File: filepath.Join(dir, "x.prom"), Warn: func(f string, a ...any) { told = append(told, fmt.Sprintf(f, a...)) }})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	m.Begin()
	m.Close(0)
	if len(told) != 1 || !strings.Contains(told[0], "the run goes on") {
		t.Errorf("told %q, want one warning", told)
	}
}

// Every metric in the file of alerts is one that is shown.
func TestAlerts(t *testing.T) {
	rules := read(t, filepath.Join("..", "deploy", "malcolm.rules.yml"))
	known := make(map[string]bool)
	for _, m := range table {
		known[m.Name] = true
		if m.Kind == "histogram" {
			known[m.Name+"_sum"], known[m.Name+"_count"], known[m.Name+"_bucket"] = true, true, true
		}
	}
	used := make(map[string]bool)
	for _, name := range regexp.MustCompile(`malcolm_[a-z_0-9]+`).FindAllString(rules, -1) {
		used[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(used)) {
		if !known[name] {
			t.Errorf("the alerts use %s, which is no metric", name)
		}
	}
	tests := read(t, filepath.Join("..", "deploy", "malcolm.rules_test.yml"))
	alerts := regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(rules, -1)
	for _, alert := range alerts {
		if strings.Count(tests, "alertname: "+alert[1]) < 2 {
			t.Errorf("%s is not tested both ways", alert[1])
		}
	}
	if len(alerts) < 8 || len(used) < 8 {
		t.Errorf("only %d alerts of %d metrics were found", len(alerts), len(used))
	}
}

// The values of labels that are numbers of the program all have a word.
func TestWords(t *testing.T) {
	for what, words := range map[string][]string{"phase": phases[:], "state": states[:], "closing": closings[:]} {
		for i, w := range words {
			if !regexp.MustCompile(`^[a-z_]+$`).MatchString(w) {
				t.Errorf("%s %d is %q", what, i, w)
			}
		}
	}
	if len(phases) != int(fetch.PhaseFinishing)+1 || len(states) != int(fetch.StateWrong)+1 {
		t.Errorf("%d phases and %d states", len(phases), len(states))
	}
}

// A scrape of a session over a thousand sources.
func BenchmarkScrape(b *testing.B) {
	for _, n := range []int{4, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := everything(snapshot(n), status(9001, 9002, 9003, 9004))
			for b.Loop() {
				if _, err := r.Gather(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func addr(port int) net.Addr { return &net.UDPAddr{IP: net.IPv4zero, Port: port} }
