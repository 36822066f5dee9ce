package malcolm

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"malcolm/certs"
	"malcolm/transfer/source"
	"malcolm/transport"
	"malcolm/wire"
)

// This file alone sorts what can go wrong with a server, and puts it into
// words.

// wordsOfUs is for a server that says we broke the protocol.
const wordsOfUs = "the server says that we broke the protocol"

// A row is what an error means.
type row struct {
	what  source.What
	words string
}

var (
	closeRows = map[wire.CloseCode]row{
		wire.CloseDone:      {source.Lost, "the server has ended the connection"},
		wire.CloseStopping:  {source.Full, "the server is stopping"},
		wire.CloseLimit:     {source.Full, "the server says that a limit is reached"},
		wire.CloseProtocol:  {source.Lost, wordsOfUs},
		wire.CloseDenied:    {source.Lost, "the server refuses the token"},
		wire.CloseUntrusted: {source.Lost, "the server does not trust us"},
		wire.CloseInternal:  {source.Lost, "the server says that it has an internal error"},
	}
	streamRows = map[wire.StreamCode]row{
		wire.StreamCancelled:  {source.Lost, "the server ended a range"},
		wire.StreamChanged:    {source.Changed, "its file changed"},
		wire.StreamUnreadable: {source.Lost, "the server cannot read its file"},
		wire.StreamStalled:    {source.Lost, "the server says that this side read nothing for too long"},
		wire.StreamStopping:   {source.Lost, "the server is stopping"},
		wire.StreamProtocol:   {source.Lost, wordsOfUs},
		wire.StreamInternal:   {source.Lost, "the server says that it has an internal error"},
	}
	peerRows = map[transport.PeerKind]row{
		transport.PeerNoALPN:    {source.Foreign, "another program than malcolm answers on this port"},
		transport.PeerVersion:   {source.Foreign, "another program than malcolm answers on this port"},
		transport.PeerProtocol:  {source.Lost, wordsOfUs},
		transport.PeerRestarted: {source.Lost, "the server has forgotten the connection, as after a restart"},
		transport.PeerRefused:   {source.Full, "the server takes no more connections"},
	}
	// Without words, the error's own text is used.
	statusRows = map[wire.Status]row{
		wire.StatusBusy:        {what: source.Full},
		wire.StatusStopping:    {source.Full, "the server is stopping"},
		wire.StatusUnreadable:  {source.Lost, "the server cannot read its file"},
		wire.StatusChanged:     {source.Changed, "its file changed"},
		wire.StatusMalformed:   {source.Wrong, wordsOfUs},
		wire.StatusUnsupported: {source.Wrong, wordsOfUs},
		wire.StatusOutOfRange:  {source.Wrong, wordsOfUs},
		wire.StatusNotFound:    {what: source.Wrong},
	}
	networkRows = map[transport.NetworkKind]row{
		transport.PortUnreachable: {source.NoPort, "connection refused"},
		transport.IdleTimeout:     {source.Lost, "the connection died: nothing came for too long"},
		transport.HostUnreachable: {what: source.NoRoute},
		transport.Prohibited:      {what: source.Prohibited},
		transport.NoLocalAddress:  {what: source.NoInterface},
		transport.NoAnswer:        {what: source.Lost},
		transport.ProxyFailed:     {what: source.Lost},
		transport.SlowAnswer:      {what: source.Lost},
		transport.SocketFailed:    {what: source.Lost},
	}
	localRows = map[transport.LocalKind]row{
		transport.LocalClosed:   {source.Lost, "the connection was closed here"},
		transport.LocalCanceled: {source.Lost, "the connection was closed here"},
		transport.LocalDeadline: {source.Lost, "no answer in time"},
		transport.LocalWindows:  {source.Lost, "the memory for what connections receive is used up"},
	}
)

// A question is what a server is asked for; toSpan is a part of toRanges.
type question uint8

const (
	toOpen question = 1 << iota
	toStat
	toValues
	toRanges
	toSpan
	toPath

	toAll = toOpen | toStat | toValues | toRanges | toPath
)

// refusals says which questions each status may refuse: 0 means no question. A
// status that is not listed may refuse any.
var refusals = map[wire.Status]question{
	wire.StatusOK:          0,
	wire.StatusIndexing:    0,
	wire.StatusFailedSpan:  0,
	wire.StatusChanged:     toValues | toRanges | toSpan,
	wire.StatusNotFound:    toStat,
	wire.StatusOutOfRange:  toValues | toRanges | toSpan,
	wire.StatusUnsupported: toAll,
	wire.StatusMalformed:   toAll,
	wire.StatusDenied:      toOpen,
}

// isRefusal reports whether what was asked for may be refused with a status.
func isRefusal(s wire.Status, of question) bool {
	known, ok := refusals[s]
	return !ok || known&of != 0
}

// rowOf finds what an error of transport or wire means; false: it is from
// neither.
func rowOf(err error) (row, bool) {
	if e, ok := errors.AsType[*transport.PeerError](err); ok {
		switch e.Kind {
		case transport.PeerClosed:
			return closeRows[wire.CloseCode(e.Code)], true
		case transport.PeerReset, transport.PeerStopped:
			if r, ok := streamRows[wire.StreamCode(e.Code)]; ok {
				return r, true
			}
			return streamRows[wire.StreamCancelled], true
		case transport.PeerTLS:
			return row{source.Lost, fmt.Sprintf("the encrypted connection could not be made (TLS alert %d)", e.Code)}, true
		}
		return peerRows[e.Kind], true
	}
	if e, ok := errors.AsType[*wire.Refusal](err); ok {
		return statusRows[e.Status], true
	}
	if e, ok := errors.AsType[*transport.NetworkError](err); ok {
		return networkRows[e.Kind], true
	}
	if e, ok := errors.AsType[*transport.LocalError](err); ok {
		if r, ok := localRows[e.Kind]; ok {
			return r, true
		}
		return row{source.Lost, "internal error: " + e.Error()}, true
	}
	return row{}, false
}

