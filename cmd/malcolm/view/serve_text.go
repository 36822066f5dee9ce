package view

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/serve"
)

// A serveText tells a person what Serve does.
type serveText struct {
	Terminal
	offer Offer
	file  *shownFile
	host  advertised

	silent bool // no lines at the interval
	ready  bool // the greeting has been said
	last   serve.Status
	before time.Time
}

func (v *serveText) event(e serve.Event) {
	switch e := e.(type) {
	case serve.Listening:
		v.Say("listening on %s; hashing %s", listening(e), human.ShellQuote(v.file.name()))
		if len(e.SmallBuffers) > 0 {
			v.Warn("%s", smallBuffers(e.SmallBuffers))
		}
	case serve.Ready:
		v.greet(e)
	case serve.LeftOut:
		v.leftOut(e)
	case serve.Unsteady:
		v.Warn("%s changed while it was hashed: hashing it again in %s", human.ShellQuote(v.file.name()), e.Pause)
	case serve.UnstableNumbers:
		v.Warn("the file system of %s gives it another inode number at each look: from now on only size and times are compared", human.ShellQuote(v.file.name()))
	case serve.Damaged:
		v.Warn("%s", damaged(v.file.name(), e))
	case serve.Unreadable:
		if e.Kept {
			v.Warn("the new offer fails: %s; the old one stays", e.Err.Error())
			return
		}
		v.Warn("%s is not offered any more: %s; looking again, at least every 5 minutes", human.ShellQuote(v.file.name()), e.Err.Error())
	case serve.CacheFailed:
		v.Warn("the index is not kept for the next time: %s", e.Err.Error())
	case serve.ServerFailed:
		v.Warn("%s: its socket failed: %s; opening it again", socketOf(e.Addr), e.Err.Error())
	case serve.ServerReopened:
		v.Say("%s: listening again", socketOf(e.Addr))
	case serve.Panicked:
		v.Warn("internal error: %s; the connection of %s is closed, the others go on; MALCOLM_DEBUG=1 shows where", e.Value, e.Client)
		if v.Debug {
			v.Say("%q", e.Stack)
		}
	case serve.Stopping:
		if e.Requests > 0 {
			v.Say("stopping: %s may finish within %s; ^C again stops at once", human.Plural(e.Requests, "request", "requests"), human.WholeSeconds(e.Within))
		}
	case serve.Stopped:
		v.Say("stopped")
	}
}

// ended says nothing: others tell the error.
func (v *serveText) ended() {}

// greet says what is offered and how to get it.
func (v *serveText) greet(e serve.Ready) {
	v.Say("%s: %s", v.Bold(human.ShellQuote(e.Name)), readyText(e))
	if e.HardLinks > 0 {
		v.Say("%s (hard links): clients get a copy of each", furtherNames(e.HardLinks))
	}
	if v.ready {
		v.Say("the %s has changed: this version is offered from now on", noun(e.Tree != nil))
		return
	}
	v.ready = true
	if e.Offered == "" {
		v.Warn("the name is over 230 bytes or not UTF-8 and is not offered: clients must choose one with --name")
	}
	v.Say("server ID %s", e.ID)
	v.Say("to copy it: %s", v.Green(v.pasteable(e.Addrs)))
	if ticket := ticketOf(e, v.host); ticket != "" {
		v.Say("or, with nothing left to trust: %s", v.Green("malcolm get "+v.tokenFlag()+human.ShellQuote(ticket)))
	}
	v.greetWeb(e)
	if v.host.linkLocal {
		v.Say("%s stands for the network interface of the machine that copies, such as eth0", anyInterface)
	}
	if !v.host.reachable {
		v.Say("that works only on this machine; --advertise HOST names another address")
	}
	if !v.offer.Token {
		v.Say("anyone who can reach these ports can read %s", human.ShellQuote(e.Name))
	} else {
		v.Say("only holders of the token can read %s", human.ShellQuote(e.Name))
	}
}

