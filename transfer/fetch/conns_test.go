package fetch

import "testing"

// More connections are made like the oldest one in use. One that only finishes
// what it has, perhaps over another transport, is no pattern for them.
func TestFirstConnection(t *testing.T) {
	t.Parallel()
	retired, parked, used, later := &connection{retired: true}, &connection{parked: true}, &connection{}, &connection{}
	for _, test := range []struct {
		name string
		list []*connection
		want *connection
	}{
		{"none", nil, nil},
		{"in use", []*connection{used, later}, used},
		{"behind others", []*connection{retired, parked, used, later}, used},
		{"none in use", []*connection{retired, parked}, retired},
	} {
		c := conns{list: test.list}
		if got := c.first(); got != test.want {
			t.Errorf("%s: got %p, want %p", test.name, got, test.want)
		}
	}
}
