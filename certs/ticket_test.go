package certs

import (
	"bytes"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"
)

var (
	ticketID  = strings.ReplaceAll(goldenIDs[0].text, "-", "")
	ticketSum = strings.Repeat("0123456789abcdef", 4)
	goodEnd   = "&id=" + ticketID + "&c=" + ticketSum
	goodQuery = "p=10001" + goodEnd
)

func ticketOf(t *testing.T, hosts []string, ports []uint16, name string) Ticket {
	t.Helper()
	want := Ticket{Hosts: hosts, Ports: ports, IDs: []ServerID{unhexID(t, goldenIDs[0].hex)}, Name: name}
	copy(want.Checksum[:], bytes.Repeat([]byte{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef}, 4))
	return want
}

// TestTicketGolden freezes the text of a ticket, and reads it back.
func TestTicketGolden(t *testing.T) {
	ports := []uint16{10001, 10002, 10003, 10007, 5, 9, 8, 65534, 65535}
	two := ticketOf(t, []string{"::1"}, []uint16{1}, "x")
	two.IDs = append(two.IDs, unhexID(t, goldenIDs[3].hex))
	tree := ticketOf(t, []string{"a"}, []uint16{10001}, "my photos")
	tree.Tree = true
	noName := tree
	noName.Name = ""
	for _, c := range []struct {
		ticket Ticket
		want   string
	}{
		{ticketOf(t, []string{"example.com"}, []uint16{10001}, "data.mp4"), "malcolm://example.com/data.mp4?" + goodQuery},
		{ticketOf(t, []string{"127.0.0.1", "::1", "b"}, ports, ""),
			"malcolm://127.0.0.1/?h=::1,b&p=10001-10003,10007,5,9,8,65534-65535" + goodEnd},
		{two, "malcolm://[::1]/x?p=1&id=" + ticketID + "," + strings.ReplaceAll(goldenIDs[3].text, "-", "") + "&c=" + ticketSum},
		{ticketOf(t, []string{"a"}, []uint16{1, 2}, "a b/%é'\"$`\\!#?&"), "malcolm://a/a%20b%2F%25%C3%A9%27%22%24%60%5C%21%23%3F%26?p=1-2" + goodEnd},
		{tree, "malcolm://a/my%20photos/?p=10001&id=" + ticketID + "&c=tree:" + ticketSum},
		{noName, "malcolm://a/?p=10001&id=" + ticketID + "&c=tree:" + ticketSum},
	} {
		if got := c.ticket.String(); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
		if err := c.ticket.Check(); err != nil {
			t.Errorf("%s: %v", c.want, err)
		}
		got, err := ParseTicket(c.want)
		if err != nil || !reflect.DeepEqual(got, c.ticket) {
			t.Errorf("%s: got %+v, %v", c.want, got, err)
		}
	}
}

func TestParseTicketForms(t *testing.T) {
	for in, want := range map[string]Ticket{
		"MALCOLM://Example.COM/x?" + goodQuery:                                                      ticketOf(t, []string{"example.com"}, []uint16{10001}, "x"),
		"malcolm://a?" + goodQuery:                                                                  ticketOf(t, []string{"a"}, []uint16{10001}, ""),
		"malcolm://a/?c=" + ticketSum + "&id=" + ticketID + "&p=2,1":                                ticketOf(t, []string{"a"}, []uint16{2, 1}, ""),
		"malcolm://a/?p=1%2C3%2d4" + goodEnd:                                                        ticketOf(t, []string{"a"}, []uint16{1, 3, 4}, ""),
		"malcolm://[2001:DB8::0]/?h=[::1],%5B::2%5D,::3&" + goodQuery:                               ticketOf(t, []string{"2001:db8::", "::1", "::2", "::3"}, []uint16{10001}, ""),
		"malcolm://a/!$&'()*+,;=:@~?" + goodQuery:                                                   ticketOf(t, []string{"a"}, []uint16{10001}, "!$&'()*+,;=:@~"),
		"malcolm://a/?p=10001&id=" + goldenIDs[0].text + "&c=" + ticketSum:                          ticketOf(t, []string{"a"}, []uint16{10001}, ""),
		"malcolm://a/?p=10001&id=" + strings.ToLower(ticketID) + "&c=" + strings.ToUpper(ticketSum): ticketOf(t, []string{"a"}, []uint16{10001}, ""),
	} {
		if got, err := ParseTicket(in); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v; want %+v", in, got, err, want)
		}
	}
}

