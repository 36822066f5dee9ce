package view

import (
	"fmt"
	"slices"
	"strings"

	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/fetch"
	"malcolm/transfer/source"
	"malcolm/transfer/vote"
	"malcolm/wire"
)

// voteLine says in one line how a decided vote ended.
func voteLine(e fetch.Voted) string {
	r := e.Result
	won := r.Groups[r.Winner]
	switch {
	case e.Each:
		return fmt.Sprintf("each path has a majority, and no whole directory has: %s (%s) is made of them", human.ChecksumShort(true, won.Checksum), sizeOf(true, won.Size))
	case e.Choice > 0:
		return choiceLine(e)
	}
	asked := len(r.Answered) + len(r.Failed) + len(r.Silent)
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %s", len(won.Servers), pluralOfVoters(asked, e.Targets, won.Servers))
	if r.Total > 1 {
		fmt.Fprintf(&b, ", %s,", votesFor(won, r))
	}
	verb := " agree on "
	switch {
	case e.Chosen:
		verb = " have the checksum asked for: "
	case len(won.Servers) == 1:
		verb = " says "
	}
	fmt.Fprintf(&b, "%s%s (%s)", verb, human.ChecksumShort(won.Tree, won.Checksum), sizeOf(won.Tree, won.Size))
	for i, g := range r.Groups {
		if i != r.Winner {
			fmt.Fprintf(&b, "; %s %s %s, left out", names(e.Targets, g.Servers), has(len(g.Servers)), anotherThan(won.Tree, g.Tree))
		}
	}
	switch {
	case e.Chosen || won.Votes > 1:
	case len(won.Hosts) == 1:
		b.WriteString("; one host, so not cross-checked")
	default:
		b.WriteString("; one server ID, so not cross-checked")
	}
	return b.String()
}

// choiceLine says how a vote on the chosen part ended.
func choiceLine(e fetch.Voted) string {
	won := e.Result.Groups[e.Result.Winner]
	what := fmt.Sprintf("%s, %s", human.ChecksumShort(won.Tree, won.Checksum), sizeOf(won.Tree, won.Size))
	from := names(e.Targets, won.Servers)
	won.Votes = e.Choice
	return fmt.Sprintf("%s agree on what is chosen; the whole directories have no majority: that of %s is taken (%s)", votesFor(won, e.Result), from, what)
}

// differsLine says what servers have at a path on which they differ.
func differsLine(e *fetch.UndecidedError, p fetch.PathVote) string {
	var parts []string
	for i, g := range p.Groups {
		hosts := e.Result.Groups[g]
		parts = append(parts, fmt.Sprintf("%s %s %s", hostsOf(hosts), has(len(hosts.Hosts)), entryText(p.Has[i])))
	}
	return human.Quote(p.Path) + ": " + strings.Join(parts, "; ")
}

// entryText says what lies at a path.
func entryText(e *wire.Entry) string {
	switch {
	case e == nil:
		return "nothing"
	case e.Kind == wire.EntryLink:
		return "a link to " + human.Quote(e.Target)
	case e.Kind == wire.EntryDirectory:
		return "an empty directory"
	}
	text := human.Bytes(e.Size) + ", " + human.HexShort(e.Checksum)
	if e.Kind == wire.EntryExecutable {
		text += ", executable"
	}
	return text
}

// votesFor says how many of all votes a group has.
func votesFor(g vote.Group, r vote.Result) string {
	return fmt.Sprintf("%d of %s", g.Votes, human.Plural(r.Total, "vote", "votes"))
}

// standing says how many votes a group has, or why it has none: a host has no
// vote for a file that at most half of its servers offer.
func standing(g vote.Group, r vote.Result) string {
	if g.Votes == 0 {
		return "no vote: at most half of the servers of " + hostsOf(g) + " offer it"
	}
	return votesFor(g, r)
}

func has(n int) string {
	if n == 1 {
		return "has"
	}
	return "have"
}

// hostsOf lists the hosts of a group, at most eight of them.
func hostsOf(g vote.Group) string {
	const most = 8
	list := slices.Clone(g.Hosts[:min(len(g.Hosts), most)])
	if more := len(g.Hosts) - most; more > 0 {
		list = append(list, fmt.Sprintf("%d more", more))
	}
	if len(g.Hosts) == 1 {
		return "host " + list[0]
	}
	return "hosts " + strings.Join(list, ", ")
}

// names lists servers, at most three of them.
func names(targets []source.Target, servers []int) string {
	const most = 3
	var list []string
	for _, s := range servers[:min(len(servers), most)] {
		list = append(list, targets[s].String())
	}
	if more := len(servers) - most; more > 0 {
		list = append(list, fmt.Sprintf("%d more", more))
	}
	return strings.Join(list, ", ")
}
