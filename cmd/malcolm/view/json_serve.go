package view

import (
	"net"
	"slices"
	"time"

	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/serve"
)

// A serveJSON writes what Serve does as events.
type serveJSON struct {
	out  Printer
	file *shownFile
	host advertised // that clients are told

	ready   bool // a version is offered, or was
	changed bool // and since then the file is said to have changed
	last    serve.Status
	before  time.Time
}

func (s *serveJSON) event(e serve.Event) {
	switch e := e.(type) {
	case serve.Listening:
		s.before = time.Now()
		s.out.Emit(listeningEvent{
			HTTP: socketName(e.HTTP),
			head: is("listening"), Time: s.before.Format(time.RFC3339), ID: idOf(e.ID),
			Addresses: socketNames(e.Addrs), TCP: socketNames(e.TCP),
		})
		s.out.Emit(indexingEvent{head: is("indexing"), File: jsonText(s.file.String())})
	case serve.Ready:
		s.offers(e)
	case serve.LeftOut:
		s.leftOut(e)
	case serve.Unsteady:
		s.change("changed while it was hashed")
	case serve.Damaged:
		s.change(damaged(s.file.name(), e))
	case serve.Unreadable:
		if !e.Kept {
			s.change("cannot be read: " + e.Err.Error())
		}
	case serve.Stopped:
		s.out.Emit(stoppedEvent{head: is("stopped"), Bytes: s.sent()})
	}
}

// ended says nothing: others write the event "error".
func (s *serveJSON) ended() {}

func (s *serveJSON) offers(e serve.Ready) {
	if s.ready && !s.changed {
		s.change("another version is offered from now on")
	}
	s.ready, s.changed = true, false
	ready := readyEvent{
		head: is("ready"), File: jsonText(s.file.String()), Kind: jsonKind(e.Tree != nil), Bytes: e.Size,
		Checksum: human.Checksum(e.Tree != nil, e.Checksum), ID: idOf(e.ID),
		Ticket: ticketOf(e, s.host), Addresses: []string{},
	}
	if e.Tree != nil {
		ready.Files, ready.Directories, ready.Links, ready.HardLinks = e.Tree.Files, e.Tree.Directories, e.Tree.Links, e.HardLinks
	}
	for _, a := range e.Addrs {
		ready.Addresses = append(ready.Addresses, net.JoinHostPort(s.host.host, portOf(a)))
	}
	s.out.Emit(ready)
}

func (s *serveJSON) change(why string) {
	s.changed = true
	s.out.Emit(changedEvent{head: is("changed"), File: jsonText(s.file.String()), Reason: jsonText(why)})
}

// status tells of all virtual servers, and of the progress of hashing.
func (s *serveJSON) status(st serve.Status, now time.Time) {
	if !st.Indexed && st.Indexing.Done != s.last.Indexing.Done {
		s.out.Emit(indexingEvent{head: is("indexing"), File: jsonText(s.file.String()), Bytes: st.Indexing.Done, TotalBytes: st.Indexing.Total, Files: st.Files, TotalFiles: st.TotalFiles})
	}
	e := statusEvent{head: is("status"), Servers: []statusServer{}}
	for i, v := range st.Servers {
		var before int64
		if i < len(s.last.Servers) {
			before = s.last.Servers[i].Sent
		}
		e.Servers = append(e.Servers, statusServer{
			Address: v.Addr.String(), State: v.State.String(), Clients: v.Clients, HTTP: v.HTTP.Clients, Ranges: v.Ranges, Bytes: v.Sent,
			Rate: wholeRate(float64(v.Sent-before) / now.Sub(s.before).Seconds()), Lost: v.Lost,
		})
	}
	s.out.Emit(e)
	s.clients(st)
	s.last, s.before = st, now
}

// clients tells of each client whose numbers changed, and of each that is gone.
func (s *serveJSON) clients(st serve.Status) {
	for _, c := range st.Clients {
		if !slices.Contains(s.last.Clients, c) {
			s.out.Emit(clientEvent{
				head: is("client"), Address: c.Addr.String(), State: "connected",
				Connections: c.Conns, Ranges: c.Ranges, Bytes: c.Sent,
			})
		}
	}
	if st.MoreClients > 0 {
		return // a client that is not in st may still be there
	}
	for _, before := range s.last.Clients {
		is := func(c serve.ClientStatus) bool { return c.Addr == before.Addr }
		if !slices.ContainsFunc(st.Clients, is) {
			s.gone(before)
		}
	}
}

// gone tells of a client without connections.
func (s *serveJSON) gone(c serve.ClientStatus) {
	s.out.Emit(clientEvent{head: is("client"), Address: c.Addr.String(), State: "gone", Bytes: c.Sent})
}

// sent is how many bytes of the file were sent in all.
func (s *serveJSON) sent() (n int64) {
	for _, v := range s.last.Servers {
		n += v.Sent
	}
	return n
}

// socketName names a socket; it may be nil.
func socketName(a net.Addr) string {
	if a == nil {
		return ""
	}
	return a.String()
}

func socketNames(addrs []net.Addr) []string {
	names := make([]string, len(addrs))
	for i, a := range addrs {
		names[i] = a.String()
	}
	return names
}
