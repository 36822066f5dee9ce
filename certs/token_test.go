package certs

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"
)

// countBytes are n bytes that count up from first.
func countBytes(first byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

const (
	countHex  = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	countText = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
)

func TestParseToken(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []byte
	}{
		{countText, countBytes(0, 32)},
		{countHex, countBytes(0, 32)},
		{strings.ToUpper(countHex), countBytes(0, 32)},
		{countHex[:32], countBytes(0, 16)},
		{"AAECAwQFBgcICQoLDA0ODw", countBytes(0, 16)},
		{"-_" + strings.Repeat("A", 20), append([]byte{0xfb, 0xf0}, make([]byte, 14)...)},
		{"-" + strings.Repeat("A", 20) + "B", append([]byte{0xf8}, make([]byte, 15)...)}, // the last character's unused bits do not count
		{strings.Repeat("f", maxTokenChars), bytes.Repeat([]byte{0xff}, maxTokenChars/2)},
	} {
		got, err := ParseToken(c.in)
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
		} else if !bytes.Equal(got.key(), c.want) || got.IsZero() {
			t.Errorf("%s: got %x, want %x", c.in, got.key(), c.want)
		}
	}
}

func TestParseTokenRefuses(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", "token: 0 characters, want at least 22 of base64url or 32 hex digits"},
		{countText[:21], "token: 21 characters, want at least 22 of base64url or 32 hex digits"},
		{countHex[:31], "token: 31 characters, want at least 22 of base64url or 32 hex digits"},
		{strings.Repeat("00", 12), "token: 24 characters, want at least 22 of base64url or 32 hex digits"},
		{countHex[:33], "token: an odd number of hex digits: 33"},
		{countText[:25], "token: base64url never has 25 characters: one is missing or too many"},
		{countText + "=", "token: byte 44 of 44 belongs neither to base64url without padding nor to hex"},
		{countText + "\n", "token: byte 44 of 44 belongs neither"},
		{countText[:20] + "\r\n" + countText[20:], "token: byte 21 of 45 belongs neither"},
		{"+" + countText, "token: byte 1 of 44 belongs neither"},
		{countText[:30] + "\u202e", "token: byte 31 of 33 belongs neither"},
		{"\xff", "token: byte 1 of 1 belongs neither"},
		{strings.Repeat("A", maxTokenChars+1), "token: longer than 1024 characters"},
	} {
		got, err := ParseToken(c.in)
		if err == nil || !got.IsZero() {
			t.Errorf("%q: got %v, want an error", c.in, err)
			continue
		}
		if !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%q: got error %q, want %q", c.in, err, c.want)
		}
		checkText(t, err, 120)
	}
}

// TestTokenIsRedacted prints a token in every way that there is, also from
// within other values.
func TestTokenIsRedacted(t *testing.T) {
	token, err := ParseToken(countHex)
	if err != nil {
		t.Fatal(err)
	}
	type holder struct {
		Exported Token
		hidden   Token
		pointer  *Token
		any      any
		list     []Token
	}
	h := holder{token, token, &token, token, []Token{token}}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%T", "%08b", "%!"} {
		for _, v := range []any{token, &token, h, &h, map[string]any{"a": h}, fmt.Errorf("x: %v", token)} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	for _, text := range []string{token.String(), token.GoString(), fmt.Sprint(token)} {
		if text != redacted {
			t.Errorf("got %q, want %q", text, redacted)
		}
		out.WriteString(text)
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("x", "token", token, "pointer", &token, "holder", h, "holder pointer", &h)
	}
	encoded, err := json.Marshal(h.Exported)
	if err != nil || string(encoded) != `"`+redacted+`"` {
		t.Errorf("got %s, %v", encoded, err)
	}
	out.Write(encoded)
	key := token.key()
	decimals := strings.Trim(fmt.Sprint(key[10:14]), "[]")
	for _, leak := range []string{
		countHex[20:28], strings.ToUpper(countHex[20:28]), countText[16:24], string(key[10:14]), decimals,
		"0xa, 0xb", "0a 0b", "00001010 00001011",
	} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("%q is in the output", leak)
		}
	}
	if n := strings.Count(out.String(), redacted); n < 50 {
		t.Errorf("it says %q only %d times", redacted, n)
	}
}

// TestTokenProofGolden has values that a program computed which shares no code
// with this package.
func TestTokenProofGolden(t *testing.T) {
	token, err := ParseToken(countHex)
	if err != nil {
		t.Fatal(err)
	}
	exporter := countBytes(100, exporterLen)
	for role, want := range map[Role]string{
		ClientRole: "0e8e337f9d4f07361f2129f456c5fd0897d72eb982839f363e0e08a50fb4e1a9",
		ServerRole: "8696ce1a59293045bcc6c19363bbe1e474dcddd998fb85a44566cc8bb3d7f33c",
	} {
		proof := token.Proof(exporter, role)
		if got := hex.EncodeToString(proof[:]); got != want {
			t.Errorf("%s: got %s, want %s", role, got, want)
		}
		if !token.Verify(exporter, role, &proof) {
			t.Errorf("%s: the proof is refused", role)
		}
	}
}