func TestParseTicketRefuses(t *testing.T) {
	hostile := strings.Repeat("\u202e\x1b", 150)
	for _, c := range []struct{ in, want string }{
		{"", `"" does not begin with malcolm://`},
		{"malcolm:/a/?" + goodQuery, `"... does not begin with malcolm://`},
		{"http://a/?" + goodQuery, `does not begin with malcolm://`},
		{" malcolm://a/?" + goodQuery, `does not begin with malcolm://`},
		{"malcolm://a/" + strings.Repeat("x", maxTicketLen) + "?" + goodQuery, `longer than 4096 bytes`},
		{"malcolm://a/?" + goodQuery + "#x", `fragment: "#x" does not belong there`},
		{"malcolm://a/?" + goodQuery + "#" + hostile, `fragment: "#\u202e\x1b`},

		{"malcolm:///x?" + goodQuery, `host: the address is empty`},
		{"malcolm://?" + goodQuery, `host: the address is empty`},
		{"malcolm://me@a/x?" + goodQuery, `host: "me@a" has a user name`},
		{"malcolm://me:pw@a/x?" + goodQuery, `host: "me:pw@a" has a user name`},
		{"malcolm://a,b/x?" + goodQuery, `host: "a,b" is a list; further hosts stand in h`},
		{"malcolm://a:10001/x?" + goodQuery, `host: "a:10001" has a port; ports stand in p`},
		{"malcolm://[::1]:10001/x?" + goodQuery, `host: "[::1]:10001" has a port; ports stand in p`},
		{"malcolm://::1/x?" + goodQuery, `host: "::1": an IPv6 address stands in brackets`},
		{"malcolm://[fe80::1]/x?" + goodQuery, `host: "[fe80::1]" is of one link only, and means nothing elsewhere`},
		{"malcolm://[fe80::1%eth0]/x?" + goodQuery, `host: "[fe80::1%eth0]" has a zone, which means nothing elsewhere`},
		{"malcolm://a\x1b/x?" + goodQuery, `host: "a\x1b" is no host name`},
		{"malcolm://%61/x?" + goodQuery, `host: "%61" is no host name`},
		{"malcolm://" + hostile + "/x?" + goodQuery, `host: "\u202e\x1b`},

		{"malcolm://a/x/y?" + goodQuery, `name: "x/y": '/' must be percent-encoded`},
		{"malcolm://a/x//?" + goodQuery, `name: "x/": '/' must be percent-encoded`},
		{"malcolm://a/x/?" + goodQuery, `name: only a directory's ends in "/"`},
		{"malcolm://a//?" + goodQuery, `name: only a directory's ends in "/"`},
		{"malcolm://a//?p=1&id=" + ticketID + "&c=tree:" + ticketSum, `name: only a directory's ends in "/"`},
		{"malcolm://a/x?p=1&id=" + ticketID + "&c=tree:" + ticketSum, `name: only a directory's ends in "/"`},
		{"malcolm://a/x y?" + goodQuery, `name: "x y": ' ' must be percent-encoded`},
		{"malcolm://a/\n?" + goodQuery, `name: "\n": '\n' must be percent-encoded`},
		{"malcolm://a/é?" + goodQuery, `name: "é": 'é' must be percent-encoded`},
		{"malcolm://a/" + hostile + "?" + goodQuery, `: '\u202e' must be percent-encoded`},
		{"malcolm://a/%1b?" + goodQuery, `name: "\x1b" has a control character`},
		{"malcolm://a/%C2%85?" + goodQuery, `name: "\u0085" has a control character`},
		{"malcolm://a/%ff?" + goodQuery, `name: "\xff" is not UTF-8`},
		{"malcolm://a/%f?" + goodQuery, `name: "%f": "%" lacks two hex digits`},
		{"malcolm://a/%0x?" + goodQuery, `name: "%0x": "%" is followed by no two hex digits`},
		{"malcolm://a/%+1?" + goodQuery, `name: "%+1": "%" is followed by no two hex digits`},

		{"malcolm://a/x", `parameter "p" is missing`},
		{"malcolm://a/x?", `parameter "p" is missing`},
		{"malcolm://a/x?" + goodEnd[1:], `parameter "p" is missing`},
		{"malcolm://a/x?p=1&c=" + ticketSum, `parameter "id" is missing`},
		{"malcolm://a/x?p=1&id=" + ticketID, `parameter "c" is missing`},
		{"malcolm://a/x?" + goodQuery + "&", `parameter "" is unknown`},
		{"malcolm://a/x?&" + goodQuery, `parameter "" is unknown`},
		{"malcolm://a/x?" + goodQuery + "&x=1", `parameter "x" is unknown`},
		{"malcolm://a/x?" + goodQuery + "&P=1", `parameter "P" is unknown`},
		{"malcolm://a/x?" + goodQuery + "&" + hostile, `parameter "\u202e\x1b`},
		{"malcolm://a/x?" + goodQuery + "&p=2", `parameter "p" is there twice`},
		{"malcolm://a/x?" + goodQuery + "&h", `parameter "h" has no value`},
		{"malcolm://a/x?" + goodQuery + "&h=", `parameter "h" has no value`},
		{"malcolm://a/x?p=1?id=" + ticketID + "&c=" + ticketSum, `p: "1?id=`},

		{"malcolm://a/x?h=b,&" + goodQuery, `h: the address is empty`},
		{"malcolm://a/x?h=b,A&" + goodQuery, `h: "a" is there twice`},
		{"malcolm://a/x?h=b:1&" + goodQuery, `h: "b:1" has a port; ports stand in p`},
		{"malcolm://a/x?h=me@b&" + goodQuery, `h: "me@b" is no host name`},
		{"malcolm://a/x?h=fe80::1%25eth0&" + goodQuery, `h: "fe80::1%eth0" has a zone`},
		{"malcolm://a/x?h=b%0a&" + goodQuery, `h: "b\n" is no host name`},
		{"malcolm://a/x?h=b%0&" + goodQuery, `h: "b%0": "%" lacks two hex digits`},

		{"malcolm://a/x?p=0" + goodEnd, `p: "0" is no port: ports are 1 to 65535`},
		{"malcolm://a/x?p=65536" + goodEnd, `p: "65536" is no port`},
		{"malcolm://a/x?p=1-65536" + goodEnd, `p: "65536" is no port`},
		{"malcolm://a/x?p=1-" + goodEnd, `p: "" is no port`},
		{"malcolm://a/x?p=1,,2" + goodEnd, `p: "" is no port`},
		{"malcolm://a/x?p=-1" + goodEnd, `p: "" is no port`},
		{"malcolm://a/x?p=01" + goodEnd, `p: "01" is no port`},
		{"malcolm://a/x?p=1+2" + goodEnd, `p: "1+2" is no port`},
		{"malcolm://a/x?p=" + hostile + goodEnd, `is no port`},
		{"malcolm://a/x?p=2-1" + goodEnd, `p: "2-1" ends before it begins`},
		{"malcolm://a/x?p=1-3,3" + goodEnd, `p: 3 is there twice`},
		{"malcolm://a/x?p=1-65535" + goodEnd, `p: more than 1024 ports`},
		{"malcolm://a/x?p=1-1025" + goodEnd, `p: more than 1024 ports`},
		{"malcolm://a/x?h=b&p=1-513" + goodEnd, `1026 addresses, at most 1024 are allowed`},

		{"malcolm://a/x?p=1&id=" + ticketID[1:] + "&c=" + ticketSum, `id: server ID "`},
		{"malcolm://a/x?p=1&id=" + hostile + "&c=" + ticketSum, `id: server ID "`},
		{"malcolm://a/x?p=1&id=" + ticketID + ",&c=" + ticketSum, `id: server ID "": 0 characters`},
		{"malcolm://a/x?p=1&id=" + ticketID + "," + strings.ToLower(goldenIDs[0].text) + "&c=" + ticketSum, ` is there twice`},
		{"malcolm://a/x?p=1&id=sha256//" + strings.Repeat("A", 43) + "=&c=" + ticketSum, `id: "sha256//`},
		{"malcolm://a/x?p=1&id=" + ticketID + "%20&c=" + ticketSum, ` " is not in the form that malcolm prints`},

		{"malcolm://a/x?p=1&id=" + ticketID + "&c=" + ticketSum[1:], `has 63 bytes, want 64 hex digits`},
		{"malcolm://a/x/?p=1&id=" + ticketID + "&c=tree:" + ticketSum[1:], `has 63 bytes, want 64 hex digits`},
		{"malcolm://a/x/?p=1&id=" + ticketID + "&c=TREE:" + ticketSum, `has 69 bytes, want 64 hex digits`},
		{"malcolm://a/x/?p=1&id=" + ticketID + "&c=tree:tree:" + ticketSum, `has 69 bytes, want 64 hex digits`},
		{"malcolm://a/x?p=1&id=" + ticketID + "&c=" + ticketSum + "\n", `"... has 65 bytes, want 64 hex digits`},
		{"malcolm://a/x?p=1&id=" + ticketID + "&c=" + ticketSum[1:] + "g", `" is not made of hex digits`},
		{"malcolm://a/x?p=1&id=" + ticketID + "&c=" + hostile, `c: "\u202e\x1b`},
	} {
		got, err := ParseTicket(c.in)
		if err == nil || !reflect.DeepEqual(got, Ticket{}) {
			t.Errorf("%.90q: got %+v, %v; want an error", c.in, got, err)
			continue
		}
		if text := err.Error(); !strings.HasPrefix(text, "ticket: ") || !strings.Contains(text, c.want) {
			t.Errorf("%.90q: got error %q, want one with %q", c.in, text, c.want)
		}
		checkText(t, err, 600)
	}
}

