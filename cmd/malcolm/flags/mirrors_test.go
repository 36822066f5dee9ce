package flags

import (
	"encoding/base64"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"malcolm/transfer/source"
)

func TestParseURL(t *testing.T) {
	for _, test := range []struct {
		text string
		host string
		port uint16
		err  string // a part of it
	}{
		{"https://example.com/data.bin", "example.com", 443, ""},
		{"HTTPS://Example.COM/a%2Fb?X-Amz-Signature=a/b", "example.com", 443, ""},
		{"http://example.com", "example.com", 80, ""},
		{"https://example.com:8443/", "example.com", 8443, ""},
		{"https://[::1]:8443/x", "::1", 8443, ""},
		{"https://10.0.0.1/x", "10.0.0.1", 443, ""},
		{"https://user:secret@example.com/x", "", 0, `"https://example.com/x" has a user name`},
		{"https://example.com/x?secret#part", "", 0, `"https://example.com/x" has a # in it`},
		{"https:///x", "", 0, "has no host"},
		{"https://example.com:/x", "", 0, "no port after the colon"},
		{"https://example.com:0/x", "", 0, "ports are 1 to 65535"},
		{"https://example.com:70000/x", "", 0, "ports are 1 to 65535"},
		{"https://exa mple.com/x", "", 0, "space or control character"},
		{"https://example.com/%zz?secret", "", 0, `"https://example.com/%zz" is no address`},
		{"https://bücher.example/x", "", 0, "xn--"},
		{"https://example.com/" + strings.Repeat("x", maxTargetLen), "", 0, "is too long"},
	} {
		got, err := ParseURL(test.text)
		switch {
		case test.err != "":
			if err == nil || !strings.Contains(err.Error(), test.err) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%.60s: %v, want %q", test.text, err, test.err)
			}
		case err != nil || got != source.Target{Host: test.host, Port: test.port, URL: test.text}:
			t.Errorf("%s: %+v, %v", test.text, got, err)
		}
	}
}

// Mirrors and servers stand beside each other, one given twice is used once.
func TestTargetsWithMirrors(t *testing.T) {
	got, warnings, err := Targets([]string{"https://a.example/x"}, nil, []string{"h:1", "http://b.example/y?secret", "https://a.example/x", "http://b.example/z"})
	want := []source.Target{
		{Host: "a.example", Port: 443, URL: "https://a.example/x"}, {Host: "h", Port: 1},
		{Host: "b.example", Port: 80, URL: "http://b.example/y?secret"},
		{Host: "b.example", Port: 80, URL: "http://b.example/z"},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if all := strings.Join(warnings, "\n"); len(warnings) != 2 || strings.Contains(all, "secret") ||
		!strings.Contains(all, "https://a.example/x: given twice") || !strings.Contains(all, "http://b.example: anybody on the way") {
		t.Errorf("%q", warnings)
	}
}

func TestHeaders(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "headers")
	if err := os.WriteFile(file, []byte("# who asks\n\nAuthorization: Bearer a:b\nexample.com Cookie: c\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	lookup := func(name string) (string, bool) { return "X-Key: k", name == "SET" }
	for _, test := range []struct {
		lines Headers
		want  []Header
		err   string
	}{
		{Headers{"X-Region: eu"}, []Header{{"", "X-Region", "eu"}}, ""},
		{Headers{"Example.com X-Region:  a b "}, []Header{{"example.com", "X-Region", "a b"}}, ""},
		{Headers{"[::1] X-Region: eu"}, []Header{{"::1", "X-Region", "eu"}}, ""},
		{Headers{"@" + file}, []Header{{"", "Authorization", "Bearer a:b"}, {"example.com", "Cookie", "c"}}, ""},
		{Headers{"env:SET"}, []Header{{"", "X-Key", "k"}}, ""},
		{Headers{"env:NOT"}, nil, "is not set"},
		{Headers{"Authorization: secret"}, nil, "is a credential"},
		{Headers{"example.com cookie: secret"}, nil, "is a credential"},
		{Headers{"X-Api-Key: secret"}, nil, "is a credential"},
		{Headers{"Host: secret"}, nil, "Host is set by malcolm itself"},
		{Headers{"secret"}, nil, "it is written NAME: VALUE"},
		{Headers{": secret"}, nil, "it is written NAME: VALUE"},
		{Headers{"a b c: secret"}, nil, "letters, digits"},
		{Headers{"X-A: secret\r\nX-B: secret"}, nil, "control character"},
	} {
		got, err := test.lines.Read(lookup, func(string) {})
		switch {
		case test.err != "":
			if err == nil || !strings.Contains(err.Error(), test.err) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%q: %v, want %q", test.lines, err, test.err)
			}
		case err != nil || !slices.Equal(got, test.want):
			t.Errorf("%q: %+v, %v", test.lines, got, err)
		}
	}
	if _, err := (Headers{"@" + filepath.Join(dir, "missing")}).Read(lookup, func(string) {}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	many := slices.Repeat(Headers{"X-A: b"}, maxHeaders+1)
	if _, err := many.Read(lookup, func(string) {}); err == nil {
		t.Error("any number of headers is taken")
	}
}

func TestPinOfMirror(t *testing.T) {
	key := "sha256//" + base64.StdEncoding.EncodeToString(make([]byte, 32))
	for text, hosts := range map[string][]string{key: {""}, "Example.com=" + key: {"example.com"}, key + ";" + key: {"", ""}, "[::1]=" + key: {"::1"}} {
		var p Pin
		if err := p.UnmarshalText([]byte(text)); err != nil || len(p.Keys) != len(hosts) || p.Keys[0].Host != hosts[0] {
			t.Errorf("%s: %+v, %v", text, p, err)
		}
	}
	for _, text := range []string{"sha256//", "sha256//AAAA", key + ";x", "exa mple=" + key} {
		if err := new(Pin).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}

// The proxy of a mirror is that of its scheme and host.
func TestProxyOfMirror(t *testing.T) {
	env := map[string]string{"HTTPS_PROXY": "http://secure:1", "http_proxy": "http://plain:2", "NO_PROXY": "near.example"}
	of := Proxy{}.Of(func(name string) string { return env[name] })
	for text, want := range map[string]string{
		"https://far.example/x": "secure:1", "http://far.example/x": "plain:2", "https://near.example/x": "",
	} {
		at, err := ParseURL(text)
		if err != nil {
			t.Fatal(err)
		}
		var got url.URL
		if u := of(at); u != nil {
			got = *u
		}
		if got.Host != want {
			t.Errorf("%s goes through %q, want %q", text, got.Host, want)
		}
	}
}
