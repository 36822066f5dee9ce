package source

import "testing"

func TestTargetString(t *testing.T) {
	for _, test := range []struct {
		target Target
		want   string
	}{
		{Target{Host: "example.org", Port: 1}, "example.org:1"},
		{Target{Host: "::1", Port: 65535}, "[::1]:65535"},
		{Target{Host: "10.0.0.1", Port: 80}, "10.0.0.1:80"},
	} {
		if got := test.target.String(); got != test.want {
			t.Errorf("%#v = %q, want %q", test.target, got, test.want)
		}
	}
}