// TestParseTicketLimits is at the limits that TestParseTicketRefuses exceeds.
func TestParseTicketLimits(t *testing.T) {
	got, err := ParseTicket("malcolm://a/x?h=b&p=1-511,600" + goodEnd)
	if err != nil || len(got.Hosts)*len(got.Ports) != maxTicketAddresses {
		t.Errorf("got %d hosts, %d ports, %v", len(got.Hosts), len(got.Ports), err)
	}
	rest := len("malcolm://a/?" + goodQuery)
	long := strings.Repeat("x", maxTicketLen-rest)
	if got, err := ParseTicket("malcolm://a/" + long + "?" + goodQuery); err != nil || got.Name != long {
		t.Errorf("got %d bytes of name, %v", len(got.Name), err)
	}
}

func TestTicketCheckRefuses(t *testing.T) {
	good := ticketOf(t, []string{"a", "b"}, []uint16{1, 2}, "x")
	for want, spoil := range map[string]func(*Ticket){
		"ticket: host: there is none":                              func(k *Ticket) { k.Hosts = nil },
		`ticket: host: "A,b" is not as addresses are compared`:     func(k *Ticket) { k.Hosts = []string{"A", "b"} },
		`ticket: host: "a,[::1]" is not as addresses are compared`: func(k *Ticket) { k.Hosts = []string{"a", "[::1]"} },
		`ticket: host: "a,b,c" is not as addresses are compared`:   func(k *Ticket) { k.Hosts = []string{"a", "b,c"} },
		`ticket: parameter "p" has no value`:                       func(k *Ticket) { k.Ports = nil },
		`ticket: p: "0" is no port: ports are 1 to 65535`:          func(k *Ticket) { k.Ports = []uint16{0} },
		`ticket: p: 1 is there twice`:                              func(k *Ticket) { k.Ports = []uint16{1, 1} },
		`ticket: parameter "id" has no value`:                      func(k *Ticket) { k.IDs = nil },
		`ticket: name: "\x1b" has a control character`:             func(k *Ticket) { k.Name = "\x1b" },
		`ticket: name: "\xff" is not UTF-8`:                        func(k *Ticket) { k.Name = "\xff" },
		`ticket: host: "a%b" is no host name`:                      func(k *Ticket) { k.Hosts = []string{"a%b"} },
		`ticket: name: "y/x": '/' must be percent-encoded`:         func(k *Ticket) { k.Hosts = []string{"a/y"} },
	} {
		spoilt := good
		spoil(&spoilt)
		if err := spoilt.Check(); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
}

func TestTicketPins(t *testing.T) {
	k := Ticket{Hosts: []string{"a", "::1"}, Ports: []uint16{1, 2}, IDs: []ServerID{testID(1), testID(2)}}
	pins := k.Pins()
	for _, host := range k.Hosts {
		for _, port := range k.Ports {
			if got := pins.IDs(host, port); !slices.Equal(got, k.IDs) {
				t.Errorf("%s, %d: got %v", host, port, got)
			}
		}
		if got := pins.IDs(host, 3); got != nil {
			t.Errorf("%s, 3: got %v", host, got)
		}
	}
	if len(pins) != 8 {
		t.Errorf("got %d pins", len(pins))
	}
}

func TestIsTicket(t *testing.T) {
	for in, want := range map[string]bool{
		"malcolm://": true, "MALCOLM://x": true, "malcolm:/x": false, "": false, "malcolm:10001": false, "http://a": false, "xmalcolm://": false,
	} {
		if got := IsTicket(in); got != want {
			t.Errorf("%q: got %t", in, got)
		}
	}
}

func drawTicket(t *rapid.T) Ticket {
	host := hostGen.Filter(func(s string) bool { return !strings.Contains(s, "%") })
	name := rapid.String().Filter(func(s string) bool { return !strings.ContainsFunc(s, unicode.IsControl) && len(s) < 300 })
	return Ticket{
		Hosts:    rapid.SliceOfNDistinct(host, 1, 4, rapid.ID).Draw(t, "hosts"),
		Ports:    rapid.SliceOfNDistinct(rapid.OneOf(rapid.Uint16Range(10000, 10020), rapid.Uint16Min(1)), 1, 20, rapid.ID).Draw(t, "ports"),
		IDs:      rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) ServerID { return drawID(t, "id") }), 1, 3, rapid.ID).Draw(t, "IDs"),
		Checksum: drawID(t, "checksum"),
		Tree:     rapid.Bool().Draw(t, "tree"),
		Name:     name.Draw(t, "name"),
	}
}

