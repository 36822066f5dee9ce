package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"malcolm/certs"
	"malcolm/cmd/malcolm/human"
	"malcolm/cmd/malcolm/view"
	"malcolm/transfer/fetch"
	"malcolm/transfer/localfile"
	"malcolm/transfer/partfile"
	"malcolm/transfer/scan"
	"malcolm/transfer/source"
	"malcolm/transfer/source/https"
	"malcolm/transfer/source/malcolm"
	"malcolm/transfer/vote"
)

// hints says what to do next.
func hints(err error) []string {
	switch e := err.(type) {
	case *fetch.TargetError:
		return targetHints(e)
	case *fetch.LinksError:
		return []string{"--split-links repairs this name alone"}
	case *fetch.TooLargeError:
		return []string{fmt.Sprintf("nothing was written; --max-size %d takes it", e.Size)}
	case *fetch.NotDirectoryError:
		if e.Missing {
			return []string{"a slash at the end makes it: -o " + human.ShellQuote(e.Path+"/") + "; to choose the file's name: -o DIR --name FILE"}
		}
		return []string{"-o takes a directory; the file's name goes into --name: -o DIR --name FILE"}
	case *fetch.NameError:
		if e.Chosen {
			return nil
		}
		return []string{"--name NAME chooses another one"}
	case *malcolm.PinError:
		return []string{"write a pin's host as the server's; a pin without a host is for every server"}
	case *fetch.NobodyAnsweredError:
		return nobodyHints(e)
	case *fetch.UndecidedError:
		return voteHints(e)
	case *fetch.NoProofError:
		return []string{"name a malcolm server that has the file, or --values FILE, or --checksum HEX (also sha256:HEX), which proves the whole at the end"}
	case *fetch.UnprovedError:
		if e.Streamed {
			return []string{"do not use what was written: it is not what was asked for"}
		}
		return []string{"add a malcolm server or --values, which show who sends wrong bytes, and -r to fetch it anew; without them --force starts over"}
	case *fetch.TreeOfferedError:
		return []string{"malcolm get copies it: malcolm get -o DIR HOST:PORT"}
	case *fetch.FileOfferedError:
		return []string{"for a file, leave out the flags that choose from a directory, and name a file and not a directory"}
	case *fetch.NotInTreeError:
		return []string{"nothing was written; malcolm info --list shows what the directory has"}
	case *fetch.GoneError:
		return []string{"the directory has changed on the servers: run this again, which takes what they have now"}
	case *fetch.DeleteError:
		return []string{fmt.Sprintf("is it the right directory? nothing was changed; --max-delete %d removes them", e.Extra)}
	case *fetch.InTheWayError:
		if e.Unchosen {
			return []string{"nothing was changed; move it away, or choose it as well and remove it with --delete"}
		}
		return []string{"--delete removes it"}
	case *fetch.ListingError:
		return []string{"nothing was written: a path or link of it would lead out of the directory, or the listing is broken"}
	case *mendableError:
		advice := []string{"this mends it, fetching only what differs: " + e.command}
		if d, ok := errors.AsType[*fetch.TreeMismatchError](e.err); ok && d.Extra > 0 {
			advice = append(advice, "with --delete it also removes what is extra")
		}
		return advice
	case *fetch.FinishedError:
		if e.Streamed {
			return []string{"do not use what was written: it is what most servers hold, and not what was asked for"}
		}
		if e.SHA256 != nil {
			return []string{"if it is the right file all the same: run this again with -r, and without --checksum"}
		}
		return nil
	case *certs.KeyFileError:
		if _, ok := errors.AsType[syscall.Errno](e); ok { // the place is wrong, not what lies there
			return []string{identityHint}
		}
		return nil
	}
	return hintsWithin(err)
}

