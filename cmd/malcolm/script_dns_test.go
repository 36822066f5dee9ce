package main

import (
	"context"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// The command of scripts about DNS:
//
//	dns RECORD...     have a name server, which every malcolm of the script asks from then on, answer with
//	                  these records and no others, as 'h.test. A 127.0.0.1'

// nameServerVar names the address of the only name server that malcolm asks in
// a script.
const nameServerVar = "MALCOLM_TEST_NAME_SERVER"

// askOnly has this process ask one name server instead of the system's.
func askOnly(address string) {
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
}

// A nameServer is a real one on 127.0.0.1, over UDP and TCP.
type nameServer struct {
	address string
	mu      sync.Mutex
	records []dns.RR
	asked   map[uint16]int // questions, by type
}

// startNameServer starts one. stop ends it.
func startNameServer() (n *nameServer, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	pc, err := net.ListenPacket("udp", l.Addr().String())
	if err != nil {
		l.Close()
		return nil, nil, err
	}
	n = &nameServer{address: l.Addr().String(), asked: make(map[uint16]int)}
	servers := []*dns.Server{{Listener: l, Handler: n}, {PacketConn: pc, Handler: n}}
	for _, s := range servers {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go s.ActivateAndServe()
		<-started
	}
	return n, func() {
		for _, s := range servers {
			s.Shutdown()
		}
	}, nil
}

// ServeDNS is a [dns.Handler].
func (n *nameServer) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := new(dns.Msg)
	m.SetReply(q)
	m.Rcode = dns.RcodeNameError
	n.asked[q.Question[0].Qtype]++
	for _, r := range n.records {
		if !strings.EqualFold(r.Header().Name, q.Question[0].Name) {
			continue
		}
		m.Rcode = dns.RcodeSuccess
		if r.Header().Rrtype == q.Question[0].Qtype {
			m.Answer = append(m.Answer, r)
		}
	}
	w.WriteMsg(m)
}

// says replaces all records.
func (n *nameServer) says(records []string) error {
	var list []dns.RR
	for _, text := range records {
		r, err := dns.NewRR(text)
		if err != nil {
			return err
		}
		list = append(list, r)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.records = list
	return nil
}

func (s *script) dns(args []string) {
	if s.names == nil {
		n, stop, err := startNameServer()
		s.Check(err)
		s.cleanup(stop)
		s.names = n
		s.set(nameServerVar, n.address)
	}
	s.Check(s.names.says(args))
}

// hearNames is what [overheard] does for dns. Names are asked for each second.
func hearNames() {
	if address := os.Getenv(nameServerVar); address != "" {
		askOnly(address)
		askEvery = time.Second
	}
}
