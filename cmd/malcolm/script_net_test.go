package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"sync"
	"time"

	"malcolm/certs"
	"malcolm/transport"
)

// The commands of scripts about the network. Ports are on 127.0.0.1:
//
//	ports VAR...      set each VAR to a port that nobody uses
//	hold VAR          take a port, so that nobody else can, and set VAR to it
//	udpecho VAR       answer each datagram with itself
//	says URL CODE RE  wait until a GET is answered by CODE and a body with RE
//	otherquic VAR     speak QUIC, but another protocol than malcolm's

// freePorts hands out ports that nobody uses, none twice. They are below those
// that systems hand out, so that no other test's socket takes one between the
// check and its use.
var freePorts = struct {
	sync.Mutex
	next int
}{next: 10_000 + os.Getpid()%10_000}

func freePort() (int, error) {
	freePorts.Lock()
	defer freePorts.Unlock()
	const least, most = 10_000, 32_000
	var err error
	for range most - least {
		freePorts.next++
		if freePorts.next >= most {
			freePorts.next = least
		}
		var pc *net.UDPConn
		if pc, err = net.ListenUDP("udp", &net.UDPAddr{Port: freePorts.next}); err == nil {
			return freePorts.next, pc.Close()
		}
	}
	return 0, err
}

// hasIPv6 reports whether this machine has an IPv6 address of its own.
func hasIPv6() bool {
	pc, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback})
	if err == nil {
		pc.Close()
	}
	return err == nil
}

func (s *script) ports(args []string) {
	s.want(args, 1, "ports VAR...")
	for _, name := range args {
		port, err := freePort()
		s.Check(err)
		s.set(name, strconv.Itoa(port))
	}
}

func (s *script) says(args []string) {
	s.want(args, 3, "says URL CODE REGEXP")
	re, err := regexp.Compile("(?m)" + args[2])
	s.Check(err)
	var last string
	for begun := time.Now(); time.Since(begun) < hangTime; time.Sleep(10 * time.Millisecond) {
		resp, err := http.Get(args[0])
		if err != nil {
			last = err.Error()
			continue
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		last = resp.Status + "\n" + string(body)
		if err == nil && strconv.Itoa(resp.StatusCode) == args[1] && re.Match(body) {
			return
		}
	}
	s.Fatalf("%s says:\n%s", args[0], last)
}

// take opens a socket that lives as long as the script.
func (s *script) take(args []string, usage string) *net.UDPConn {
	s.want(args, 1, usage)
	port, err := freePort()
	s.Check(err)
	pc, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	s.Check(err)
	s.set(args[0], strconv.Itoa(port))
	return pc
}

func (s *script) hold(args []string) {
	pc := s.take(args, "hold VAR")
	s.cleanup(func() { pc.Close() })
}

func (s *script) udpEcho(args []string) {
	pc := s.take(args, "udpecho VAR")
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := pc.ReadFromUDP(buf)
			if err != nil {
				return
			}
			pc.WriteToUDP(buf[:n], from)
		}
	})
	s.cleanup(func() {
		pc.Close()
		wg.Wait()
	})
}

func (s *script) otherQUIC(args []string) {
	pc := s.take(args, "otherquic VAR")
	identity, err := certs.Generate()
	s.Check(err)
	tls, err := identity.ServerTLS(time.Now(), "other/1")
	s.Check(err)
	l, err := transport.Listen(pc, transport.ListenOptions{TLS: tls})
	s.Check(err)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			if _, err := l.Accept(ctx); err != nil {
				return
			}
		}
	})
	s.cleanup(func() {
		cancel()
		l.Close()
		wg.Wait()
	})
}