// hintsWithin says what to do next about errors that others may wrap.
func hintsWithin(err error) []string {
	if late, ok := errors.AsType[*lateReceiptError](err); ok {
		if late.sums {
			return []string{"what was copied is there and right; only the file of its checksums is missing"}
		}
		return []string{"the file is there and right; only its receipt is missing"}
	}
	if _, ok := errors.AsType[*unknownTopicError](err); ok {
		return []string{"malcolm help lists the commands and the topics"}
	}
	if _, ok := errors.AsType[*terminalOutputError](err); ok {
		return []string{"pipe it on, as malcolm get -o - … | tar x; --force lets it go to the terminal"}
	}
	if _, ok := errors.AsType[*closedOutputError](err); ok {
		return []string{"malcolm get -o - … > FILE keeps it; --force is for a stdout that is /dev/null on purpose"}
	}
	if e, ok := errors.AsType[*partfile.Error](err); ok {
		return partHints(e)
	}
	if _, ok := errors.AsType[*certs.StateError](err); ok {
		return []string{"known servers are kept there: make it writable, or name another place with XDG_STATE_HOME"}
	}
	if e, ok := errors.AsType[*scan.LeftOutError](err); ok {
		return []string{"without --strict it is left out: " + view.LeftOut(e.LeftOut)}
	}
	if errors.Is(err, scan.ErrUnsteady) {
		return []string{"nothing was written; run this again when nobody writes to it"}
	}
	if errors.Is(err, errSaysElse) {
		return []string{"--force replaces it; -o FILE writes elsewhere"}
	}
	if errors.Is(err, scan.ErrEmpty) {
		return []string{"is something to be mounted there? --allow-empty offers it as it is"}
	}
	if e, ok := errors.AsType[*localfile.Error](err); ok && e.Op == "open" {
		return []string{"check the path and its permissions"}
	}
	if _, ok := errors.AsType[*noHomeError](err); ok {
		return []string{identityHint}
	}
	return nil
}

const identityHint = "serve --identity FILE keeps the key elsewhere"

func targetHints(e *fetch.TargetError) []string {
	switch e.Hint {
	case partfile.HintResume:
		return []string{"-r continues it; --force drops it and starts over"}
	case partfile.HintCheck:
		return []string{"-r accepts it if it is the right file; " + insteadOf(e.Path)}
	case partfile.HintForce:
		if e.Final != partfile.FinalNone {
			return []string{insteadOf(e.Path) + "; -o DIR or --name NAME writes elsewhere"}
		}
		var list []string
		if e.Unfinished != (partfile.Header{}) {
			list = append(list, "-r "+finishing(e.Unfinished))
		}
		return append(list, "--force drops it and starts over")
	case partfile.HintElsewhere:
		return []string{"-o DIR or --name NAME writes elsewhere"}
	case partfile.HintMoveAway:
		if e.Part == partfile.PartOtherChecksum {
			return []string{finishing(e.Unfinished) + "; or move it and its journal away"}
		}
		return []string{moveAway}
	case partfile.HintRepair:
		return []string{"malcolm repair " + human.ShellQuote(e.Path) + " HOST:PORT brings it to what the servers have; -r --force copies all of it anew, and leaves it as " + human.ShellQuote(e.Path+partfile.ReplacedSuffix)}
	case partfile.HintReplaced:
		return []string{movedAside}
	}
	return nil
}

// finishing says what finishes an unfinished download.
func finishing(h partfile.Header) string {
	sum := human.Checksum(h.IsTree(), h.Checksum)
	if h.IsTree() {
		return "--checksum " + sum + " finishes that version, if a server still has it; a part of a directory is finished with the flags that chose it"
	}
	return "--checksum " + sum + " finishes that version, if a server still has it"
}

// insteadOf says what can be done if a file is not the right one. With -r,
// --force keeps an unfinished download beside it.
func insteadOf(path string) string {
	return "malcolm repair " + human.ShellQuote(path) + " HOST:PORT keeps what is right of it; -r --force replaces it"
}

const (
	moveAway   = "move it away, then run the same again"
	movedAside = "an earlier run has left the directory that it replaced there: " + moveAway
)

