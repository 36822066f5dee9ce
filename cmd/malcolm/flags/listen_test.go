package flags

import "testing"

// Without an address it is this machine's own.
func TestListen(t *testing.T) {
	for text, want := range map[string]string{
		"9100": "127.0.0.1:9100", ":9100": "127.0.0.1:9100", "localhost:9100": "127.0.0.1:9100", "0": "127.0.0.1:0",
		"0.0.0.0:9100": "0.0.0.0:9100", "[::1]:9100": "[::1]:9100", "[::]:9100": "[::]:9100", "192.168.1.5:1": "192.168.1.5:1",
		"[fe80::1%eth0]:9100": "[fe80::1%eth0]:9100",
	} {
		if got, err := ParseListen(text); err != nil || got.String() != want {
			t.Errorf("%q is %v, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", ":", "x", "host:9100", "*:9100", "65536", "::1:9100", ":+1", "1.2.3.4", "9100 ", "-1", "http://127.0.0.1:9100"} {
		if got, err := ParseListen(text); err == nil {
			t.Errorf("%q is %v, want an error", text, got)
		}
	}
	for text, want := range map[string]bool{"9100": true, "[::1]:1": true, "127.1.2.3:1": true, "[::ffff:127.0.0.1]:1": true, "0.0.0.0:1": false, "[::]:1": false, "10.0.0.1:1": false} {
		if got, err := ParseListen(text); err != nil || got.IsLoopback() != want {
			t.Errorf("%q: loopback %t, %v; want %t", text, got.IsLoopback(), err, want)
		}
	}
}
