package flags

import (
	"strings"
	"testing"

	"malcolm/transfer/source"
)

func TestProxy(t *testing.T) {
	env := func(vars ...string) func(string) string {
		return func(name string) string {
			for i := 0; i < len(vars); i += 2 {
				if vars[i] == name {
					return vars[i+1]
				}
			}
			return ""
		}
	}
	https := []string{"HTTPS_PROXY", "proxy.example:3128", "no_proxy", "10.0.0.0/8,.local"}
	for _, test := range []struct {
		flag string // "-": not given
		env  []string
		host string
		want string // "": no proxy
	}{
		{"-", nil, "a.example", ""},
		{"-", https, "a.example", "http://proxy.example:3128"},
		{"-", []string{"https_proxy", "http://u:p@proxy:1"}, "a.example", "http://u:p@proxy:1"},
		{"-", https, "10.1.2.3", ""},
		{"-", https, "a.local", ""},
		{"-", https, "127.0.0.1", ""},
		{"none", https, "a.example", ""},
		{"", https, "a.example", ""},
		{"http://other:80", https, "10.1.2.3", "http://other:80"},
		{"http://other", nil, "127.0.0.1", "http://other"},
	} {
		var p Proxy
		if test.flag != "-" {
			if err := p.UnmarshalText([]byte(test.flag)); err != nil {
				t.Fatal(err)
			}
		}
		got := ""
		if of := p.Of(env(test.env...)); of != nil {
			if u := of(source.Target{Host: test.host, Port: 9000}); u != nil {
				got = u.String()
			}
		}
		if got != test.want {
			t.Errorf("%q with %q: %s goes through %q, want %q", test.flag, test.env, test.host, got, test.want)
		}
	}
	for _, wrong := range []string{"https://user:secret@proxy:1", "socks5://secret", "proxy:3128", "http://", "http://secret@proxy/path", "http://%zz:secret@x"} {
		var p Proxy
		if err := p.UnmarshalText([]byte(wrong)); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: error %v", wrong, err)
		}
	}
}