// TestTicketRoundTrip checks that a ticket comes back, that a URL parser
// accepts it, that in quotes it is one word of a shell, and that it is invalid
// if its end is missing.
func TestTicketRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawTicket(t)
		text := want.String()
		got, err := ParseTicket(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: got %+v, %v; want %+v", text, got, err, want)
		}
		if err := want.Check(); err != nil {
			t.Fatal(err)
		}
		path := "/" + want.Name
		if want.Tree && want.Name != "" {
			path += "/"
		}
		u, err := url.Parse(text)
		if err != nil || u.Hostname() != want.Hosts[0] || u.Path != path || u.Query().Get("p") != portList(want.Ports) {
			t.Fatalf("%s: got %+v, %v", text, u, err)
		}
		if strings.ContainsAny(text, "'\"$`\\! \t\n") || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			t.Fatalf("%s is special to shells", text)
		}
		cut := rapid.IntRange(0, len(text)-1).Draw(t, "cut")
		if _, err := ParseTicket(text[:cut]); err == nil {
			t.Fatalf("%s is accepted without its end", text[:cut])
		}
	})
}

func ticketSeeds() []string {
	seeds := []string{
		"malcolm://example.com/data.mp4?" + goodQuery,
		"malcolm://[::1]/a%20b?h=::2,c&p=1-4,7&id=" + ticketID + "," + strings.ReplaceAll(goldenIDs[3].text, "-", "") + "&c=" + ticketSum,
		"malcolm://a?c=" + ticketSum + "&id=" + goldenIDs[0].text + "&p=1",
		"malcolm://a/..%2Fx?" + goodQuery,
		"malcolm://a/photos/?p=1&id=" + ticketID + "&c=tree:" + ticketSum,
	}
	for _, s := range seeds[:5] {
		seeds = append(seeds, s[:len(s)-1], s+"&x=1", strings.Replace(s, "malcolm://", "malcolm://u@", 1), s+"#f", strings.Replace(s, "p=", "p=65535-", 1))
	}
	return seeds
}

