package schedule_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"malcolm/transfer/content"
	"malcolm/transfer/schedule"
)

// tree returns the configuration of files cut as malcolm cuts them.
func tree(sizes []int64) schedule.Config {
	files := make([]content.File, len(sizes))
	for i, n := range sizes {
		files[i].Size = n
	}
	c, err := content.Of(files...)
	if err != nil {
		panic(err)
	}
	return schedule.Config{Content: c}
}

// drawSizes returns sizes of files that have size bytes together: many of 4
// KiB, a few huge ones, and for the rest log-uniform from 1 KiB to 64 MiB, in
// any order.
func drawSizes(rng *rand.Rand, size int64) (sizes []int64) {
	left := size
	add := func(n int64) {
		n = min(n, left)
		sizes = append(sizes, n)
		left -= n
	}
	for range rng.IntN(4) {
		add(1 + int64(float64(size)*0.3*rng.Float64()))
	}
	for range int(logarithmic(rng, 20_000)) {
		if left > 0 {
			add(4 << 10)
		}
	}
	for left > 0 {
		add(int64(1024 * logarithmic(rng, 64<<10)))
	}
	rng.Shuffle(len(sizes), func(i, j int) { sizes[i], sizes[j] = sizes[j], sizes[i] })
	return sizes
}

// asTree makes a draw of files one of trees of the same sizes.
func asTree(d draw) draw {
	return func(rng *rand.Rand) (schedule.Config, []simServer, bool) {
		cfg, servers, ok := d(rng)
		if !ok {
			return cfg, servers, false
		}
		return tree(drawSizes(rng, cfg.Content.Size())), servers, true
	}
}

// Files of all lengths arrive as quickly as one file does.
func TestTreeTargets(t *testing.T) {
	all := campaign(t, longSeeds(targetSeeds/10), 20, asTree(target))
	for _, r := range all {
		if r.duplicates > r.allowed {
			t.Errorf("%+v: more duplicates than are allowed", r)
		}
	}
	if got := quantile(all, 0.5); got > 1.03 {
		t.Errorf("median %.3f, want at most 1.03", got)
	}
	if got := quantile(all, 0.99); got > 1.15 {
		t.Errorf("99th percentile %.3f, want at most 1.15", got)
	}
}

func TestTreeSmall(t *testing.T) {
	all, slow := campaign(t, longSeeds(simSeeds/3), 22, asTree(small)), 0
	for _, r := range all {
		if r.over() > 5 {
			slow++
		}
		if r.duplicates > 1.01*r.allowed {
			t.Errorf("%+v: more duplicates than are allowed", r)
		}
	}
	t.Logf("%d of %d runs took more than 1.5 × bound + 5 s", slow, len(all))
	if slow > max(1, len(all)/200) {
		t.Error("want 1 of 200 at most")
	}
}

func TestTreeSmallWithFaults(t *testing.T) {
	all := campaign(t, longSeeds(simSeeds/3), 23, asTree(faulty))
	if got := quantile(all, 0.9); got > 1.6 {
		t.Errorf("90th percentile %.3f, want at most 1.6", got)
	}
}

// Servers that lack some files carry all others. The first one has all.
func TestTreeOnOtherVersions(t *testing.T) {
	all := campaign(t, longSeeds(simSeeds/3), 24, func(rng *rand.Rand) (schedule.Config, []simServer, bool) {
		cfg, servers, _ := asTree(faulty)(rng)
		for i := range servers[1:] {
			for range rng.IntN(4) {
				servers[1+i].lacks = append(servers[1+i].lacks, rng.IntN(cfg.Content.Files()))
			}
		}
		return cfg, servers, true
	})
	if got := quantile(all, 0.9); got > 1.6 {
		t.Errorf("90th percentile %.3f, want at most 1.6", got)
	}
}

// A link of 200 Mbit/s over 50 ms stays full of small files: they take hardly
// longer than one file. Ranges of 256 files of 1 KiB begin and end together at
// first, so a round trip is lost between some of them.
func TestSmallFilesFillTheLink(t *testing.T) {
	const bytes, rate, rtt = 40 << 20, 25e6, 50 * time.Millisecond
	for _, size := range []int64{1 << 10, 4 << 10, 30_000, 200_000} {
		for _, n := range []int{1, 4} {
			sizes := make([]int64, bytes/size)
			for i := range sizes {
				sizes[i] = size
			}
			servers := make([]simServer, n)
			for i := range servers {
				servers[i] = simServer{rate: rate / float64(n), rtt: rtt}
			}
			file, files := run(t, layout(bytes, 256<<10), servers), run(t, tree(sizes), servers)
			t.Logf("%d servers, files of %d bytes: %v in %d requests, one file: %v in %d", n, size, files.now, len(files.log), file.now, len(file.log))
			most := file.now * 105 / 100
			if size == 1<<10 {
				most = file.now * 110 / 100
			}
			if files.now > most {
				t.Errorf("%d servers, files of %d bytes: %v, one file: %v", n, size, files.now, file.now)
			}
		}
	}
}