func partHints(e *partfile.Error) []string {
	switch {
	case e.Reason == partfile.NoSpace:
		return []string{fmt.Sprintf("free %s more, or write elsewhere with -o DIR", human.Bytes(e.Need-e.Have))}
	case e.Reason == partfile.NoFiles:
		return []string{"the file system has no room for more files, of whatever size: remove some, or write elsewhere with -o DIR"}
	case e.Reason == partfile.Unfit:
		return []string{"-o DIR on another file system may hold it"}
	case e.Reason == partfile.Exists && strings.HasSuffix(e.Name, partfile.ReplacedSuffix):
		return []string{movedAside}
	case e.Reason == partfile.Exists && strings.HasSuffix(e.Name, partfile.PartSuffix):
		return []string{"-r continues an unfinished download; --force drops it and starts over"}
	case e.Reason == partfile.Exists: // it appeared while the file was fetched
		return []string{"everything is fetched: -r --force replaces what is there; or move that away and use -r"}
	case e.Reason == partfile.Locked:
		return []string{"another malcolm get is writing it: wait for it, or write elsewhere with -o DIR or --name NAME"}
	case e.Reason == partfile.NotRegular, e.Reason == partfile.NotDirectory:
		return []string{"-o DIR or --name NAME writes elsewhere"}
	case e.Reason == partfile.Foreign:
		return []string{moveAway}
	case e.Reason == partfile.OtherFile:
		return []string{"--checksum with that checksum finishes it, if a server still has it; to begin anew, move it and its journal away"}
	case e.Reason == partfile.Changed && e.Op == "replace":
		return []string{"nothing was replaced: run the same again when nobody writes to the file"}
	case e.Reason == partfile.System && e.Op == "replace":
		return []string{"mend that, or write elsewhere: malcolm get -o DIR fetches it there, and a copy of the file can be repaired"}
	case e.Reason == partfile.Changed && e.Op != "find":
		return []string{"another program uses this name: begin again, or write elsewhere with -o DIR or --name NAME"}
	case errors.Is(e, fs.ErrPermission):
		return []string{"check the permissions of the directory, or write elsewhere with -o DIR"}
	}
	if hint := diskHints[partfile.DiskFaultOf(e)]; hint != "" {
		return []string{hint}
	}
	return nil
}

// diskHints say what to do about a disk.
var diskHints = map[partfile.DiskFault]string{
	partfile.Full:     "make room, or write elsewhere with -o DIR",
	partfile.Quota:    "your quota is used up: make room, or write elsewhere with -o DIR",
	partfile.TooLarge: "the file system, or ulimit -f, takes no file of that size: write elsewhere with -o DIR",
	partfile.ReadOnly: "the file system is read-only: write elsewhere with -o DIR",
	partfile.Failing:  "the disk fails, and the system's log may say why: write elsewhere with -o DIR",
}

func nobodyHints(e *fetch.NobodyAnsweredError) []string {
	if e.Mirrors > 0 {
		return append(serversHints(e), "beside a malcolm server, even a dead one, mirrors only send bytes and have no vote: leave out a server that is gone")
	}
	return serversHints(e)
}

// serversHints says what to do about servers that did not answer.
func serversHints(e *fetch.NobodyAnsweredError) []string {
	if len(e.Servers) == 1 {
		if advice := serverHints(e.Servers[0].Target, e.Servers[0].Err); len(advice) > 0 {
			return advice
		}
	}
	for _, s := range e.Servers { // each was told, with a hint
		if d, ok := errors.AsType[*malcolm.DeniedError](s.Err); ok {
			return deniedHints(d)
		}
	}
	for _, s := range e.Servers {
		switch {
		case s.State == fetch.StateRefused:
			return nil
		case source.IsFull(s.Err):
			return []string{faultHints[source.WhatOf(s.Err)]}
		}
	}
	for _, s := range e.Servers {
		if what := source.WhatOf(s.Err); what != source.NoHost && what != source.NoFamily {
			return []string{"is malcolm serve running there, and do firewalls let UDP through to its ports?"}
		}
	}
	return []string{"check the spelling of the hosts, or give their IP addresses"}
}

func voteHints(e *fetch.UndecidedError) []string {
	if e.Sizes {
		return []string{"nothing was written: name the mirrors of one size only"}
	}
	switch e.Result.Reason {
	case vote.TooFewVotes:
		return []string{"a host has one vote, and so has a server ID: ask other hosts as well, pin the IDs of these with --pin, or lower --quorum"}
	case vote.ChecksumNotOffered:
		return []string{"nothing was written; without --checksum the majority decides"}
	}
	if slices.ContainsFunc(e.Result.Groups, func(g vote.Group) bool { return g.Tree }) {
		list := []string{"nothing was written; --checksum chooses one of these: " + checksums(e.Result.Groups)}
		if e.Parts.Count > 0 {
			list = append(list, "--each takes each path's own majority, if all paths have one")
		}
		return list
	}
	return []string{"nothing was written; --checksum HEX chooses one of these files: " + checksums(e.Result.Groups)}
}

func deniedHints(e *malcolm.DeniedError) []string {
	switch {
	case !e.Ours:
		return []string{"somebody else may answer in its place; was it started with --token?"}
	case !e.Had:
		return []string{"ask whoever runs it for the token, and add: --token @FILE"}
	}
	return []string{"is it the token that malcolm serve was started with?"}
}

