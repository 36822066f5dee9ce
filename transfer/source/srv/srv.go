// Package srv finds the servers that an SRV name of DNS leads to (RFC 2782),
// once or again and again. What name servers say is a stranger's word: names
// are checked, and everything is bounded.
package srv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"time"

	"malcolm/transfer/source"
)

const (
	// Every is the time between two looks at a name, for a [Book].
	Every = 30 * time.Second
	// MaxServers bounds the servers of one name.
	MaxServers = 256
)

// A Lookup returns the SRV records of a name, as [net.Resolver].LookupSRV does
// without a service. It may return records and an error, if some records have
// bad names. Any goroutine may call it.
type Lookup func(ctx context.Context, name string) ([]*net.SRV, error)

// System returns the lookup of the system's name servers. They are asked over
// TCP first: Consul and some others cut what they say over UDP to a few records
// chosen by chance, and do not say so. Those that do not answer over TCP are
// asked over UDP. It is made of [net.DefaultResolver].
func System() Lookup {
	plain := func(ctx context.Context, name string) ([]*net.SRV, error) {
		_, records, err := net.DefaultResolver.LookupSRV(ctx, "", "", name)
		return records, err
	}
	if runtime.GOOS == "windows" { // only the system knows whom to ask
		return plain
	}
	dial := net.DefaultResolver.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	overTCP := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, address string) (net.Conn, error) {
		return dial(ctx, "tcp", address)
	}}
	return func(ctx context.Context, name string) ([]*net.SRV, error) {
		first, cancel := ctx, context.CancelFunc(func() {})
		if deadline, ok := ctx.Deadline(); ok {
			first, cancel = context.WithTimeout(ctx, time.Until(deadline)/2)
		}
		defer cancel()
		_, records, err := overTCP.LookupSRV(first, "", "", name)
		if e, ok := errors.AsType[*net.DNSError](err); len(records) > 0 || err == nil || ok && e.IsNotFound {
			return records, err
		}
		return plain(ctx, name)
	}
}

// An Answer is what DNS says of a name.
type Answer struct {
	// Servers are in the order of their priority, each host and port once,
	// at most [MaxServers] of them.
	Servers []source.Target
	// Problem says which records are not used, in words for the user.
	// Empty: all are.
	Problem string
}

// Ask asks for an SRV name. An answer without servers means that the name's
// owner says that there is no such service. The error is a fault without the
// name.
func Ask(ctx context.Context, lookup Lookup, service string) (Answer, error) {
	records, err := lookup(ctx, service)
	if len(records) == 0 {
		return Answer{}, fault(err)
	}
	if len(records) == 1 && records[0].Target == "." {
		return Answer{}, nil
	}
	return answerOf(service, records, err != nil)
}

// fault says why there are no records.
func fault(err error) *source.Fault {
	f := &source.Fault{What: source.NoHost, Words: "no name server knows such an SRV name", Err: err}
	if dns, ok := errors.AsType[*net.DNSError](err); err != nil && !(ok && dns.IsNotFound) {
		f.Words = "the name server has no answer"
		switch {
		case ok && dns.IsTimeout, errors.Is(err, context.DeadlineExceeded):
			f.Words = "the name server does not answer"
		case ok:
			f.Words += ": " + dns.Err
		}
	}
	return f
}

// answerOf takes what is right of the records of a name. hidden: the lookup has
// left out more wrong ones.
func answerOf(service string, records []*net.SRV, hidden bool) (a Answer, err error) {
	records = slices.Clone(records)
	slices.SortFunc(records, func(a, b *net.SRV) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), -cmp.Compare(a.Weight, b.Weight),
			strings.Compare(a.Target, b.Target), cmp.Compare(a.Port, b.Port))
	})
	seen := make(map[source.Target]bool)
	var wrong []string
	more := 0
	for _, r := range records {
		host, ok := hostOf(r.Target)
		place := source.Target{Host: host, Port: r.Port}
		switch {
		case !ok:
			wrong = append(wrong, fmt.Sprintf("%q is no host name", cut(r.Target)))
		case r.Port == 0:
			wrong = append(wrong, fmt.Sprintf("%q has the port 0", host))
		case seen[place]:
		case len(a.Servers) == MaxServers:
			more++
			fallthrough
		default:
			if seen[place] = true; more == 0 {
				place.Service, place.Priority = service, r.Priority
				a.Servers = append(a.Servers, place)
			}
		}
	}
	switch {
	case len(wrong) > 0:
		a.Problem = fmt.Sprintf("records of it are not used: %s", wrong[0])
		if len(wrong) > 1 {
			a.Problem += fmt.Sprintf(", and %d more are wrong", len(wrong)-1)
		}
	case hidden:
		a.Problem = "records of it are not used: they name no hosts (an address is none)"
	case more > 0:
		a.Problem = fmt.Sprintf("it names %d servers: the first %d are used, by priority and weight", MaxServers+more, MaxServers)
	}
	if len(a.Servers) == 0 {
		return Answer{}, &source.Fault{What: source.NoHost, Words: a.Problem}
	}
	return a, nil
}

// hostOf returns the host of a record's target, without the dot at its end.
func hostOf(target string) (host string, ok bool) {
	const maxName, maxLabel = 253, 63 // RFC 1035, section 2.3.4, in bytes
	host = strings.ToLower(strings.TrimSuffix(target, "."))
	if host == "" || len(host) > maxName {
		return "", false
	}
	last := ""
	for label := range strings.SplitSeq(host, ".") {
		odd := func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_')
		}
		if label == "" || len(label) > maxLabel || label[0] == '-' || strings.ContainsFunc(label, odd) {
			return "", false
		}
		last = label
	}
	return host, strings.Trim(last, "0123456789") != "" // else it is an address
}

// cut returns as much of a stranger's text as is shown.
func cut(s string) string {
	const most = 64
	return s[:min(len(s), most)]
}