func TestTokenVerifyRefuses(t *testing.T) {
	token, _ := ParseToken(countHex)
	other, _ := ParseToken(countHex[2:])
	exporter := countBytes(100, exporterLen)
	proof := token.Proof(exporter, ClientRole)
	if !token.Verify(exporter, ClientRole, &proof) {
		t.Fatal("the right proof is refused")
	}
	for bit := range 8 * len(proof) {
		wrong := proof
		wrong[bit/8] ^= 1 << (bit % 8)
		if token.Verify(exporter, ClientRole, &wrong) {
			t.Errorf("accepted with bit %d changed", bit)
		}
	}
	for name, accepted := range map[string]bool{
		"no proof":           token.Verify(exporter, ClientRole, nil),
		"another role":       token.Verify(exporter, ServerRole, &proof),
		"another connection": token.Verify(countBytes(101, exporterLen), ClientRole, &proof),
		"another token":      other.Verify(exporter, ClientRole, &proof),
		"no token":           Token{}.Verify(exporter, ClientRole, &proof),
		"no token or proof":  Token{}.Verify(exporter, ClientRole, nil),
		"zeros":              token.Verify(exporter, ClientRole, new([32]byte)),
	} {
		if accepted {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestTokenProofPanics(t *testing.T) {
	token, _ := ParseToken(countHex)
	exporter := countBytes(100, exporterLen)
	for name, prove := range map[string]func(){
		"no token":       func() { Token{}.Proof(exporter, ClientRole) },
		"no exporter":    func() { token.Proof(nil, ClientRole) },
		"short exporter": func() { token.Proof(exporter[1:], ClientRole) },
		"no role":        func() { token.Proof(exporter, "") },
		"other role":     func() { token.Proof(exporter, "Client") },
	} {
		func() {
			defer func() {
				if r := recover(); r == nil || !strings.HasPrefix(fmt.Sprint(r), "malcolm: internal error") {
					t.Errorf("%s: got %v, want a panic", name, r)
				}
			}()
			prove()
		}()
	}
}

// TestTokenExporter proves a token over real connections, and not over another
// one.
func TestTokenExporter(t *testing.T) {
	identity := rfc8032Identity(t)
	server, err := identity.ServerTLS(time.Now(), testALPN)
	if err != nil {
		t.Fatal(err)
	}
	token, _ := ParseToken(countHex)
	var before [32]byte
	for i := range 2 {
		o := connect(t, ClientTLS(testALPN, nil), server)
		if o.clientErr != nil || o.serverErr != nil {
			t.Fatal(o.clientErr, o.serverErr)
		}
		client, err := TokenExporter(o.client)
		if err != nil {
			t.Fatal(err)
		}
		own, err := TokenExporter(o.server)
		if err != nil {
			t.Fatal(err)
		}
		// What the specification of the protocol says, in other words.
		want, err := o.server.ExportKeyingMaterial("EXPORTER-malcolm-auth", []byte{}, 32)
		if err != nil || !bytes.Equal(client, want) || !bytes.Equal(own, want) {
			t.Errorf("got %x and %x, want %x, %v", client, own, want, err)
		}
		proof := token.Proof(client, ClientRole)
		if !token.Verify(own, ClientRole, &proof) {
			t.Error("the proof is refused")
		}
		if i > 0 && token.Verify(own, ClientRole, &before) {
			t.Error("the proof of another connection is accepted")
		}
		before = proof
	}
	for _, cs := range []tls.ConnectionState{{}, {Version: tls.VersionTLS13}, {Version: tls.VersionTLS12, HandshakeComplete: true}} {
		if _, err := TokenExporter(cs); err == nil || err.Error() != "export for token: no complete TLS 1.3 handshake" {
			t.Errorf("got %v", err)
		}
	}
}

func TestReadToken(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	env := func(name string) (string, bool) {
		if name == "TOKEN" {
			return countText, true
		}
		return "", name == "EMPTY"
	}
	for _, end := range []string{"", "\n", "\r\n"} {
		if err := os.WriteFile(path, []byte(countText+end), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, spec := range []string{"@" + path, "env:TOKEN", "-"} {
			got, err := ReadToken(spec, env, strings.NewReader(countText+end))
			if err != nil || !bytes.Equal(got.key(), countBytes(0, 32)) {
				t.Errorf("%s, end %q: got %v", spec, end, err)
			}
		}
	}
	if _, err := ReadToken("-", env, strings.NewReader(strings.Repeat("A", maxTokenChars)+"\r\n")); err != nil {
		t.Errorf("the longest token: %v", err)
	}
	write := func(text string) string {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return "@" + path
	}
	const asFlag = "token: it is named as @FILE, env:NAME, - or new:FILE, and never written on the command line, where others can see it"
	missing := filepath.Join(dir, "missing")
	for _, c := range []struct{ spec, stdin, want string }{
		{"", "", asFlag}, {"@", "", asFlag}, {"env:", "", asFlag}, {"new:", "", asFlag}, {countText, "", asFlag}, {"--", "", asFlag},
		{"env:NONE", "", `environment variable "NONE": it is not set`},
		{"env:EMPTY", "", `environment variable "EMPTY": 0 characters, want`},
		{"env:" + strings.Repeat("\u202e", 999), "", `"...: it is not set`},
		{"-", "", `standard input: 0 characters, want`},
		{"-", countText + "\n\n", `standard input: byte 44 of 44 belongs neither`},
		{"-", countText + "\r", `standard input: byte 44 of 44 belongs neither`},
		{"-", strings.Repeat("A", 1<<20), `standard input: longer than 1024 characters`},
		{"@" + missing, "", fmt.Sprintf("file %q: open: ", missing)},
		{"@" + dir, "", fmt.Sprintf("file %q: read: ", dir)},
		{write(" " + countText), "", fmt.Sprintf("file %q: byte 1 of 44 belongs neither", path)},
	} {
		got, err := ReadToken(c.spec, env, strings.NewReader(c.stdin))
		if _, ok := errors.AsType[*TokenError](err); !ok || !got.IsZero() {
			t.Errorf("%.40q: got %v, want a *TokenError", c.spec, err)
			continue
		}
		if runtime.GOOS == "windows" && strings.HasPrefix(c.spec, "@") {
			continue // which call fails is another matter there
		}
		if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), countText[:8]) {
			t.Errorf("%.40q: got error %q, want %q", c.spec, err, c.want)
		}
		checkText(t, err, 700)
	}
	_, err := ReadToken("@"+missing, env, nil)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want one that is fs.ErrNotExist", err)
	}
	_, err = ReadToken("-", env, iotest.ErrReader(io.ErrClosedPipe))
	if !errors.Is(err, io.ErrClosedPipe) || !strings.HasPrefix(err.Error(), "standard input: ") {
		t.Errorf("got %v, want one that is io.ErrClosedPipe", err)
	}
}

func TestReadTokenNew(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	made, err := ReadToken("new:"+path, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	key, err := base64.RawURLEncoding.DecodeString(strings.TrimSuffix(string(content), "\n"))
	if err != nil || len(key) != 32 || !bytes.Equal(key, made.key()) || bytes.Equal(key, make([]byte, 32)) {
		t.Errorf("the file does not hold the token: %d bytes, %v", len(key), err)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode() != 0o600 {
		t.Errorf("got mode %v, %v; want 0600", info.Mode(), err)
	}
	if got, err := ReadToken("@"+path, nil, nil); err != nil || !bytes.Equal(got.key(), key) {
		t.Errorf("read back: %v", err)
	}
	_, err = ReadToken("new:"+path, nil, nil)
	want := fmt.Sprintf("new file %q: there is one already; to use it, write @ in place of new:", path)
	if !errors.Is(err, fs.ErrExist) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	wantContent(t, path, string(content))
	another, err := ReadToken("new:"+path+"2", nil, nil)
	if err != nil || bytes.Equal(another.key(), key) {
		t.Errorf("got the same token twice, %v", err)
	}
	if _, err := ReadToken("new:"+filepath.Join(dir, "no", "token"), nil, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want one that is fs.ErrNotExist", err)
	}
	// A symbolic link is not followed to where somebody else wants the token.
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "target"), link); err != nil {
		t.Skip("no symbolic links: ", err)
	}
	if _, err := ReadToken("new:"+link, nil, nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v, want one that is fs.ErrExist", err)
	}
}

func TestTokenRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// In base64url it begins with "_": what looks like hex would be read so.
		key := append([]byte{0xff}, rapid.SliceOfN(rapid.Byte(), 23, 299).Draw(t, "key")...)
		for _, text := range []string{hex.EncodeToString(key), base64.RawURLEncoding.EncodeToString(key)} {
			got, err := ParseToken(text)
			if err != nil || !bytes.Equal(got.key(), key) {
				t.Fatalf("%s: got %v", text, err)
			}
		}
	})
}

func tokenSeeds() []string {
	return []string{
		countHex, countHex[:32], countHex[:33], countHex[:31], countHex[:22], countText, countText[:22], countText[:21], countText[:25],
		"", countText + "=", countText + "\n", "+/" + countText, strings.Repeat("A", maxTokenChars), strings.Repeat("A", maxTokenChars+1),
	}
}

func FuzzParseToken(f *testing.F) {
	for _, s := range tokenSeeds() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		token, err := ParseToken(s)
		if err != nil {
			if !token.IsZero() {
				t.Fatalf("%q: got a token with the error %v", s, err)
			}
			checkText(t, err, 120)
			return
		}
		key := token.key()
		if len(s) < minTokenChars || len(s) > maxTokenChars || len(key) < 16 {
			t.Fatalf("%q: got %d bytes", s, len(key))
		}
		isHex := strings.EqualFold(hex.EncodeToString(key), s)
		encoded := base64.RawURLEncoding.EncodeToString(key)
		if !isHex && (len(encoded) != len(s) || encoded[:len(s)-1] != s[:len(s)-1]) {
			t.Fatalf("%q: got %x", s, key)
		}
	})
}
