package view

import (
	"os"
	"sync/atomic"
	"time"

	"malcolm/cmd/malcolm/human"
	"malcolm/cmd/malcolm/screen"
	"malcolm/transfer/pace"
)

// Hashing shows the progress of hashing the file at path, whose bytes done
// counts, until stop is called: as a bar that appears after a second, or as a
// line each interval. Interval 0 shows nothing.
func Hashing(on Terminal, interval time.Duration, path string, done *atomic.Int64) (stop func()) {
	info, err := os.Stat(path)
	if err != nil || interval == 0 || !on.Drawn {
		return every(interval, func() { on.Say("checking: %s", human.Bytes(done.Load())) })
	}
	h := &hashing{painter: on.painter(), done: done, total: info.Size(), begun: time.Now()}
	h.meter.Start(rateTime, h.begun)
	return on.Draw(h.frame)
}

// A hashing is one bar without events.
type hashing struct {
	painter
	done  *atomic.Int64
	total int64
	begun time.Time

	// The screen's.
	meter pace.Meter
	seen  int64
}

func (h *hashing) frame(width, _ int) screen.Frame {
	now, done := time.Now(), h.done.Load()
	h.meter.Add(done-h.seen, now)
	h.seen = done
	if now.Sub(h.begun) < slowTime {
		return screen.Frame{}
	}
	g := gauge{label: "checking", done: done, total: h.total, rate: h.meter.Rate()}
	if done < h.total {
		g.after = human.Left(h.total-done, g.rate) + " left"
	}
	return screen.Frame{Lines: []string{h.line(width-1, g)}, Tab: screen.TabOf(done, h.total)}
}
