package flags

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"malcolm/transfer/source"
)

func TestParseTarget(t *testing.T) {
	label := strings.Repeat("a", 63)
	longest := strings.Join([]string{label, label, label, label[:61]}, ".")
	tests := []struct{ text, host, ports string }{
		{"127.0.0.1", "127.0.0.1", ""},
		{"example.com", "example.com", ""},
		{"Example.COM.", "example.com.", ""},
		{"a_b-c", "a_b-c", ""},
		{"3com", "3com", ""},
		{"localhost", "localhost", ""},
		{"[::1]", "::1", ""},
		{"::1", "::1", ""},
		{"::", "::", ""},
		{"0:0:0:0:0:0:0:1", "::1", ""},
		{"::1:1000", "::1:1000", ""},
		{"fe80::1%eth0", "fe80::1%eth0", ""},
		{"::ffff:127.0.0.1", "127.0.0.1", ""},
		{"host:10001", "host", "10001"},
		{"host:10001-10004", "host", "10001-10004"},
		{"host:1,2,5-7", "host", "1,2,5-7"},
		{"host:0", "host", "0"},
		{"host:70000", "host", "70000"},
		{"127.0.0.1:10001", "127.0.0.1", "10001"},
		{"[::1]:10001", "::1", "10001"},
		{"[FE80::1%eth0]:9000", "fe80::1%eth0", "9000"},
		{longest + ":1", longest, "1"},
	}
	for _, test := range tests {
		host, words, err := ParseTarget(test.text)
		if err != nil || host != test.host || strings.Join(words, " ") != test.ports || (words == nil) != (test.ports == "") {
			t.Errorf("%s: got %q, %q, %v", test.text, host, words, err)
		}
	}
}

func TestParseTargetErrors(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", "the address is empty"},
		{":10001", "no host before the colon"},
		{":", "no host before the colon"},
		{"host:", "no port after the colon"},
		{"host:,", "no port after the colon"},
		{"[::1]:", "no port after the colon"},
		{"[]:1", "no host within the brackets"},
		{"[::1", "lacks the closing bracket"},
		{"[::1]x", "after the bracket"},
		{"[::1]10001", "after the bracket"},
		{"[127.0.0.1]:1", "is no IPv6 address"},
		{"[host]:1", "is no IPv6 address"},
		{"[::1%a:b]:1", "is no IPv6 address"},
		{"::1:10001", "[ADDRESS]:PORT"},
		{"fe80::1%eth0:9000", "[ADDRESS]:PORT"},
		{"[fe80::1]:9000", `name the interface behind a %, as in "fe80::1%eth0"`},
		{"FE80::1", "name the interface"},
		{"host:1:2", "[ADDRESS]:PORT"},
		{"host:abc", `"abc" is no port`},
		{"host:1,abc", `"abc" is no port`},
		{"host:-1", `"-1" is no port`},
		{"host:+1", `"+1" is no port`},
		{"host:1 ", "a space or control character"},
		{" host", "a space or control character"},
		{"host 1", "a space or control character"},
		{"ho\x1bst", "a space or control character"},
		{"malcolm://host:1", "leave out malcolm://"},
		{"MALCOLM://host:1", "leave out malcolm://"},
		{"ftp://example.com/x?secret", `"ftp://example.com/x": write a malcolm server as`},
		{"host/path", `has a "/" in it`},
		{"host:1/path", `has a "/" in it`},
		{"me@host", "no user name"},
		{"10001", "is a number, not a host"},
		{"300.1.1.1", "is no IPv4 address"},
		{"1.2.3", "is no IPv4 address"},
		{"1.2.3.4.5", "is no IPv4 address"},
		{"01.2.3.4", "is no IPv4 address"},
		{".", "is no host name"},
		{"a..b", "is no host name"},
		{".a", "is no host name"},
		{"-a", "is no host name"},
		{"a.-b", "is no host name"},
		{"=127.0.0.1", "is no host name"},
		{"a,b", "is no host name"},
		{"a*b", "is no host name"},
		{"bücher.de", "xn--"},
		{"\xff", "xn--"},
		{strings.Repeat("a", 64), "is longer than 63 bytes"},
		{strings.Repeat("a.", 127) + "b", "255 bytes, at most 253"},
		{strings.Repeat("a.", 127), ""},
		{strings.Repeat("a", 9000), "9,000 bytes, at most 8,192"},
	}
	for _, test := range tests {
		host, words, err := ParseTarget(test.text)
		if test.want == "" {
			if err != nil {
				t.Errorf("%.40q: %v", test.text, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), test.want) || host != "" || words != nil {
			t.Errorf("%.40q: got %q, %q, %v, want %s", test.text, host, words, err, test.want)
		}
	}
}

