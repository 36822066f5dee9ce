package wire

import (
	"io"
	"time"

	"github.com/quic-go/quic-go/quicvarint"
)

// A PathReport is what the sending side of a server sees of the way to a
// client. The counts are since the request, and never fall.
type PathReport struct {
	Sent   uint64 // packets, at most MaxPackets
	Lost   uint64 // packets, at most Sent
	Events uint64 // loss events, at most Lost
	Ranks  uint64 // sum over all events of their ranks, each 0 to MaxRank
	Window uint64 // congestion window in bytes, at most MaxWindow

	// Round trips are whole microseconds, at most MaxRTT; 0: not known.
	MinRTT      time.Duration // the least of the last minute
	SmoothedRTT time.Duration
	LowRTT      time.Duration // 10th percentile of the last 4 round trips
	HighRTT     time.Duration // 90th percentile of them, at least LowRTT
}

// Append appends the body of a frame with the report to b. The caller keeps p
// within the limits of its fields.
func (p PathReport) Append(b []byte) []byte {
	for _, n := range []uint64{p.Sent, p.Lost, p.Events, p.Ranks, p.Window} {
		b = quicvarint.Append(b, n)
	}
	for _, rtt := range []time.Duration{p.MinRTT, p.SmoothedRTT, p.LowRTT, p.HighRTT} {
		b = quicvarint.Append(b, uint64(rtt/time.Microsecond))
	}
	return b
}

// ParsePathReport reads the body of a frame with a report. Errors are
// [*MalformedError].
func ParsePathReport(b []byte) (PathReport, error) {
	d := decoder{message: "path report", b: b}
	var p PathReport
	p.Sent = d.varint("packets sent", MaxPackets)
	p.Lost = d.varint("packets lost", p.Sent)
	p.Events = d.varint("loss events", p.Lost)
	p.Ranks = d.varint("sum of ranks", MaxRank*p.Events)
	p.Window = d.varint("congestion window", MaxWindow)
	p.MinRTT = d.rtt("least round trip")
	p.SmoothedRTT = d.rtt("smoothed round trip")
	p.LowRTT = d.rtt("10th percentile")
	p.HighRTT = d.rtt("90th percentile")
	if d.err == nil && p.HighRTT < p.LowRTT {
		d.fail("90th percentile of %v is below the 10th of %v", p.HighRTT, p.LowRTT)
	}
	if err := d.done(); err != nil {
		return PathReport{}, err
	}
	return p, nil
}

// rtt reads a round trip.
func (d *decoder) rtt(field string) time.Duration {
	return time.Duration(d.varint(field, uint64(MaxRTT/time.Microsecond))) * time.Microsecond
}

// ReadPathReport reads the body of a frame with a report, with the head h.
// Errors are [*MalformedError], [io.ErrUnexpectedEOF] or r's own.
func ReadPathReport(r io.Reader, h Header) (PathReport, error) {
	b, err := readLimited(r, h, "path report", MaxReportLen)
	if err != nil {
		return PathReport{}, err
	}
	return ParsePathReport(b)
}
