package main

import (
	"strings"

	"malcolm/cmd/malcolm/screen"
)

// draw begins to draw what render returns (see [screen.New]) below all lines;
// stop ends it.
func (t *terminal) Draw(render func(width, height int) screen.Frame) (stop func()) {
	drawn := render
	if !t.Unicode {
		drawn = func(width, height int) screen.Frame {
			f := render(width, height)
			for i := range f.Lines { // one column each, as "…" is
				f.Lines[i] = strings.ReplaceAll(f.Lines[i], "…", "~")
			}
			return f
		}
	}
	s := screen.New(screen.Options{On: t.screen, Out: t.stderr, Notice: t.leftOut, Tab: t.Tab, Will: t.will}, drawn)
	restore := t.divert(s)
	return func() {
		s.Close()
		restore()
	}
}
