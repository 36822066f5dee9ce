package paths

import (
	"bytes"
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// noon is a time, in whole seconds.
var noon = time.Unix(1764436710, 0).UTC()

// somePath is a path with a value in every field.
var somePath = Path{TCP: true, Conns: 2, Rate: 123456789, Other: 98765432, RTT: 180 * time.Microsecond, Loss: 0.001, When: noon}

const someText = "malcolm paths 1\n" +
	"000102030405060708090a0b0c0d0e0f tcp 2 123456789 98765432 180 1000 1764436710\n" +
	"ff000000000000000000000000000000 quic 17 0 0 0 0 1764436709\n"

func someTable() Table {
	return Table{
		{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}: somePath,
		{0xff}: {Conns: 17, When: noon.Add(-time.Second)},
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	if got := string(someTable().Append([]byte("before "))); got != "before "+someText {
		t.Errorf("text = %q, want %q", got, someText)
	}
	if got := Parse([]byte(someText)); !reflect.DeepEqual(got, someTable()) {
		t.Errorf("table = %v, want %v", got, someTable())
	}
}

// Every damaged line costs its path, and nothing else.
func TestDamaged(t *testing.T) {
	t.Parallel()
	head, first, second := "malcolm paths 1\n", strings.Split(someText, "\n")[1]+"\n", strings.Split(someText, "\n")[2]+"\n"
	tests := []struct {
		name, text string
		paths      int
	}{
		{"whole", someText, 2},
		{"nothing", "", 0},
		{"head alone", head, 0},
		{"another version", strings.Replace(someText, "1\n", "2\n", 1), 0},
		{"no head", first + second, 0},
		{"a cut line", head + first + second[:len(second)-1], 1},
		{"an empty line", head + "\n" + first, 1},
		{"a long line", head + strings.Repeat("f", 300) + "\n" + first, 1},
		{"a word more", head + strings.TrimSuffix(first, "\n") + " 1\n" + second, 1},
		{"a word less", head + strings.TrimSuffix(first, " 1764436710\n") + "\n" + second, 1},
		{"a short place", head + first[2:] + second, 1},
		{"a place in capitals", head + strings.ToUpper(first[:32]) + first[32:] + second, 1},
		{"another transport", head + strings.Replace(first, "tcp", "sctp", 1) + second, 1},
		{"a plus sign", head + strings.Replace(first, " 2 ", " +2 ", 1) + second, 1},
		{"zeros in front", head + strings.Replace(first, " 2 ", " 02 ", 1) + second, 1},
		{"no connection", head + strings.Replace(first, " 2 ", " 0 ", 1) + second, 1},
		{"many connections", head + strings.Replace(first, " 2 ", " 97 ", 1) + second, 1},
		{"a negative rate", head + strings.Replace(first, "123456789", "-1", 1) + second, 1},
		{"a large rate", head + strings.Replace(first, "123456789", "9223372036854775807", 1) + second, 1},
		{"no number", head + strings.Replace(first, "123456789", "NaN", 1) + second, 1},
		{"a long round trip", head + strings.Replace(first, " 180 ", " 9223372036854775807 ", 1) + second, 1},
		{"a large loss", head + strings.Replace(first, " 1000 ", " 1000001 ", 1) + second, 1},
		{"before 1970", head + strings.Replace(first, "1764436710", "-1", 1) + second, 1},
		{"one twice", head + first + first, 1},
	}
	for _, test := range tests {
		if got := Parse([]byte(test.text)); len(got) != test.paths {
			t.Errorf("%s: %d paths, want %d: %v", test.name, len(got), test.paths, got)
		}
	}
}

// Of two lines of one place the younger counts, in any order.
func TestYoungerCounts(t *testing.T) {
	t.Parallel()
	at := Place{1}
	older, younger := somePath, somePath
	older.When, younger.Conns = noon.Add(-time.Hour), 9
	for _, pair := range [][2]Path{{older, younger}, {younger, older}} {
		text := append([]byte(header), appendLine(appendLine(nil, at, pair[0]), at, pair[1])...)
		if got := Parse(text)[at]; got != younger {
			t.Errorf("path = %+v, want the younger one", got)
		}
	}
}

// A table has at most MaxPaths paths, the youngest, all from the last day.
func TestMerge(t *testing.T) {
	t.Parallel()
	table, noted := make(Table), make(Table)
	for i := range MaxPaths {
		table[Place{byte(i), byte(i >> 8)}] = Path{Conns: 1, When: noon.Add(-time.Duration(i) * time.Second)}
	}
	noted[Place{0, 0, 1}] = Path{Conns: 1000, Rate: -1, Loss: math.NaN(), RTT: time.Hour, When: noon.Add(time.Millisecond)}
	table.Merge(noted, noon)
	if len(table) != MaxPaths {
		t.Fatalf("%d paths, want %d", len(table), MaxPaths)
	}
	last := MaxPaths - 1
	if _, ok := table[Place{byte(last), byte(last >> 8)}]; ok {
		t.Error("the oldest path is still there")
	}
	if got, want := table[Place{0, 0, 1}], (Path{Conns: MaxConns, RTT: maxRTT, When: noon}); got != want {
		t.Errorf("noted path = %+v, want %+v", got, want)
	}
	table.Merge(nil, noon.Add(Lasts))
	if len(table) != 0 {
		t.Errorf("%d paths after a day, want none", len(table))
	}
}

// What is appended is parsed again, within the limits, whatever was noted.
func TestProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		path := rapid.Custom(func(t *rapid.T) Path {
			return Path{
				TCP: rapid.Bool().Draw(t, "tcp"), Conns: rapid.Int().Draw(t, "conns"), Rate: rapid.Int64().Draw(t, "rate"),
				Other: rapid.Int64().Draw(t, "other"), RTT: time.Duration(rapid.Int64().Draw(t, "rtt")),
				Loss: rapid.Float64().Draw(t, "loss"), When: time.Unix(rapid.Int64().Draw(t, "when"), 0),
			}
		})
		place := rapid.Custom(func(t *rapid.T) (p Place) {
			copy(p[:], rapid.SliceOfN(rapid.Byte(), 1, len(p)).Draw(t, "place"))
			return p
		})
		noted := Table(rapid.MapOfN(place, path, 0, MaxPaths+20).Draw(t, "noted"))
		table := make(Table)
		now := noon
		table.Merge(noted, now)
		text := table.Append(nil)
		if len(text) > MaxLen {
			t.Fatalf("text of %d bytes, at most %d are read", len(text), MaxLen)
		}
		for line := range strings.Lines(string(text)) {
			if len(line) > maxLine {
				t.Fatalf("line of %d bytes: %q", len(line), line)
			}
		}
		if got := Parse(text); !reflect.DeepEqual(got, table) {
			t.Fatalf("table = %v, want %v", got, table)
		}
	})
}