func FuzzParseTarget(f *testing.F) {
	seeds := []string{
		"", "127.0.0.1", "example.com", "[::1]", "::1", "host:10001-10004", "host:1,2,5-7", "[::1]:10001",
		"[fe80::1%eth0]:9000", "fe80::1%eth0:9000", "::ffff:1.2.3.4", ":1", "host:", "host:,", "a b", "https://x",
		"malcolm://x", "[", "[]", "[]:", "1.2.3", "-x", "x.", "..", "\xff", "\x00",
	}
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		host, words, err := ParseTarget(text)
		if err != nil {
			if host != "" || words != nil {
				t.Fatal("a target and an error")
			}
			if len(err.Error()) > 1024 {
				t.Fatalf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		if host == "" || host != strings.ToLower(host) && !strings.Contains(host, "%") || strings.ContainsAny(host, " []/@\"'\\") {
			t.Fatalf("host %q", host)
		}
		written := host
		if strings.Contains(host, ":") {
			if _, err := netip.ParseAddr(host); err != nil {
				t.Fatal(err)
			}
			written = "[" + host + "]"
		}
		if words != nil {
			written += ":" + strings.Join(words, ",")
		}
		host2, words2, err := ParseTarget(written)
		if err != nil || host2 != host || !slices.Equal(words2, words) {
			t.Fatalf("%q, %q reads back as %q, %q, %v", host, words, host2, words2, err)
		}
	})
}