// pasteable is the command that gets the file. Its directory is never that of
// the file.
func (v *serveText) pasteable(addrs []net.Addr) string {
	dir := "copy"
	if served, err := filepath.Abs(v.file.String()); err == nil {
		if copied, err := filepath.Abs(dir); err == nil && filepath.Dir(served) == copied {
			dir = "copy2"
		}
	}
	return fmt.Sprintf("malcolm get %s-o %s/ -a %s -r -p %s", v.tokenFlag(), dir, human.ShellQuote(v.host.host), portWords(addrs))
}

// tokenFlag is what clients have to add for the token, and a space. It never
// contains the token, which reaches them by another way.
func (v *serveText) tokenFlag() string {
	if !v.offer.Token {
		return ""
	}
	return "--token @FILE "
}

// portWords writes ports as -p takes them, with ranges.
func portWords(addrs []net.Addr) string {
	var ports []int
	for _, a := range addrs {
		ports = append(ports, a.(*net.UDPAddr).Port)
	}
	return strings.Join(human.PortRanges(ports), " ")
}

func portList(addrs []net.Addr) string {
	words := make([]string, len(addrs))
	for i, a := range addrs {
		words[i] = portOf(a)
	}
	return strings.Join(words, " ")
}

// portOf returns the port of a UDP or TCP socket.
func portOf(a net.Addr) string {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return strconv.Itoa(tcp.Port)
	}
	return strconv.Itoa(a.(*net.UDPAddr).Port)
}

// socketOf is portOf with a word in front if it is not the port of UDP.
func socketOf(a net.Addr) string {
	if a.Network() == "tcp" {
		return "TCP " + portOf(a)
	}
	return portOf(a)
}

// listening names the ports that a server listens on.
func listening(e serve.Listening) string {
	ports := portList(e.Addrs)
	web := ""
	if e.HTTP != nil {
		web = "; HTTP on " + e.HTTP.String()
	}
	switch portList(e.TCP) {
	case "":
		return "UDP " + ports + web
	case ports:
		return "UDP and TCP " + ports + web
	}
	return "UDP " + ports + " and TCP " + portList(e.TCP) + web
}

// status writes a line for each virtual server whose numbers changed, and one
// for the total.
func (v *serveText) status(s serve.Status, now time.Time) {
	if v.offer.Interval == 0 || v.silent {
		return
	}
	seconds := now.Sub(v.before).Seconds()
	var clients, ranges, changed int
	var sent, sentBefore int64
	for i, vs := range s.Servers {
		var last serve.VirtualStatus
		if i < len(v.last.Servers) {
			last = v.last.Servers[i]
		}
		clients, ranges, sent, sentBefore = clients+vs.Clients, ranges+vs.Ranges, sent+vs.Sent, sentBefore+last.Sent
		if last.Addr != nil && vs == last {
			continue
		}
		changed++
		v.Report("%5s  %-9s  %s  %s  %9s sent  %12s", portOf(vs.Addr), vs.State,
			countOf(vs.Clients, "client"), countOf(vs.Ranges, "range"), human.Bytes(vs.Sent),
			human.Rate(float64(vs.Sent-last.Sent)/seconds))
	}
	if !s.Indexed && s.Indexing.Done != v.last.Indexing.Done {
		changed++
		v.Report("hashing %s of %s, %s%s", human.Bytes(s.Indexing.Done), human.Bytes(s.Indexing.Total), human.Percent(s.Indexing.Done, s.Indexing.Total), hashedFiles(s))
	}
	if changed > 0 {
		v.Report("total  %-9s  %s  %s  %9s sent  %12s", "", countOf(clients, "client"), countOf(ranges, "range"),
			human.Bytes(sent), human.Rate(float64(sent-sentBefore)/seconds))
	}
	v.last, v.before = s, now
}

// countOf writes a number and its noun, in a column.
func countOf(n int, noun string) string {
	return fmt.Sprintf("%-10s", human.Plural(n, noun, noun+"s"))
}

// damaged says what a check of the served file has found.
func damaged(name string, e serve.Damaged) string {
	what := "gives other bytes than were hashed, though the file was not changed"
	if e.Err != nil {
		what = "cannot be read: " + e.Err.Error()
	}
	return fmt.Sprintf("%s is damaged: chunk %d (%d bytes from byte %d) %s; the disk may be failing, hashing the file again",
		human.ShellQuote(name), e.Chunk, e.Length, e.Offset, what)
}
