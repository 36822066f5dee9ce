package main

import "malcolm/transfer"

// decided says, with -v, what the scheduler has decided.
func (v *getView) decided(d transfer.Decision) {
	part := formatBytes(d.Length) + " at " + formatBytes(d.Offset)
	switch d.What {
	case transfer.Retried:
		v.explain("%s: a range ended early (%s): asked again in %s", d.Target, reason(d.Err), d.Pause)
	case transfer.Moved:
		v.explain("%s: the last %s of its range are left to others", d.Target, part)
	case transfer.Second:
		v.explain("%s: fetches %s a second time", d.Target, part)
	case transfer.Cancelled:
		v.explain("%s: cancelled %s: others were faster", d.Target, part)
	case transfer.Grown:
		v.explain("%s: now %s", d.Target, plural(d.Conns, "connection", "connections"))
	case transfer.Shrunk:
		v.explain("%s: back to %s", d.Target, plural(d.Conns, "connection", "connections"))
	}
}
