package certs

import (
	"fmt"
	"slices"
	"strings"
)

// A Pin demands a server ID of every server, of all servers of one host, or of
// one server. Pins compare with ==; make one with [ParsePin].
type Pin struct {
	Host string // lower-case name or shortest form of an IP address; empty: every host
	Port uint16 // 0: every port
	ID   ServerID
}

// ParsePin reads ID, HOST=ID or HOST:PORT=ID. The ID has one of the forms of
// [ParseServerID]. An IPv6 address needs brackets if it has a port. Errors
// repeat at most 80 bytes of s, quoted.
func ParsePin(s string) (Pin, error) {
	where, text, found := strings.Cut(s, "=")
	// An ID in base64 ends with "=", but no host begins like that.
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

// Pins are all pins of one run. Any goroutine may call the methods while nobody
// writes to the slice.
type Pins []Pin

// IDs returns the IDs that are allowed for a server, in the order of the pins;
// it must have one of them. An empty list: no pin is about the server. See
// [Pins.Demands].
func (p Pins) IDs(host string, port uint16) []ServerID { return Common(p.Demands(port, host)) }

// Demands returns what the pins demand of the server at a port of a host: it
// must have one ID of each list. Without lists no pin is about it. hosts are
// the names and addresses by which the host is known, empty ones left out: the
// pins of all of them hold. A pin of a server outweighs those of its host. Pins
// of every server count only if no other pin does. Hosts are written as for
// [ParsePin], IPv6 addresses without brackets.
func (p Pins) Demands(port uint16, hosts ...string) (lists [][]ServerID) {
	for i, host := range hosts {
		if host == "" || slices.Contains(hosts[:i], host) {
			continue
		}
		at := address{host, port}
		if known, err := parseAddress(host); err == nil {
			at.host = known.host
		}
		for _, place := range []address{at, {host: at.host}} {
			if ids := p.of(place); len(ids) > 0 {
				lists = append(lists, ids)
				break
			}
		}
	}
	if ids := p.of(address{}); len(lists) == 0 && len(ids) > 0 {
		lists = append(lists, ids)
	}
	return lists
}

// of returns the IDs of the pins for a place, each once, in their order.
func (p Pins) of(place address) (ids []ServerID) {
	for _, pin := range p {
		if pin.Host == place.host && pin.Port == place.port && !slices.Contains(ids, pin.ID) {
			ids = append(ids, pin.ID)
		}
	}
	return ids
}

// Common returns the IDs that are in every list, in the order of the first.
func Common(lists [][]ServerID) (ids []ServerID) {
	if len(lists) == 0 {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(lists[0]), func(id ServerID) bool {
		return slices.ContainsFunc(lists[1:], func(list []ServerID) bool { return !slices.Contains(list, id) })
	})
}