// FuzzParse takes the input as a table and as the lines of one. What is parsed
// is bounded, and appended it is parsed to the same.
func FuzzParse(f *testing.F) {
	for _, seed := range seeds() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		checkTable(t, Parse(b))
		checkTable(t, Parse(append([]byte(header), b...)))
		if !bytes.Equal(b, before) {
			t.Error("the text was changed")
		}
	})
}

func seeds() [][]byte {
	return [][]byte{[]byte(someText), []byte(strings.TrimPrefix(someText, header)), nil}
}

// The seeds are read as what they are.
func TestSeeds(t *testing.T) {
	t.Parallel()
	n := 0
	for _, seed := range seeds() {
		n += len(Parse(seed))
	}
	if n != 2 {
		t.Errorf("%d paths in the seeds, want 2", n)
	}
}

func checkTable(t *testing.T, table Table) {
	t.Helper()
	if len(table) > MaxPaths {
		t.Errorf("%d paths, at most %d are possible", len(table), MaxPaths)
	}
	for at, p := range table {
		if p != p.fitted() {
			t.Errorf("path of %x is %+v, which is not within the limits", at, p)
		}
	}
	if again := Parse(table.Append(nil)); !reflect.DeepEqual(again, table) {
		t.Errorf("parsed again: %v, want %v", again, table)
	}
}

