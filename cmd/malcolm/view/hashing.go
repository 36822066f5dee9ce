package view

import (
	"os"
	"sync/atomic"
	"time"

	"malcolm/cmd/malcolm/human"
	"malcolm/cmd/malcolm/screen"
	"malcolm/transfer/pace"
	"malcolm/transfer/scan"
)

// Hashing shows the progress of hashing the file at path, whose bytes done
// counts, until stop is called: as a bar that appears after a second, or as a
// line each interval. Interval 0 shows nothing.
func Hashing(on Terminal, interval time.Duration, path string, done *atomic.Int64) (stop func()) {
	info, err := os.Stat(path)
	if err != nil || interval == 0 || !on.Drawn {
		return every(interval, func() { on.Say("checking: %s", human.Bytes(done.Load())) })
	}
	var total atomic.Int64
	total.Store(info.Size())
	return on.drawHashing("checking", done, &total)
}

// Indexing shows the progress of hashing a file or directory, as Hashing does.
func Indexing(on Terminal, interval time.Duration, p *scan.Progress) (stop func()) {
	if interval == 0 || !on.Drawn {
		return every(interval, func() {
			on.Say("indexing: %s of %s", human.Bytes(p.Bytes.Load()), human.Bytes(p.TotalBytes.Load()))
		})
	}
	return on.drawHashing("indexing", &p.Bytes, &p.TotalBytes)
}

// drawHashing draws a bar until stop is called.
func (t Terminal) drawHashing(label string, done, total *atomic.Int64) (stop func()) {
	h := &hashing{painter: t.painter(), label: label, done: done, total: total, begun: time.Now()}
	h.meter.Start(rateTime, h.begun)
	return t.Draw(h.frame)
}

// A hashing is one bar without events.
type hashing struct {
	painter
	label       string
	done, total *atomic.Int64
	begun       time.Time

	// The screen's.
	meter pace.Meter
	seen  int64
}

func (h *hashing) frame(width, _ int) screen.Frame {
	now, total := time.Now(), h.total.Load()
	done := min(h.done.Load(), total)
	h.meter.Add(done-h.seen, now)
	h.seen = done
	if now.Sub(h.begun) < slowTime {
		return screen.Frame{}
	}
	g := gauge{label: h.label, done: done, total: total, rate: h.meter.Rate()}
	if done < total {
		g.after = human.Left(total-done, g.rate) + " left"
	}
	return screen.Frame{Lines: []string{h.line(width-1, g)}, Tab: screen.TabOf(done, total)}
}