// fault sorts an error and puts it into words. A fault stays what it is.
func fault(err error) *source.Fault {
	if f, ok := errors.AsType[*source.Fault](err); ok {
		return f
	}
	if e, ok := errors.AsType[*certs.TrustError](err); ok {
		return &source.Fault{What: source.Untrusted, Words: e.Problem(), Err: err}
	}
	r, _ := rowOf(err)
	if r.words == "" {
		r.words = innermost(err).Error()
	}
	f := &source.Fault{What: r.what, Words: r.words, Err: err}
	if e, ok := errors.AsType[*wire.Refusal](err); ok {
		f.Wait = e.Wait
	}
	return f
}

// hereFault sorts why accepting a server failed: its ID, or our records.
func hereFault(err error) *source.Fault {
	if isUntrusted(err) {
		return fault(err)
	}
	return &source.Fault{What: source.Here, Words: err.Error(), Err: err}
}

// innermost returns the error of transport or wire within an error, which has
// words of its own, or the error itself.
func innermost(err error) error {
	if e, ok := errors.AsType[*transport.PeerError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*wire.Refusal](err); ok {
		return e
	}
	if e, ok := errors.AsType[*transport.NetworkError](err); ok {
		return e
	}
	return err
}

// broken says that a server broke the protocol.
func broken(err error) *source.Fault {
	return &source.Fault{What: source.Wrong, Words: "breaks the protocol: " + err.Error(), Err: err}
}

// strange says that a server answered with a status that does not belong.
func strange(s wire.Status) *source.Fault {
	return broken(fmt.Errorf("status %q where it does not belong", s))
}

// replyFault sorts an error of reading a reply.
func replyFault(err error, timeout time.Duration) *source.Fault {
	if f, ok := errors.AsType[*source.Fault](err); ok {
		return f
	}
	_, malformed := errors.AsType[*wire.MalformedError](err)
	_, byPeer := errors.AsType[*transport.PeerError](err)
	switch {
	case byPeer: // its cause may be the end of a TCP connection
		return fault(err)
	case malformed, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return broken(err)
	case isDeadline(err): // the handshake was complete
		return lateFault(source.SlowAnswer, timeout)
	}
	return fault(err)
}

// refusal reads the rest of a frame that ends a reply. The error says so, or
// why it could not be read.
func refusal(of question, r io.Reader, h wire.Header) error {
	if !isRefusal(h.Status, of) {
		return strange(h.Status)
	}
	return wire.ReadRefusal(r, h)
}

// openRefusal sorts what refusal returns for an open or a stat. Unlike for a
// range, another try may have a better answer.
func (c *client) openRefusal(err error) *source.Fault {
	r, ok := errors.AsType[*wire.Refusal](err)
	if ok && r.Status == wire.StatusDenied {
		return denied(&DeniedError{Ours: true, Had: !c.Trust.Token.IsZero(), Text: r.Text})
	}
	f := replyFault(err, c.ConnectTimeout)
	if ok && f.What == source.Wrong {
		f.What = source.Lost
	}
	return f
}

func denied(err *DeniedError) *source.Fault {
	return &source.Fault{What: source.Denied, Words: err.Error(), Err: err}
}

// lateFault says that a server did not answer in time.
func lateFault(what source.What, after time.Duration) *source.Fault {
	words := "no answer"
	if what == source.SlowAnswer {
		words = "no complete answer"
	}
	return &source.Fault{What: what, Words: fmt.Sprintf("%s in %v", words, after)}
}

// isDeadline reports whether our own deadline passed.
func isDeadline(err error) bool {
	local, ok := errors.AsType[*transport.LocalError](err)
	return ok && local.Kind == transport.LocalDeadline
}

// raceFault picks the fault to report when no way has led to a server. An
// untrusted server says more than all else, then the first way over the
// preferred transport.
func (c *client) raceFault(e raceError) *source.Fault {
	for _, lane := range e {
		if i := slices.IndexFunc(lane.errs, isUntrusted); i >= 0 {
			return fault(lane.errs[i])
		}
	}
	if len(e) == 1 {
		return c.dialFault(e[0].errs[0])
	}
	over := make(map[transport.Protocol]*source.Fault)
	for _, lane := range e {
		over[lane.protocol] = c.dialFault(lane.errs[0])
	}
	f, tcp := over[transport.QUIC], over[transport.TCP]
	if f.Words == tcp.Words || tcp.What == source.NoPort && f.What != source.NoAnswer {
		return f // a closed port says nothing more
	}
	both := *f
	both.Words = fmt.Sprintf("%s over QUIC (UDP), and %s over TCP", f.Words, tcp.Words)
	if tcp.What == source.Full { // malcolm is there
		both.What, both.Wait = tcp.What, tcp.Wait
	}
	return &both
}

// dialFault sorts why dialling a server failed.
func (c *client) dialFault(err error) *source.Fault {
	e, ok := errors.AsType[*transport.NetworkError](err)
	switch {
	case ok && e.Kind == transport.NoAnswer:
		return lateFault(source.NoAnswer, c.ConnectTimeout)
	case ok && e.Kind == transport.SlowAnswer:
		return lateFault(source.SlowAnswer, c.ConnectTimeout)
	}
	return fault(err)
}
