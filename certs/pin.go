package certs

import (
	"fmt"
	"strings"
)

// A Pin demands a server ID of every server, of those of one host, or of one
// server. Pins compare with ==; make one with [ParsePin].
type Pin struct {
	Host string // lower-case name or shortest form of an IP address; empty: every host
	Port uint16 // 0: every port
	ID   ServerID
}

// ParsePin reads ID, HOST=ID or HOST:PORT=ID. The ID has one of the forms of
// [ParseServerID]. An IPv6 address with a port stands in brackets, without one
// it may. Errors repeat at most 80 bytes of s, quoted.
func ParsePin(s string) (Pin, error) {
	where, text, found := strings.Cut(s, "=")
	// The base64 of an ID ends with "=", and no host begins like that.
	if !found || strings.HasPrefix(s, curlPrefix) {
		id, err := ParseServerID(s)
		if err != nil {
			return Pin{}, fmt.Errorf("pin: %w", err)
		}
		return Pin{ID: id}, nil
	}
	at, err := parseAddress(where)
	if err != nil {
		return Pin{}, fmt.Errorf("pin: %w; it is written ID, HOST=ID or HOST:PORT=ID", err)
	}
	id, err := ParseServerID(text)
	if err != nil {
		return Pin{}, fmt.Errorf("pin of %s: %w", quoted(at.String()), err)
	}
	return Pin{Host: at.host, Port: at.port, ID: id}, nil
}

// String returns the pin as [ParsePin] reads it.
func (p Pin) String() string {
	switch {
	case p.Host == "":
		return p.ID.String()
	case p.Port == 0:
		return bracketed(p.Host) + "=" + p.ID.String()
	}
	return address{p.Host, p.Port}.String() + "=" + p.ID.String()
}

// Pins are all the pins of one run. Any goroutine may call the methods while
// nobody writes to the slice.
type Pins []Pin

// IDs returns the different IDs that the server at host and port may have, in
// the order of the pins: those pinned for this server; if there are none,
// those for its host; if there are none, those for every server. Without any,
// no pin speaks of this server. The host is written as for [ParsePin], IPv6
// addresses without brackets.
func (p Pins) IDs(host string, port uint16) []ServerID {
	at := address{host, port}
	if known, err := parseAddress(host); err == nil {
		at.host = known.host
	}
	for _, place := range []address{at, {host: at.host}, {}} {
		var ids []ServerID
		seen := make(map[ServerID]bool)
		for _, pin := range p {
			if pin.Host == place.host && pin.Port == place.port && !seen[pin.ID] {
				seen[pin.ID] = true
				ids = append(ids, pin.ID)
			}
		}
		if len(ids) > 0 {
			return ids
		}
	}
	return nil
}
