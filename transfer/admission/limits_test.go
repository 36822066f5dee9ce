package admission

import "testing"

func TestPlacesOfMemory(t *testing.T) {
	for _, test := range []struct {
		memory int64
		places int
		bytes  int64
	}{
		{0, DefaultPlaces, DefaultBytes},
		{8 << 20, LeastPlaces, leastBytes},
		{64 << 20, LeastPlaces, 16 << 20},
		{512 << 20, 512, 128 << 20},
		{1 << 30, 1024, 256 << 20},
		{1 << 40, DefaultPlaces, DefaultBytes},
	} {
		if p, n := PlacesOf(test.memory), BytesOf(test.memory); p != test.places || n != test.bytes {
			t.Errorf("%d bytes have %d places and a budget of %d, want %d and %d", test.memory, p, n, test.places, test.bytes)
		}
	}
}
