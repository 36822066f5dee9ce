package certs

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// goldenIDs were computed by a program that shares no code with this package.
var goldenIDs = []struct{ hex, text string }{
	{
		// Of the key in RFC 8032, section 7.1, test 1.
		"06e3fd8fda29bb60ab59557de61edb0aecdb231134be30e75b455f8e1b792fa9",
		"A3R73D6-2FG5WBP-K2ZKV66-MHW3BLR-WNWIYRG-S7DBZ27-3IVPY4G-3ZF6UQJ",
	},
	{
		strings.Repeat("00", 32),
		"AAAAAAA-AAAAAAA-AAAAAAA-AAAAAAA-AAAAAAA-AAAAAAA-AAAAAAA-AAAAAAA",
	},
	{
		strings.Repeat("ff", 32),
		"7777777-777777N-7777777-777777N-7777777-777777N-7777777-77777QL",
	},
	{
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
		"AAAQEAY-EAUDAO5-CAJBIFQ-YDIOB4X-IBCEQTC-QKRMFYM-YDENBWH-A5DYPQS",
	},
}

func unhexID(t *testing.T, s string) ServerID {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return ServerID(b)
}

func TestServerIDGolden(t *testing.T) {
	for _, g := range goldenIDs {
		id := unhexID(t, g.hex)
		if got := id.String(); got != g.text {
			t.Errorf("String of %s: got %s, want %s", g.hex, got, g.text)
		}
		if got, want := id.Short(), g.text[:7]; got != want {
			t.Errorf("Short of %s: got %s, want %s", g.hex, got, want)
		}
		got, err := ParseServerID(g.text)
		if err != nil || got != id {
			t.Errorf("ParseServerID(%s): got %x, %v", g.text, got, err)
		}
	}
}

// luhnModN is the textbook algorithm over any alphabet, written independently
// of checkCharacter: it multiplies by 2 and 1 from the right and adds up the
// digits of each product.
func luhnModN(alphabet, payload string) byte {
	n, factor, sum := len(alphabet), 2, 0
	for i := len(payload) - 1; i >= 0; i-- {
		product := factor * strings.IndexByte(alphabet, payload[i])
		for ; product > 0; product /= n {
			sum += product % n
		}
		factor = 3 - factor
	}
	check := 0
	for (sum+check)%n != 0 {
		check++
	}
	return alphabet[check]
}

func TestCheckCharacterAgreesWithSecondImplementation(t *testing.T) {
	// The second implementation itself is checked on two published
	// examples: a payment card number and the one for Luhn mod 6.
	if got := luhnModN("0123456789", "7992739871"); got != '3' {
		t.Fatalf("Luhn mod 10 of 7992739871: got %c, want 3", got)
	}
	if got := luhnModN("abcdef", "abcdef"); got != 'e' {
		t.Fatalf("Luhn mod 6 of abcdef: got %c, want e", got)
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	rapid.Check(t, func(t *rapid.T) {
		var id ServerID
		copy(id[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "id"))
		data := strings.TrimRight(base32.StdEncoding.EncodeToString(id[:]), "=")
		var want string
		for ; data != ""; data = data[13:] {
			want += data[:13] + string(luhnModN(alphabet, data[:13]))
		}
		if got := strings.ReplaceAll(id.String(), "-", ""); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	})
}

// TestParseServerIDFindsWrongCharacters changes each character to every other
// one of the alphabet, and swaps all neighbours.
func TestParseServerIDFindsWrongCharacters(t *testing.T) {
	for _, g := range goldenIDs {
		for at := range len(g.text) {
			if g.text[at] == '-' {
				continue
			}
			for _, c := range []byte(idAlphabet) {
				wrong := []byte(g.text)
				wrong[at] = c
				if c == g.text[at] {
					continue
				}
				if _, err := ParseServerID(string(wrong)); err == nil {
					t.Errorf("%s: a wrong character at %d is not found", wrong, at)
				}
			}
		}
		plain := strings.ReplaceAll(g.text, "-", "")
		for at := range len(plain) - 1 {
			a, b := plain[at], plain[at+1]
			if a == b || a == 'A' && b == '7' || a == '7' && b == 'A' {
				continue
			}
			wrong := []byte(plain)
			wrong[at], wrong[at+1] = b, a
			if _, err := ParseServerID(string(wrong)); err == nil {
				t.Errorf("%s: swapped characters at %d are not found", wrong, at)
			}
		}
	}
}

func TestParseServerIDForms(t *testing.T) {
	id := unhexID(t, goldenIDs[0].hex)
	text := goldenIDs[0].text
	plain := strings.ReplaceAll(text, "-", "")
	last := unhexID(t, goldenIDs[3].hex)
	for _, c := range []struct {
		in   string
		want ServerID
	}{
		{plain, id},
		{strings.ToLower(text), id},
		{strings.ReplaceAll(text, "-", " "), id},
		{" - " + plain[:1] + "--" + plain[1:] + "  ", id},
		{"sha256//BuP9j9opu2CrWVV95h7bCuzbIxE0vjDnW0Vfjht5L6k=", id},
		{strings.NewReplacer("B", "8", "I", "1", "O", "0").Replace(text), id},
		{strings.NewReplacer("B", "8", "I", "1", "O", "0").Replace(goldenIDs[3].text), last},
	} {
		got, err := ParseServerID(c.in)
		if err != nil || got != c.want {
			t.Errorf("%q: got %x, %v; want %x", c.in, got, err, c.want)
		}
	}
}

func TestParseServerIDRefuses(t *testing.T) {
	text := goldenIDs[0].text
	plain := strings.ReplaceAll(text, "-", "")
	// The last block with an unused bit set, and a right check character.
	bits := plain[:42] + "AAAAAAAAAAAAB" + string(luhnModN(idAlphabet, "AAAAAAAAAAAAB"))
	good := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for _, c := range []struct{ in, want string }{
		{"", "0 characters"},
		{text[:len(text)-1], "55 characters"},
		{text + "A", "longer than 56"},
		{plain[:41] + plain[42:], "55 characters"},
		{"9" + text[1:], "'9' cannot be"},
		{"\u017f" + text[1:], "'ſ' cannot be"}, // upper case of it is S
		{text + "\n", `'\n' cannot be`},
		{"\xff" + text[1:], "cannot be"},
		{"B" + text[1:], "groups 1 to 2"},
		{text[:len(text)-1] + "A", "groups 7 to 8"},
		{bits, "unused last bits"},
		{"SHA256//" + good, "cannot be"},
		{"sha256//", "0 bytes after"},
		{"sha256//" + good[:43], "43 bytes after"},
		{"sha256//" + good[:42] + "B=", "illegal base64"}, // unused bits
		{"sha256//" + good[:20] + "\n" + good[21:], "illegal base64"},
		{"sha256//" + good[:20] + "_" + good[21:], "illegal base64"},
		{"sha256//" + good + "\n", "45 bytes after"},
		{"sha256//" + good + ";sha256//" + good, "97 bytes after"},
		{"sha256//" + base64.StdEncoding.EncodeToString(make([]byte, 33)), "33 bytes of hash"},
		{"sha256//" + base64.StdEncoding.EncodeToString(make([]byte, 31)), "31 bytes of hash"},
	} {
		id, err := ParseServerID(c.in)
		if err == nil {
			t.Errorf("%q: got %s, want an error", c.in, id)
			continue
		}
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got error %q, want one with %q", c.in, err, c.want)
		}
	}
}