func FuzzParseTicket(f *testing.F) {
	for _, s := range ticketSeeds() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, err := ParseTicket(s)
		if err != nil {
			if !reflect.DeepEqual(k, Ticket{}) {
				t.Fatalf("%q: got a ticket with the error %v", s, err)
			}
			checkText(t, err, 1200)
			return
		}
		if n := len(k.Hosts) * len(k.Ports); n < 1 || n > maxTicketAddresses || len(k.IDs) == 0 {
			t.Fatalf("%q: got %+v", s, k)
		}
		// Encoding may make it longer than a ticket may be.
		text := k.String()
		if len(text) > maxTicketLen {
			return
		}
		again, err := ParseTicket(text)
		if err != nil || !reflect.DeepEqual(again, k) {
			t.Fatalf("%q: %s: got %+v, %v; want %+v", s, text, again, err, k)
		}
	})
}

func ExampleTicket() {
	k := Ticket{Hosts: []string{"example.com", "2001:db8::1"}, Ports: []uint16{10001, 10002, 10003}, IDs: []ServerID{{}}, Name: "my data"}
	fmt.Println(k)
	// Output:
	// malcolm://example.com/my%20data?h=2001:db8::1&p=10001-10003&id=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA&c=0000000000000000000000000000000000000000000000000000000000000000
}
