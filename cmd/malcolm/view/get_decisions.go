package view

import (
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
