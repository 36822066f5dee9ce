package schedule_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"malcolm/transfer/content"
	"malcolm/transfer/schedule"
)

// A fault is a time in which a server does not do its work.
type fault struct {
	kind     faultKind
	from, to time.Duration
}

type faultKind int

const (
	stall  faultKind = iota // the connection lives, nothing comes
	death                   // nothing comes, the client notices, the server joins again at the end
	refuse                  // every range ends at once without a byte
)

// A change gives a server another rate.
type change struct {
	at   time.Duration
	rate float64 // bytes a second
}

// A simServer is what a server is in truth.
type simServer struct {
	rate    float64       // bytes a second
	rtt     time.Duration // from a request to its first byte
	join    time.Duration
	faults  []fault
	changes []change // in order
	lacks   []int    // files
}

// A simState is what a server is at one time.
type simState struct {
	kind faultKind // if bad
	bad  bool
	rate float64 // bytes a second; 0 when it sends nothing
}

func (v simServer) at(t time.Duration) (now simState) {
	for _, f := range v.faults {
		if t >= f.from && t < f.to {
			return simState{kind: f.kind, bad: true}
		}
	}
	if t < v.join {
		return now
	}
	now.rate = v.rate
	for _, c := range v.changes {
		if t >= c.at {
			now.rate = c.rate
		}
	}
	return now
}

// edges returns when a server changes, in order.
func edges(servers []simServer) []time.Duration {
	all := []time.Duration{0}
	for _, v := range servers {
		all = append(all, v.join)
		for _, f := range v.faults {
			all = append(all, f.from, f.to)
		}
		for _, c := range v.changes {
			all = append(all, c.at)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// bound returns when all bytes could be here if every server sent at its full
// rate except during its faults.
func bound(cfg schedule.Config, servers []simServer) time.Duration {
	all := append(edges(servers), simLongest)
	left := float64(cfg.Content.Size())
	for i, from := range all[:len(all)-1] {
		var rate float64
		for _, v := range servers {
			rate += v.at(from).rate
		}
		if cfg.Limit > 0 {
			rate = min(rate, float64(cfg.Limit))
		}
		carried := rate * (all[i+1] - from).Seconds()
		if carried >= left {
			return from + time.Duration(left/rate*float64(time.Second))
		}
		left -= carried
	}
	return simLongest
}

// layout returns the configuration of one file in chunks of chunk bytes.
func layout(size, chunk int64) schedule.Config {
	c, err := content.OfCut(func(int64) int64 { return chunk }, content.File{Size: size})
	if err != nil {
		panic(err)
	}
	return schedule.Config{Content: c}
}

// A world bounds the servers and files that are drawn.
type world struct {
	servers        int           // at most
	rates          float64       // the highest over the lowest
	rtt            time.Duration // the longest; the shortest is 1 ms
	shortest, long time.Duration // at the servers' first rates
	chunks         float64       // a server, at least; at most four times as many
}

var (
	// The worlds that the targets are for, and smaller ones.
	targetWorld = world{servers: 50, rates: 1000, rtt: 500 * time.Millisecond, shortest: 120 * time.Second, long: 400 * time.Second, chunks: 50}
	smallWorld  = world{servers: 20, rates: 100, rtt: 300 * time.Millisecond, shortest: 5 * time.Second, long: 100 * time.Second, chunks: 5}
)

// logarithmic returns a number from 1 to most whose logarithm is evenly spread.
func logarithmic(rng *rand.Rand, most float64) float64 { return math.Pow(most, rng.Float64()) }

func (w world) draw(rng *rand.Rand) (schedule.Config, []simServer) {
	servers := make([]simServer, 1+rng.IntN(w.servers))
	var total float64
	for i := range servers {
		servers[i] = simServer{
			rate: 1e5 * logarithmic(rng, w.rates),
			rtt:  time.Duration(logarithmic(rng, float64(w.rtt/time.Millisecond)) * float64(time.Millisecond)),
		}
		total += servers[i].rate
	}
	size := total * (w.shortest.Seconds() + (w.long-w.shortest).Seconds()*rng.Float64())
	chunks := float64(len(servers)) * w.chunks * logarithmic(rng, 4)
	return layout(int64(size), int64(size/chunks)), servers
}

// addChanges lets rates change and servers join late, stall, die and return.
// The first server never does so for ever.
func addChanges(rng *rand.Rand, cfg schedule.Config, servers []simServer) {
	whole := bound(cfg, servers).Seconds()
	seconds := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	for i := range servers {
		v := &servers[i]
		for at := whole * rng.Float64(); rng.IntN(2) == 0; at += whole * rng.Float64() {
			v.changes = append(v.changes, change{seconds(at), v.rate * logarithmic(rng, 400) / 20})
		}
		for at := whole * rng.Float64(); rng.IntN(3) == 0; at += whole * rng.Float64() {
			f := fault{kind: faultKind(rng.IntN(2)), from: seconds(at), to: seconds(at + 0.5*logarithmic(rng, 100))}
			if i > 0 && rng.IntN(4) == 0 {
				f.to = simLongest
			}
			v.faults = append(v.faults, f)
			at = f.to.Seconds()
		}
		if i > 0 && rng.IntN(5) == 0 {
			v.join = seconds(whole * rng.Float64())
		}
	}
}

// addRefusals lets servers refuse ranges for some time.
func addRefusals(rng *rand.Rand, cfg schedule.Config, servers []simServer) {
	whole := bound(cfg, servers).Seconds()
	for i := range servers {
		if at := time.Duration(whole * rng.Float64() * float64(time.Second)); rng.IntN(3) == 0 {
			servers[i].faults = append(servers[i].faults, fault{refuse, at, at + time.Duration(20*rng.Float64()*float64(time.Second))})
		}
	}
}
