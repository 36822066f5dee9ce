package view

import (
	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/fetch"
	"malcolm/transfer/source"
)

// plural counts sources of which some are mirrors, in words.
func plural(n, mirrors int) string {
	switch {
	case mirrors == 0:
		return human.Plural(n, "server", "servers")
	case mirrors >= n && n > 0:
		return human.Plural(n, "mirror", "mirrors")
	}
	return human.Plural(n, "source", "sources")
}

// pluralAmong counts some of the targets.
func pluralAmong(n int, targets []source.Target) string {
	mirrors := 0
	for _, t := range targets {
		if t.IsMirror() {
			mirrors++
		}
	}
	switch mirrors {
	case 0:
		return plural(n, 0)
	case len(targets):
		return human.Plural(n, "mirror", "mirrors")
	}
	return human.Plural(n, "source", "sources")
}

// pluralOfVoters counts the voters; won are those that have won. Mirrors vote
// only where no server is.
func pluralOfVoters(n int, targets []source.Target, won []int) string {
	if len(won) > 0 && won[0] < len(targets) && targets[won[0]].IsMirror() {
		return plural(n, n)
	}
	return plural(n, 0)
}

// sizeAgreed says what is fetched without values, and what that means.
func (v *getText) sizeAgreed(e fetch.SizeAgreed) {
	won := e.Result.Groups[e.Result.Winner]
	asked := len(e.Result.Answered)
	kind := "BLAKE3"
	if e.Whole.SHA256 {
		kind = "SHA-256"
	}
	v.Say("%s", v.Bold(human.Comma(int64(len(won.Servers)))+" of "+plural(asked, asked)+" "+has(len(won.Servers))+" a file of "+human.Bytes(won.Size)))
	v.Warn("its parts cannot be checked: the whole is proved at the end, by the %s asked for; a wrong byte shows only then, and who sent it stays unknown", kind)
	for _, t := range e.Untied[:min(len(e.Untied), crowdShown)] {
		v.Warn("%s names no version of its file: only size and date tie its ranges together", t)
	}
	for i, g := range e.Result.Groups {
		if i != e.Result.Winner {
			v.Warn("%s: a file of another size (%s): left out", names(e.Targets, g.Servers), human.Bytes(g.Size))
		}
	}
}
