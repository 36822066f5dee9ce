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
		{mirror("https://example.org/a/b.bin"), "https://example.org/a/b.bin"},
		{mirror("https://example.org:8443/a%2Fb%20c?X-Amz-Signature=secret#part"), "https://example.org:8443/a%2Fb%20c"},
		{mirror("https://user:secret@example.org/"), "https://example.org/"},
		{mirror("http://[::1]:80?secret"), "http://[::1]:80"},
		{mirror("https://example.org/%zz?secret"), "example.org:443"},
		{mirror("secret"), "example.org:443"},
		{Target{Service: "_malcolm._udp.example.org"}, "srv:_malcolm._udp.example.org"},
		{Target{Service: "_malcolm._udp.example.org", Host: "a.example.org", Port: 7}, "a.example.org:7"},
	} {
		if got := test.target.String(); got != test.want {
			t.Errorf("%#v = %q, want %q", test.target, got, test.want)
		}
	}
}

func mirror(url string) Target { return Target{Host: "example.org", Port: 443, URL: url} }

// All servers of a domain's SRV names are one host, whatever DNS says. Names
// out of DNS are whole.
func TestTargetOfService(t *testing.T) {
	for _, test := range []struct {
		target          Target
		typed, absolute string
	}{
		{Target{Host: "a.b", Port: 1}, "a.b", "a.b"},
		{Target{Host: "10.0.0.1", Name: "a.b", Port: 1}, "a.b", "10.0.0.1"},
		{Target{Service: "_malcolm._udp.example.org"}, "example.org", ""},
		{Target{Service: "_malcolm._udp.example.org", Host: "a.b", Port: 1}, "example.org", "a.b."},
		{Target{Service: "_malcolm._tcp.example.org.", Host: "c.d", Port: 9}, "example.org", "c.d."},
		{Target{Service: "malcolm.service.consul", Host: "n", Port: 9}, "malcolm.service.consul", "n."},
		{Target{Service: "_m._udp.x", Host: "10.0.0.1", Name: "a.b", Port: 1}, "x", "10.0.0.1"},
	} {
		if got := test.target.Typed(); got != test.typed {
			t.Errorf("%#v is typed %q, want %q", test.target, got, test.typed)
		}
		if got := test.target.Absolute(); test.absolute != "" && got != test.absolute {
			t.Errorf("%#v is asked for as %q, want %q", test.target, got, test.absolute)
		}
	}
}
