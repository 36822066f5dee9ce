package view

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/fetch"
	"malcolm/transfer/source"
)

const (
	// crowdShown is the number of servers with the same reason that are
	// told one by one.
	crowdShown = 3
	// crowdTime is how long further ones are collected.
	crowdTime = time.Second
)

// A crowd sums up servers with the same reason, so that it is not repeated for
// each. The zero value is empty.
type crowd struct {
	since time.Time // the first one that was counted
	shown map[string]int
	more  map[string][]source.Target
}

// admit reports whether to tell of a server by itself; else it is counted.
func (c *crowd) admit(reason string, t source.Target, now time.Time) bool {
	if c.shown == nil {
		c.since, c.shown, c.more = now, make(map[string]int), make(map[string][]source.Target)
	}
	if c.shown[reason] < crowdShown {
		c.shown[reason]++
		return true
	}
	c.more[reason] = append(c.more[reason], t)
	return false
}

// due reports whether it is time to tell of the rest.
func (c *crowd) due(now time.Time) bool { return c.shown != nil && now.Sub(c.since) >= crowdTime }

// rest returns a line for each reason that further servers share, and empties
// the crowd.
func (c *crowd) rest() (lines []string) {
	for _, reason := range slices.Sorted(maps.Keys(c.more)) {
		more := c.more[reason]
		lines = append(lines, fmt.Sprintf("%s: %s: %s", human.Plural(len(more), "more server", "more servers"), reason, places(more)))
	}
	*c = crowd{}
	return lines
}

// sayCrowd tells of the counted servers when it is time: before the vote,
// before a wait, after a while, and at the end (e is nil).
func (v *getText) sayCrowd(e fetch.Event) {
	switch e.(type) {
	case nil, fetch.Voted, fetch.Waiting:
	default:
		if !v.crowd.due(time.Now()) {
			return
		}
	}
	v.sayRest()
}

// sayRest tells of all counted servers.
func (v *getText) sayRest() {
	for _, line := range v.crowd.rest() {
		v.Warn("%s", line)
	}
}

// advise says what to do about a server, once for all its host's ports.
func (v *getText) advise(t source.Target, err error) {
	if v.run.Advice == nil {
		return
	}
	for _, hint := range v.run.Advice(t, err) {
		v.hintOnce(hint)
	}
}

// hintOnce gives each hint about servers once. Hints that differ only in digits
// are the same.
func (v *getText) hintOnce(hint string) {
	key := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, hint)
	if v.hinted == nil {
		v.hinted = make(map[string]bool)
	}
	if !v.hinted[key] {
		v.hinted[key] = true
		v.WarnHint(hint)
	}
}

// places writes targets briefly: a host's ports as ranges, at most three hosts.
func places(targets []source.Target) string {
	const most = 3
	ports := make(map[string][]int)
	for _, t := range targets {
		ports[t.Host] = append(ports[t.Host], int(t.Port))
	}
	hosts := slices.Sorted(maps.Keys(ports))
	var list []string
	for _, host := range hosts[:min(len(hosts), most)] {
		list = append(list, strings.TrimSuffix(source.Target{Host: host}.String(), "0")+human.Ports(ports[host]))
	}
	if more := len(hosts) - most; more > 0 {
		list = append(list, human.Plural(more, "more host", "more hosts"))
	}
	return strings.Join(list, ", ")
}