func TestParseServerIDErrorsAreBounded(t *testing.T) {
	for _, unit := range []string{"z", "\x1b", "\n", "ſ", "\xff"} {
		for _, n := range []int{maxEcho, maxEcho + 1, 4 * maxEcho, 1 << 16} {
			for _, prefix := range []string{"", curlPrefix} {
				in := (prefix + strings.Repeat(unit, n))[:n]
				want := fmt.Sprintf("server ID %q: ", in)
				if n > maxEcho {
					want = fmt.Sprintf("server ID %q...: ", in[:maxEcho])
				}
				_, err := ParseServerID(in)
				if err == nil || !strings.HasPrefix(err.Error(), want) {
					t.Errorf("got error %v, want one that begins with %s", err, want)
					continue
				}
				checkEcho(t, in, err)
			}
		}
	}
}

// checkEcho checks that an error shows no control characters and is short:
// quoting turns a byte into at most 4.
func checkEcho(t *testing.T, in string, err error) {
	t.Helper()
	text := err.Error()
	control := strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
	if len(text) > 4*maxEcho+100 || control || !utf8.ValidString(text) {
		t.Errorf("%.20q: got error %q of %d bytes", in, text, len(text))
	}
}

// fuzzSeeds has both forms and one example of each kind of mistake.
func fuzzSeeds() []string {
	seeds := []string{"", "-", "sha256//", curlPrefix + strings.Repeat("=", 44), strings.Repeat("A", 57)}
	for _, g := range goldenIDs {
		b, _ := hex.DecodeString(g.hex)
		seeds = append(seeds, g.text, strings.ToLower(g.text), g.text[1:], g.text+"A", "1"+g.text[1:],
			curlPrefix+base64.StdEncoding.EncodeToString(b))
	}
	return seeds
}

func TestFuzzSeeds(t *testing.T) {
	good, bad := 0, 0
	for _, s := range fuzzSeeds() {
		if _, err := ParseServerID(s); err == nil {
			good++
		} else {
			bad++
		}
	}
	if good < 3*len(goldenIDs) || bad < len(goldenIDs) {
		t.Errorf("got %d good and %d bad seeds", good, bad)
	}
}

func FuzzParseServerID(f *testing.F) {
	for _, s := range fuzzSeeds() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		// String, then parse: any 32 bytes come back.
		whole := ServerID(sha256.Sum256([]byte(s)))
		if got, err := ParseServerID(whole.String()); err != nil || got != whole {
			t.Fatalf("ParseServerID(%s): got %x, %v; want %x", whole, got, err, whole)
		}
		// Parse, then String: an accepted text is a spelling of the
		// canonical form.
		id, err := ParseServerID(s)
		if err != nil {
			if id != (ServerID{}) {
				t.Fatalf("%q: got an ID with the error %v", s, err)
			}
			checkEcho(t, s, err)
			return
		}
		want := id.String()
		if got, err := ParseServerID(want); err != nil || got != id {
			t.Fatalf("ParseServerID(%s): got %x, %v; want %x", want, got, err, id)
		}
		if encoded, ok := strings.CutPrefix(s, curlPrefix); ok {
			if got := base64.StdEncoding.EncodeToString(id[:]); got != encoded {
				t.Fatalf("%q: got %s", s, got)
			}
			return
		}
		canonical := strings.NewReplacer("-", "", " ", "", "0", "O", "1", "I", "8", "B").Replace(strings.ToUpper(s))
		if got := strings.ReplaceAll(want, "-", ""); got != canonical {
			t.Fatalf("%q: got %s, want %s", s, got, canonical)
		}
	})
}
