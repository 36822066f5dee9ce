package main

import (
	"maps"
	"slices"
	"testing"
)

func TestParseStat(t *testing.T) {
	const line = "4711 (a) b (c) S 12 4711 4711 0 -1 4194560 1 2 3 4 100 20 3 4000 20 0 9 0 1"
	got, ok := parseStat(line)
	if want := (procStat{parent: 12, ticks: 4123}); !ok || got != want {
		t.Errorf("got %+v, %v, want %+v", got, ok, want)
	}
	for _, bad := range []string{"", "1 (a", "1 (a) S 12 4711", "1 (a) S x 4711 4711 0 -1 4194560 1 2 3 4 100 20 3 4000 20", "1 (a) S 1 4711 4711 0 -1 4194560 1 2 3 4 100 20 x 4000 20"} {
		if got, ok := parseStat(bad); ok {
			t.Errorf("%q was read as %+v", bad, got)
		}
	}
}

func TestFamily(t *testing.T) {
	all := map[int]procStat{1: {parent: 0}, 2: {parent: 1}, 3: {parent: 2}, 4: {parent: 3}, 5: {parent: 1}, 6: {parent: 99}, 7: {parent: 7}}
	got := slices.Sorted(maps.Keys(family(all, 2)))
	if want := []int{2, 3, 4}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestParseHWM(t *testing.T) {
	if got, want := parseHWM([]byte("Name:\tx\nVmPeak:\t  99 kB\nVmHWM:\t   12 kB\nVmRSS:\t 8 kB\n")), int64(12<<10); got != want {
		t.Errorf("got %d, want %d", got, want)
	}
	for _, bad := range []string{"", "VmHWM:\tmuch\n", "VmRSS:\t 8 kB\n"} {
		if got := parseHWM([]byte(bad)); got != unknown {
			t.Errorf("%q was read as %d", bad, got)
		}
	}
}

// TestParseDropped: InErrors of both families, which contain the others.
func TestParseDropped(t *testing.T) {
	const text = `Tcp: InSegs InErrors
Tcp: 5 1000
Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors
Udp: 80274546 4865 17 9597695 16
UdpLite: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors
UdpLite: 1 1 4000 1 1
Udp6InDatagrams                 	11692
Udp6InErrors                    	3
Udp6RcvbufErrors                	3
`
	if got := parseDropped(text); got != 20 {
		t.Errorf("got %d, want 20", got)
	}
	if got := parseDropped(""); got != unknown {
		t.Errorf("nothing was read as %d", got)
	}
}

func TestParseListens(t *testing.T) {
	const text = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: 0100007F:24E3 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0
   1: 0100007F:0050 0100007F:9000 01 00000000:00000000 00:00000000 00000000 0
`
	for port, want := range map[int]bool{0x24E3: true, 0x50: false, 0x9000: false, 0xE3: false} {
		if got := parseListens(text, port); got != want {
			t.Errorf("port %d listens: %v, want %v", port, got, want)
		}
	}
}

func TestProcessor(t *testing.T) {
	if got := processor("processor\t: 0\nmodel name\t: A B: C\nmodel name\t: D\n"); got != "A B: C" {
		t.Errorf("got %q", got)
	}
}
