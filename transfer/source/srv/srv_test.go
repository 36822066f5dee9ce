package srv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"malcolm/transfer/source"
)

const service = "_malcolm._udp.files.example.com"

// A zone is a real name server on this machine, over UDP and TCP.
type zone struct {
	mu      sync.Mutex
	records []dns.RR
	rcode   int             // of the answer; 0: success
	mute    bool            // nothing is answered
	cuts    int             // most records sent over UDP, which is not said; 0: all
	asked   map[string]int  // questions, by "udp" and "tcp"
	sizes   map[string]bool // networks over which an answer was cut and said so
}

// serveZone starts a name server, which the system's resolver asks until the
// test ends. Without tcp it listens over UDP only.
func serveZone(t *testing.T, tcp bool) *zone {
	z := &zone{asked: make(map[string]int), sizes: make(map[string]bool)}
	var servers []*dns.Server
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pc, err := net.ListenPacket("udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	servers = append(servers, &dns.Server{PacketConn: pc, Handler: z.over("udp")})
	if tcp {
		servers = append(servers, &dns.Server{Listener: l, Handler: z.over("tcp")})
	} else {
		l.Close()
	}
	for _, s := range servers {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go s.ActivateAndServe()
		<-started
		t.Cleanup(func() { s.Shutdown() })
	}
	last := net.DefaultResolver
	t.Cleanup(func() { net.DefaultResolver = last })
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, l.Addr().String())
	}}
	return z
}

// over answers over a network.
func (z *zone) over(network string) dns.HandlerFunc {
	return func(w dns.ResponseWriter, q *dns.Msg) {
		z.mu.Lock()
		defer z.mu.Unlock()
		z.asked[network]++
		if z.mute {
			return
		}
		m := new(dns.Msg)
		m.SetReply(q)
		m.Rcode, m.Compress = z.rcode, true
		for _, r := range z.records {
			h := r.Header()
			if strings.EqualFold(h.Name, q.Question[0].Name) && h.Rrtype == q.Question[0].Qtype {
				m.Answer = append(m.Answer, r)
			}
		}
		if len(m.Answer) == 0 && m.Rcode == 0 {
			m.Rcode = dns.RcodeNameError
		}
		if network == "udp" {
			if z.cuts > 0 {
				m.Answer = m.Answer[:z.cuts]
			}
			size := dns.MinMsgSize
			if o := q.IsEdns0(); o != nil {
				size = int(o.UDPSize())
			}
			m.Truncate(size)
			z.sizes[network] = z.sizes[network] || m.Truncated
		}
		w.WriteMsg(m)
	}
}

// times returns how many questions came over a network.
func (z *zone) times(network string) int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.asked[network]
}

// wasCut reports whether an answer over a network was cut and said so.
func (z *zone) wasCut(network string) bool {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.sizes[network]
}

// says has the zone answer with records: "PRIORITY WEIGHT PORT TARGET".
func (z *zone) says(records ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.records = nil
	for _, text := range records {
		r := &dns.SRV{Hdr: dns.RR_Header{Name: service + ".", Rrtype: dns.TypeSRV, Class: dns.ClassINET, Ttl: 5}}
		if _, err := fmt.Sscan(text, &r.Priority, &r.Weight, &r.Port, &r.Target); err != nil {
			panic(err)
		}
		z.records = append(z.records, r)
	}
}

// ask asks the system's name servers.
func ask(t *testing.T, within time.Duration) (Answer, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	return Ask(ctx, System(), service)
}

// shown are targets with their priorities.
func shown(targets []source.Target) string {
	var list []string
	for _, t := range targets {
		list = append(list, fmt.Sprintf("%s/%d", t, t.Priority))
	}
	return strings.Join(list, " ")
}

// A real name server's records become servers, in the order of their priority.
func TestAsk(t *testing.T) {
	z := serveZone(t, true)
	for _, test := range []struct {
		name    string
		records []string
		want    string
		problem string
	}{
		{"one", []string{"0 0 10001 a.example.com."}, "a.example.com:10001/0", ""},
		{"priorities and weights", []string{"20 9 1 d.", "10 1 3 c.", "10 5 2 b.", "10 5 1 b."}, "b:1/10 b:2/10 c:3/10 d:1/20", ""},
		{"case", []string{"0 0 1 Pod-0.Malcolm.Default.svc.cluster.local."}, "pod-0.malcolm.default.svc.cluster.local:1/0", ""},
		{"a server twice", []string{"9 0 1 a.", "3 0 1 a.", "3 1 1 a."}, "a:1/3", ""},
		{"the port 0", []string{"0 0 0 a.", "0 0 1 b."}, "b:1/0", `records of it are not used: "a" has the port 0`},
		{"an address", []string{"0 0 1 10.0.0.1.", "0 0 1 b."}, "b:1/0", "records of it are not used: they name no hosts (an address is none)"},
		{"a dot beside others", []string{"0 0 0 .", "0 0 1 b."}, "b:1/0", `records of it are not used: "." is no host name`},
		{"odd names", []string{`0 0 1 a\032b.c.`, `0 0 1 a\027[31m.`, "0 0 1 b."}, "b:1/0", "records of it are not used: they name no hosts (an address is none)"},
		{"not there", []string{"0 0 0 ."}, "", ""},
	} {
		z.says(test.records...)
		a, err := ask(t, 5*time.Second)
		if got := shown(a.Servers); err != nil || got != test.want || a.Problem != test.problem {
			t.Errorf("%s: got %q, %q, %v; want %q, %q", test.name, got, a.Problem, err, test.want, test.problem)
		}
		for _, s := range a.Servers {
			if s.Service != service || s.Typed() != "files.example.com" || s.Absolute() != s.Host+"." {
				t.Errorf("%s: %+v", test.name, s)
			}
		}
	}
}