func checksums(groups []vote.Group) string {
	var list []string
	for _, g := range groups[:min(len(groups), 3)] {
		list = append(list, human.Checksum(g.Tree, g.Checksum))
	}
	return strings.Join(list, " ")
}

// resumeHints says how to continue with what a run has left. It names command
// unless that would end the same way.
func resumeHints(o view.Outcome, command string) []string {
	if !o.Kept() || hasOwnWay(o.Err) {
		return nil
	}
	how := "to continue: "
	if _, ok := errors.AsType[*fetch.NoServerLeftError](o.Err); ok {
		switch fetch.KindOf(o.Err) {
		case fetch.KindIntegrity:
			how = "add a server that has the right bytes, and continue: "
		case fetch.KindChanged:
			how = "if a server still has that version, this continues: "
			if !strings.Contains(command, " --checksum") {
				command += " --checksum " + human.Checksum(o.Got.Tree.Voted, o.Got.Checksum)
			}
		}
	}
	return []string{how + command}
}

// hasOwnWay reports whether an error's own hint says how to continue, because
// the same command would end the same way.
func hasOwnWay(err error) bool {
	if e, ok := errors.AsType[*fetch.FinishedError](err); ok {
		return e.SHA256 != nil
	}
	if _, ok := errors.AsType[*fetch.UnprovedError](err); ok {
		return true
	}
	if e, ok := errors.AsType[*partfile.Error](err); ok {
		switch e.Reason {
		case partfile.Exists, partfile.Foreign, partfile.NotRegular, partfile.OtherFile, partfile.NotDirectory, partfile.Unfit:
			return true
		}
	}
	return false
}

// serverHints says what to do about a server that is not reached.
func serverHints(t source.Target, err error) []string {
	if e, ok := errors.AsType[*certs.TrustError](err); ok {
		return []string{e.Hint()}
	}
	if e, ok := errors.AsType[*malcolm.DeniedError](err); ok {
		return deniedHints(e)
	}
	if t.IsMirror() {
		return mirrorHints(err)
	}
	if t.IsService() {
		return []string{"dig +short SRV " + t.Service + " shows what DNS says; such a name is written srv:_malcolm._udp.DOMAIN"}
	}
	if source.WhatOf(err) == source.NoAnswer {
		return []string{fmt.Sprintf("is UDP %d open? nothing came back: a firewall, another port, or no malcolm serve", t.Port)}
	}
	if hint := faultHints[source.WhatOf(err)]; hint != "" {
		return []string{hint}
	}
	return nil
}

// mirrorHints says what to do about a mirror that is not reached.
func mirrorHints(err error) []string {
	switch what := source.WhatOf(err); what {
	case source.Untrusted:
		return []string{certificateHint(err)}
	case source.NoAnswer, source.NoPort, source.Foreign:
		return []string{"is that its port, and does a web server listen there?"}
	case source.NoHost, source.NoFamily, source.NoRoute, source.Prohibited, source.NoInterface:
		return []string{faultHints[what]}
	}
	return nil
}

// certificateHint says what to do about a mirror's certificate.
func certificateHint(err error) string {
	if errors.Is(err, https.ErrPinned) {
		return "somebody else may answer in its place; if its key was changed on purpose, pin the new one"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "if you trust that authority, name its certificate with --ca FILE"
	}
	return "its owner can mend that; until then, leave the mirror out"
}

var faultHints = map[source.What]string{
	source.SlowAnswer:  "packets came back: the network or the server is slow (--connect-timeout 30 waits longer), or it is no malcolm serve",
	source.Indexing:    "it hashes its file before it offers it: try later, or wait longer with --patience",
	source.Full:        "it is full, or being started again: try later; its malcolm serve takes more with --max-clients",
	source.NoHost:      "check the spelling of the host, or give its IP address",
	source.NoFamily:    "-4, -6 and --interface leave the other addresses out",
	source.NoPort:      "is malcolm serve running there, and is that its port?",
	source.NoRoute:     "is that machine up, and this one in its network? a router or this system knows no way",
	source.Prohibited:  "look at the routes and the firewall of this machine, and at --interface",
	source.NoInterface: "--interface takes an address of this machine",
	source.Foreign:     "is that the port that malcolm serve printed?",
}
