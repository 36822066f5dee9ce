package https

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"malcolm/transfer/source"
	"malcolm/transport"
)

// This file sorts what can go wrong with a mirror and puts it into words. Of
// what a mirror has sent they hold only numbers and, quoted, the host to which
// a redirect leads. They never hold an address's query, or headers.

// A row is what an error means.
type row struct {
	what  source.What
	words string // empty: the error's own
}

// What errors of the network mean. A kind that is not listed is a lost
// connection.
var (
	networkRows = map[transport.NetworkKind]row{
		transport.PortUnreachable: {what: source.NoPort},
		transport.HostUnreachable: {what: source.NoRoute},
		transport.Prohibited:      {what: source.Prohibited},
		transport.NoLocalAddress:  {what: source.NoInterface},
		transport.NoAnswer:        {what: source.NoAnswer},
		transport.SlowAnswer:      {what: source.SlowAnswer},
		transport.IdleTimeout:     {source.Lost, "the connection died: nothing came for too long"},
	}
	peerRows = map[transport.PeerKind]row{
		transport.PeerNoALPN:    {source.Foreign, "something else than https answers on this port"},
		transport.PeerVersion:   {source.Foreign, "something else than https answers on this port"},
		transport.PeerTLS:       {source.Lost, "the encrypted connection could not be made"},
		transport.PeerProtocol:  {source.Lost, "the encrypted connection broke"},
		transport.PeerRefused:   {source.Lost, "the mirror closed the connection at once"},
		transport.PeerRestarted: {source.Lost, "the mirror has ended the connection"},
	}
	localRows = map[transport.LocalKind]row{
		transport.LocalClosed:   {source.Lost, "the connection was closed here"},
		transport.LocalCanceled: {source.Lost, "the connection was closed here"},
		transport.LocalDeadline: {source.Lost, "no answer in time"},
	}
)

// networkFault sorts an error of the network.
func networkFault(err error) *source.Fault {
	f := &source.Fault{What: source.Lost, Words: "the connection was lost", Err: err}
	is := func(r row) {
		if r.what != source.Lost {
			f.What = r.what
		}
		if r.words != "" {
			f.Words = r.words
		}
	}
	if e, ok := errors.AsType[*transport.NetworkError](err); ok {
		f.Words = e.Error()
		is(networkRows[e.Kind])
	}
	if e, ok := errors.AsType[*transport.PeerError](err); ok {
		is(peerRows[e.Kind])
		if e.Kind == transport.PeerTLS && e.Code > 0 {
			f.Words += fmt.Sprintf(" (TLS alert %d)", e.Code)
		}
	}
	if e, ok := errors.AsType[*transport.LocalError](err); ok {
		is(localRows[e.Kind])
	}
	return f
}

// certificateWords says why a certificate is refused, without its text.
func certificateWords(e *tls.CertificateVerificationError) string {
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](e)
	_, isHost := errors.AsType[x509.HostnameError](e)
	_, isAuthority := errors.AsType[x509.UnknownAuthorityError](e)
	switch {
	case isHost:
		return "its certificate is for another host"
	case isAuthority:
		return "its certificate is of no authority that is trusted"
	case isInvalid && invalid.Reason == x509.Expired:
		return "its certificate has expired, or is not valid yet"
	}
	return "its certificate is not valid"
}

// streamFault sorts an error of a connection over which an answer comes.
func streamFault(err error, waited time.Duration) *source.Fault {
	if f, ok := errors.AsType[*source.Fault](err); ok {
		return f
	}
	f := networkFault(transport.SocketError(err))
	if e, ok := errors.AsType[*transport.LocalError](f.Err); ok && e.Kind == transport.LocalDeadline {
		f.Words = fmt.Sprintf("nothing came for %v", waited)
	}
	return f
}

// saying returns a fault.
func saying(what source.What, format string, args ...any) *source.Fault {
	return &source.Fault{What: what, Words: fmt.Sprintf(format, args...)}
}

// errExpired is the cause where a status may be that of a link that has expired
// or is not valid yet.
var errExpired = errors.New("the link may have expired")

// statusFaults says what statuses without bytes mean. Of the others, 400 to 499
// say that the file is not there. Above that, another try may help. Below that,
// the mirror does something that was not asked for.
var statusFaults = map[int]source.Fault{
	http.StatusBadRequest:         {What: source.Absent, Err: errExpired}, // some stores say so
	http.StatusUnauthorized:       {What: source.Absent, Err: errExpired},
	http.StatusForbidden:          {What: source.Absent, Err: errExpired},
	http.StatusTooManyRequests:    {What: source.Full},
	http.StatusServiceUnavailable: {What: source.Full},
	http.StatusPreconditionFailed: {What: source.Changed, Words: "its file changed"},
	http.StatusRequestTimeout:     {What: source.Lost},
	http.StatusMisdirectedRequest: {What: source.Lost},
	http.StatusTooEarly:           {What: source.Lost},
	http.StatusLocked:             {What: source.Lost},
}

// statusFault says what a status without bytes means. A redirect is no fault.
func statusFault(status int, h http.Header, now time.Time) *source.Fault {
	f, listed := statusFaults[status]
	switch {
	case listed:
	case status/100 == 4:
		f.What = source.Absent
	case status/100 < 4:
		f.What = source.Unsupported
	}
	if f.Words == "" {
		f.Words = "the mirror answers with " + statusWords(status)
	}
	if f.What == source.Full {
		f.Wait = parseRetryAfter(h, now)
	}
	return &f
}

func statusWords(status int) string {
	if text := http.StatusText(status); text != "" {
		return fmt.Sprintf("%d (%s)", status, text)
	}
	return fmt.Sprintf("status %d", status)
}

// isRefusal reports whether a status may be that of a link that has expired, or
// of where one leads. Of the files of a tree some may be missing.
func isRefusal(status int, inTree bool) bool {
	switch status {
	case http.StatusNotFound:
		return !inTree
	case http.StatusGone:
		return true
	}
	return statusFaults[status].Err == errExpired
}