func TestTargetString(t *testing.T) {
	tests := []struct {
		target source.Target
		want   string
	}{
		{source.Target{Host: "127.0.0.1", Port: 1}, "127.0.0.1:1"},
		{source.Target{Host: "host", Port: 65535}, "host:65535"},
		{source.Target{Host: "::1", Port: 9}, "[::1]:9"},
		{source.Target{Host: "fe80::1%eth0", Port: 9}, "[fe80::1%eth0]:9"},
	}
	for _, test := range tests {
		if got := test.target.String(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestTargets(t *testing.T) {
	tests := []struct{ addresses, ports, positional, want, warnings string }{
		{"127.0.0.1", "1 2-3", "", "127.0.0.1:1 127.0.0.1:2 127.0.0.1:3", ""},
		{"a b", "1,2", "", "a:1 a:2 b:1 b:2", ""},
		{"", "", "a:1-2 [::1]:9", "a:1 a:2 [::1]:9", ""},
		{"a:5 b", "1", "c d:6", "a:5 b:1 c:1 d:6", ""},
		{"a", "1 1", "", "a:1", "a:1: given twice, used once"},
		{"a A a:1", "1", "", "a:1", "a:1: given 3 times, used once"},
		{"::1 0::1", "1", "", "[::1]:1", "[::1]:1: given twice, used once"},
		{"a:1", "", "a:1-2", "a:1 a:2", "a:1: given twice, used once"},
		{"a:1", "5", "", "a:1", "the ports of -p are not used: every address has its own"},
		{"srv:_Malcolm._udp.Example.com", "", "SRV:_malcolm._tcp.example.com. a:1", "srv:_malcolm._udp.example.com srv:_malcolm._tcp.example.com. a:1", ""},
		{"", "", "srv:malcolm.service.consul srv:malcolm.service.consul", "srv:malcolm.service.consul", "srv:malcolm.service.consul: given twice, used once"},
		{"", "5", "srv:x", "srv:x", "the ports of -p are not used: every address has its own"},
		{"a", "1-1024", "", "", ""},
		{"a", "1-1024", "a:7", "", "a:7: given twice, used once"},
	}
	for _, test := range tests {
		got, warnings, err := Targets(strings.Fields(test.addresses), strings.Fields(test.ports), strings.Fields(test.positional))
		if err != nil {
			t.Errorf("%+v: %v", test, err)
			continue
		}
		if text := strings.Trim(fmt.Sprint(got), "[]"); test.want != "" && text != strings.Trim(test.want, "[]") {
			t.Errorf("%+v: got %s", test, text)
		}
		if test.want == "" && len(got) != MaxPorts {
			t.Errorf("%+v: got %d targets", test, len(got))
		}
		if text := strings.Join(warnings, "; "); text != test.warnings {
			t.Errorf("%+v: got warnings %s", test, text)
		}
	}
}

func TestTargetsErrors(t *testing.T) {
	tests := []struct{ addresses, ports, positional, want string }{
		{"", "", "", "no address: add -a HOST -p PORT, or write HOST:PORT or https://…"},
		{"", "1", "", "no address: add -a HOST -p PORT, or write HOST:PORT or https://…"},
		{"a", "", "", `"a" has no port: add -p PORT or write "a:PORT"`},
		{"::1", "", "", `"::1" has no port: add -p PORT or write "[::1]:PORT"`},
		{"a:1", "", "b", `"b" has no port: add -p PORT or write "b:PORT"`},
		{"a", "1 x", "", `"x" is no port: ports are 1 to 65535`},
		{"a", "0", "", `"0" is no port: ports are 1 to 65535`},
		{"a:1", "70000", "", `"70000" is no port: ports are 1 to 65535`},
		{"a:70000", "", "", `"a:70000": "70000" is no port: ports are 1 to 65535`},
		{"a:5-4", "", "", `"a:5-4": "5-4" ends before it begins`},
		{"a", "1-1025", "", `"1-1025" is a range of 1,025 ports: at most 1,024 are allowed`},
		{"a", "1-1024 2000", "", "more than 1,024 ports"},
		{"a", "1-1024", "b:1", "more than 1,024 targets"},
		{"a b", "1-513", "", "more than 1,024 targets"},
		{"a", "1", ":1", `":1" has no host before the colon`},
		{"srv:", "", "", `"srv:" lacks the name, as in srv:_malcolm._udp.example.com`},
		{"", "", "srv:_malcolm._udp", `"srv:_malcolm._udp" has no domain behind its labels, as in srv:_malcolm._udp.example.com`},
		{"", "", "srv:x:1", `"srv:x:1" has the port "1": the ports of an SRV name are in DNS; write "srv:x"`},
		{"", "", "srv:10.0.0.1", `"srv:10.0.0.1": "10.0.0.1" is an address, and no name`},
		{"", "", "srv:a..b", `"srv:a..b": "a..b" is no host name`},
		{"", "", "srv:a/b", `"a/b" has a "/" in it; an address is HOST or HOST:PORT, without a path`},
	}
	for _, test := range tests {
		got, warnings, err := Targets(strings.Fields(test.addresses), strings.Fields(test.ports), strings.Fields(test.positional))
		if err == nil || err.Error() != test.want || got != nil || warnings != nil {
			t.Errorf("%+v: got %v, %v, %v", test, got, warnings, err)
		}
	}
}

func TestGetLine(t *testing.T) {
	tests := []struct {
		line   string
		output string
		resume bool
		want   string
	}{
		{"get -o copy -a 127.0.0.1 -i 1 -r -p 10001 10002 10003 10004", "copy", true,
			"[127.0.0.1:10001 127.0.0.1:10002 127.0.0.1:10003 127.0.0.1:10004]"},
		{"get -p 1 2 -o x host:1", "x", false, "[host:1]"},
		{"get -p 1 2 host", ".", false, "[host:1 host:2]"},
		{"get -p 1 2 127.0.0.1", ".", false, "[127.0.0.1:1 127.0.0.1:2]"},
		{"get host:10001-10002 other:9000", ".", false, "[host:10001 host:10002 other:9000]"},
		{"get host:1,2 -r", ".", true, "[host:1 host:2]"},
		{"get -a host:1,3-4 -a [::1]:10001 -a other -p 7", ".", false, "[host:1 host:3 host:4 [::1]:10001 other:7]"},
		{"get -a=host -p=1 2", ".", false, "[host:1 host:2]"},
		{"get -ahost -p1", ".", false, "[host:1]"},
		{"get --address=host --port=1", ".", false, "[host:1]"},
		{"get -p 1 -- 127.0.0.1", ".", false, "[127.0.0.1:1]"},
	}
	for _, test := range tests {
		g, err := parseLine(t, test.line)
		if err != nil {
			t.Errorf("%s: %v", test.line, err)
			continue
		}
		got, _, err := Targets(g.Get.Address, g.Get.Port, g.Get.Target)
		if err != nil || fmt.Sprint(got) != test.want || g.Get.Output != test.output || g.Get.Resume != test.resume {
			t.Errorf("%s: got %v, %v, output %q, resume %t", test.line, got, err, g.Get.Output, g.Get.Resume)
		}
	}
}

func TestAddressMissing(t *testing.T) {
	tests := []struct{ line, want string }{
		{"get -a", "--address: an address is missing"},
		{"get -a -p 1", `--address: an address is missing before "-p"`},
	}
	for _, test := range tests {
		if _, err := parseLine(t, test.line); err == nil || err.Error() != test.want {
			t.Errorf("%s: got %v, want %s", test.line, err, test.want)
		}
	}
}