func TestPrefix(t *testing.T) {
	t.Parallel()
	for local, want := range map[string]string{
		"192.168.1.7": "192.168.1.0/24", "::ffff:192.168.1.7": "192.168.1.0/24", "127.0.0.1": "127.0.0.0/24",
		"2001:db8:1:2:3::4": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := Prefix(netip.MustParseAddr(local)).String(); got != want {
			t.Errorf("network of %s = %s, want %s", local, got, want)
		}
	}
	if got := Prefix(netip.Addr{}); got != (netip.Prefix{}) {
		t.Errorf("network of no address = %s, want none", got)
	}
}

func TestMemory(t *testing.T) {
	t.Parallel()
	home, shop, cafe := netip.MustParseAddr("192.168.1.7"), netip.MustParseAddr("192.168.1.200"), netip.MustParseAddr("192.168.2.7")
	id := [32]byte{7}
	names := 0
	first := NewMemory(nil, func(netip.Addr) string { names++; return "wlan0" })
	if _, ok := first.Recall(id, home, noon); ok || !first.IsEmpty() {
		t.Error("an empty memory knows something")
	}
	first.Note(id, home, somePath)
	first.Note(id, home, somePath)
	first.Note(id, netip.Addr{}, somePath)
	if got := len(first.Noted()); got != 1 || names != 1 {
		t.Errorf("%d paths noted, the network was looked at %d times, want 1 and 1", got, names)
	}
	if _, ok := first.Recall(id, home, noon); ok {
		t.Error("a run believes what it has noted itself")
	}
	second := NewMemory(first.Noted(), func(netip.Addr) string { return "wlan0" })
	other := NewMemory(first.Noted(), func(netip.Addr) string { return "eth0" })
	tests := []struct {
		name  string
		m     *Memory
		id    [32]byte
		local netip.Addr
		after time.Duration
		want  bool
	}{
		{"the same", second, id, home, 0, true},
		{"another address of the network", second, id, shop, 0, true},
		{"almost a day later", second, id, home, Lasts - time.Second, true},
		{"the clock was set back", second, id, home, -time.Hour, true},
		{"a day later", second, id, home, Lasts, false},
		{"another server", second, [32]byte{8}, home, 0, false},
		{"another network", second, id, cafe, 0, false},
		{"another network with the same prefix", other, id, home, 0, false},
		{"a proxy", second, id, netip.Addr{}, 0, false},
		{"no memory", nil, id, home, 0, false},
	}
	for _, test := range tests {
		if p, ok := test.m.Recall(test.id, test.local, noon.Add(test.after)); ok != test.want || ok && p != somePath {
			t.Errorf("%s: recalled %t %+v, want %t", test.name, ok, p, test.want)
		}
	}
	(*Memory)(nil).Note(id, home, somePath)
	if got := (*Memory)(nil).Noted(); len(got) != 0 {
		t.Errorf("no memory has noted %v", got)
	}
}

// A reader of the file learns neither servers nor networks.
func TestPlacesAreHashes(t *testing.T) {
	t.Parallel()
	id := [32]byte([]byte("the server's id, 32 bytes of key"))
	m := NewMemory(nil, func(netip.Addr) string { return "wlan0 aa:bb:cc:dd:ee:ff" })
	m.Note(id, netip.MustParseAddr("192.168.1.7"), somePath)
	text := m.Noted().Append(nil)
	for _, secret := range []string{"192.168", "wlan0", "aa:bb", string(id[:8]), "7468652073657276"} {
		if bytes.Contains(text, []byte(secret)) {
			t.Errorf("%q tells %q", text, secret)
		}
	}
}
