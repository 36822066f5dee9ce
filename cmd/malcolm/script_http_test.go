package main

import (
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
)

// The commands of scripts about HTTP:
//
//	http STATUS URL FILE [HEADER...]   get an address, demand the status, and write the body to FILE
//	httplink STATUS LIST FILE          the same with the address in the first line of LIST

// http gets an address. It trusts any server that answers.
func (s *script) http(args []string) {
	if len(args) < 3 {
		s.Fatalf("usage: http STATUS URL FILE [HEADER...]")
	}
	request, err := http.NewRequest("GET", args[1], nil)
	s.Check(err)
	for _, line := range args[3:] {
		name, value, _ := strings.Cut(line, ": ")
		request.Header.Set(name, value)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	r, err := transport.RoundTrip(request)
	s.Check(err)
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	s.Check(err)
	if strconv.Itoa(r.StatusCode) != args[0] {
		s.Fatalf("%s answers %s, want %s: %q", args[1], r.Status, args[0], body)
	}
	s.Check(os.WriteFile(s.MkAbs(args[2]), body, 0o644))
}

func (s *script) httpLink(args []string) {
	if len(args) != 3 {
		s.Fatalf("usage: httplink STATUS LIST FILE")
	}
	line, _, _ := strings.Cut(s.ReadFile(args[1]), "\n")
	s.http([]string{args[0], line, args[2]})
}
