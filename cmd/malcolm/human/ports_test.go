package human

import (
	"strings"
	"testing"
)

func TestPorts(t *testing.T) {
	var odd []int
	for p := range 12 {
		odd = append(odd, 2*p+1)
	}
	for _, test := range []struct {
		ports         []int
		brief, ranges string
	}{
		{nil, "", ""},
		{[]int{65535}, "65535", "65535"},
		{[]int{10004, 10002, 10003, 10001, 10007}, "10001-10004,10007", "10001-10004 10007"},
		{[]int{7, 7, 8}, "7-8", "7-8"},
		{odd, "1,3,5,7,9,11,13,15 and 4 more", "1 3 5 7 9 11 13 15 17 19 21 23"},
	} {
		if got := Ports(test.ports); got != test.brief {
			t.Errorf("%v: got %q, want %q", test.ports, got, test.brief)
		}
		if got := strings.Join(PortRanges(test.ports), " "); got != test.ranges {
			t.Errorf("%v: ranges %q, want %q", test.ports, got, test.ranges)
		}
	}
}