// Without a usable record the error says why, as a fault.
func TestAskErrors(t *testing.T) {
	z := serveZone(t, true)
	for _, test := range []struct {
		name    string
		records []string
		rcode   int
		mute    bool
		want    string
	}{
		{"no such name", nil, dns.RcodeNameError, false, "no name server knows such an SRV name"},
		{"no records", nil, 0, false, "no name server knows such an SRV name"},
		{"a broken server", nil, dns.RcodeServerFailure, false, "the name server has no answer: server misbehaving"},
		{"silence", nil, 0, true, "the name server does not answer"},
		{"addresses only", []string{"0 0 1 10.0.0.1."}, 0, false, "the name server has no answer: DNS response contained records which contain invalid names"},
		{"the port 0 only", []string{"0 0 0 a."}, 0, false, `records of it are not used: "a" has the port 0`},
	} {
		z.says(test.records...)
		z.mu.Lock()
		z.rcode, z.mute = test.rcode, test.mute
		z.mu.Unlock()
		a, err := ask(t, 500*time.Millisecond)
		if source.WhatOf(err) != source.NoHost || err.Error() != test.want || len(a.Servers) > 0 {
			t.Errorf("%s: got %v, %v; want %s", test.name, a, err, test.want)
		}
	}
}

// A thousand records come whole, and the best of them are used.
func TestThousandRecords(t *testing.T) {
	z := serveZone(t, true)
	var records []string
	for i := range 1000 {
		records = append(records, fmt.Sprintf("%d %d 10001 pod-%d.example.com.", i%2, i, i))
	}
	z.says(records...)
	a, err := ask(t, 10*time.Second)
	if err != nil || len(a.Servers) != MaxServers || a.Servers[0].Host != "pod-998.example.com" || a.Servers[MaxServers-1].Priority != 0 ||
		a.Problem != "it names 1000 servers: the first 256 are used, by priority and weight" {
		t.Errorf("%d servers, %q, %v", len(a.Servers), a.Problem, err)
	}
}

// What is cut over UDP is asked for over TCP, also if nobody says that it is
// cut, as Consul does. Name servers that have no TCP are asked over UDP.
func TestCutAnswers(t *testing.T) {
	z := serveZone(t, true)
	z.cuts = 3
	z.says("0 0 1 a.", "0 0 1 b.", "0 0 1 c.", "0 0 1 d.", "0 0 1 e.")
	if a, err := ask(t, 5*time.Second); err != nil || len(a.Servers) != 5 {
		t.Errorf("%s, %v; want all 5", shown(a.Servers), err)
	}

	z = serveZone(t, false)
	z.says("0 0 1 a.", "0 0 1 b.")
	if a, err := ask(t, 5*time.Second); err != nil || len(a.Servers) != 2 || z.times("udp") == 0 {
		t.Errorf("without TCP: %s, %v", shown(a.Servers), err)
	}

	z = serveZone(t, true)
	var records []string
	for i := range 100 {
		records = append(records, fmt.Sprintf("0 0 1 pod-%d.malcolm.default.svc.cluster.local.", i))
	}
	z.says(records...)
	_, plain, err := net.DefaultResolver.LookupSRV(t.Context(), "", "", service)
	if err != nil || len(plain) != 100 || !z.wasCut("udp") || z.times("tcp") == 0 {
		t.Errorf("plain: %d records, %v, %d over TCP", len(plain), err, z.times("tcp"))
	}
}

// A fake lookup's records are no pointers that an answer changes.
func TestAskKeepsRecords(t *testing.T) {
	records := []*net.SRV{{Target: "b.", Port: 1, Priority: 2}, {Target: "a.", Port: 1, Priority: 1}}
	kept := slices.Clone(records)
	lookup := func(context.Context, string) ([]*net.SRV, error) { return records, nil }
	if _, err := Ask(t.Context(), lookup, service); err != nil || !slices.Equal(records, kept) {
		t.Errorf("%v, %v", records, err)
	}
}

// Whatever a name server says, a name that is taken is one, and words are
// bounded.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{"a.", ".", "", "10.0.0.1.", "a b.", strings.Repeat("a.", 200), "\x1b[31m.", "-a.", "_a._b.c.", "\xff."} {
		f.Add(seed, uint16(1))
	}
	f.Fuzz(func(t *testing.T, target string, port uint16) {
		a, err := answerOf(service, []*net.SRV{{Target: target, Port: port}}, false)
		var words string
		switch {
		case err != nil:
			if words = err.Error(); len(a.Servers) > 0 {
				t.Error("servers and an error")
			}
		case len(a.Servers) != 1 || a.Servers[0].Port == 0 || strings.ContainsAny(a.Servers[0].String(), " \"'\\/@%\x00\x1b"):
			t.Errorf("got %+v", a)
		}
		if len(words) > 512 || strings.ContainsFunc(words, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x202e }) {
			t.Errorf("words: %q", words)
		}
	})
}

var errTest = errors.New("a test has ended it")
