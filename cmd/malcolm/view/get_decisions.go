package view

import (
	"fmt"

	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/fetch"
)

// decided says, with -v, what the scheduler has decided.
func (v *getText) decided(d fetch.Decision) {
	part := human.Bytes(d.Length) + " at " + human.Bytes(d.Offset)
	switch d.What {
	case fetch.Retried:
		v.Explain("%s: a range ended early (%s): asked again in %s", d.Target, d.Err.Error(), d.Pause)
	case fetch.Moved:
		v.Explain("%s: the last %s of its range are left to others", d.Target, part)
	case fetch.Second:
		v.Explain("%s: fetches %s a second time", d.Target, part)
	case fetch.Cancelled:
		v.Explain("%s: cancelled %s: others were faster", d.Target, part)
	case fetch.Grown:
		v.Explain("%s: now %s", d.Target, human.Plural(d.Conns, "connection", "connections"))
	case fetch.Shrunk:
		v.Explain("%s: back to %s", d.Target, human.Plural(d.Conns, "connection", "connections"))
	case fetch.NotGrown:
		v.Explain("%s: one more connection failed (%s): none is tried for %s", d.Target, d.Err.Error(), d.Pause)
	case fetch.AcrossTried:
		v.Explain("%s: the other transport is tried: it may be faster", d.Target)
	case fetch.AcrossKept:
		why := "the other one is no faster"
		if d.Err != nil {
			why = "the other one failed (" + d.Err.Error() + ")"
		}
		v.Explain("%s: its transport stays: %s", d.Target, why)
	case fetch.WayTried:
		v.Explain("%s: a connection brings nothing of what it owes: another one is tried", d.Target)
	case fetch.WayKept:
		why := "it sends again"
		if d.Err != nil {
			why = "the other one failed (" + d.Err.Error() + ")"
		}
		v.Explain("%s: the silent connection stays: %s", d.Target, why)
	case fetch.WayChanged:
		v.Explain("%s: another connection has taken the place of the silent one", d.Target)
	}
}

// transportReasons are why a server's transport was changed, in the words of
// the JSON events.
var transportReasons = map[fetch.TransportReason]string{
	fetch.TransportFaster: "faster", fetch.TransportRemembered: "remembered", fetch.TransportFell: "fell", fetch.TransportSilent: "silent",
}

// transportChanged says, with -v, that another transport carries a server's
// ranges.
func (v *getText) transportChanged(e fetch.TransportChanged) {
	why := ""
	switch e.Why {
	case fetch.TransportFaster:
		why = "it carries more"
		if e.Rate > 0 && e.Before > 0 {
			why += fmt.Sprintf(", %s instead of %s", human.Rate(e.Rate), human.Rate(e.Before))
		}
	case fetch.TransportRemembered:
		why = "an earlier run found it faster"
	case fetch.TransportFell:
		why = "the other one carries much less than this one did"
	case fetch.TransportSilent:
		why = "the other one brings nothing"
	}
	v.Explain("%s: over %s from now on: %s", e.Target, overOf(e.Transport), why)
}
