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
	"unicode/utf8"
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

// TestParseToken: what people have is a token, and one character more or less
// makes another one.
func TestParseToken(t *testing.T) {
	seen := make(map[string]string)
	for _, in := range []string{
		countText, countText + "=", countText[:22], countHex, strings.ToUpper(countHex), countHex[:31],
		"mZ+7/kRk0Vq5Qy1o3yqW8r2H0vT6uX4nB9cE1aF3gI8=", // openssl rand -base64 32
		"correct horse battery staple", "пароль, который длинный", strings.Repeat("f", maxTokenBytes),
	} {
		got, err := ParseToken(in)
		if err != nil || got.IsZero() {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if other, ok := seen[string(got.key())]; ok {
			t.Errorf("%q and %q are the same", in, other)
		}
		seen[string(got.key())] = in
	}
}

func TestParseTokenRefuses(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", "token: 0 characters, want at least 22; new:FILE makes a good one"},
		{countText[:21], "token: 21 characters, want at least 22; new:FILE makes a good one"},
		{strings.Repeat("\u00e4", 21), "token: 21 characters"},
		{countText + "\x00x", "token: not text in UTF-8"},
		{countText + "\xff", "token: not text in UTF-8"},
		{strings.Repeat("A", maxTokenBytes+1), "token: longer than 1024 bytes"},
	} {
		got, err := ParseToken(c.in)
		if err == nil || !got.IsZero() {
			t.Errorf("%q: got %v, want an error", c.in, err)
			continue
		}
		if !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%q: got error %q, want %q", c.in, err, c.want)
		}
		checkText(t, err, 140)
	}
}

// TestTokenIsRedacted prints a token in every possible way, also within other
// values.
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
	key, name := token.key(), token.KeyName()
	decimals := strings.Trim(fmt.Sprint(key[10:14]), "[]")
	for _, leak := range []string{
		countHex[20:28], strings.ToUpper(countHex[20:28]), countText[16:24], string(key[10:14]), decimals,
		"0xa, 0xb", "0a 0b", "00001010 00001011",
		string(name[2:6]), strings.Trim(fmt.Sprint(name[2:6]), "[]"), hex.EncodeToString(name[2:6]),
	} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("%q is in the output", leak)
		}
	}
	if n := strings.Count(out.String(), redacted); n < 50 {
		t.Errorf("it says %q only %d times", redacted, n)
	}
}

// TestTokenProofGolden has values from a program that shares no code with this
// package.
func TestTokenProofGolden(t *testing.T) {
	token, err := ParseToken(countHex)
	if err != nil {
		t.Fatal(err)
	}
	exporter := countBytes(100, exporterLen)
	for role, want := range map[Role]string{
		ClientRole: "700e40bd72e3ee823d8bc300344753f8d3180518e54e2706e62e06b15c6df9ca",
		ServerRole: "702386cd56b05f6a90761cc44ce2f658b1fa30766a2b53e11c1f93b50e2d7a42",
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

// TestKeyNameGolden has values from a program that shares no code with this
// package.
func TestKeyNameGolden(t *testing.T) {
	for text, want := range map[string]string{countHex: "03c2dd318e13211d", countText: "37c8f77614d40869"} {
		token, err := ParseToken(text)
		if err != nil {
			t.Fatal(err)
		}
		if name := token.KeyName(); hex.EncodeToString(name[:]) != want {
			t.Errorf("%s: got %x, want %s", text, name, want)
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
		"no token named": func() { Token{}.KeyName() },
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

// TestTokenExporter proves a token over real connections, and fails to over
// another one.
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
		// The same by the words of the protocol's specification.
		want, err := o.server.ExportKeyingMaterial("EXPORTER-malcolm-auth", []byte(testALPN), 32)
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
	want, err := ParseToken(countText)
	if err != nil {
		t.Fatal(err)
	}
	for _, end := range []string{"", "\n", "\r\n", " \n\n"} {
		if err := os.WriteFile(path, []byte(countText+end), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, spec := range []string{"@" + path, "env:TOKEN", "-"} {
			got, err := ReadToken(spec, env, strings.NewReader(countText+end))
			if err != nil || !bytes.Equal(got.key(), want.key()) {
				t.Errorf("%s, end %q: got %v", spec, end, err)
			}
		}
	}
	// Programs break a long key into lines, each system with its own ends.
	for _, end := range []string{"\n", "\r\n"} {
		got, err := ReadToken("-", env, strings.NewReader(countText[:20]+end+countText[20:]+end))
		if err != nil || !bytes.Equal(got.key(), want.key()) {
			t.Errorf("two lines with the end %q: %v, want the same token", end, err)
		}
	}
	if _, err := ReadToken("-", env, strings.NewReader(strings.Repeat("A", maxTokenBytes)+"\r\n")); err != nil {
		t.Errorf("the longest token: %v", err)
	}
	write := func(text string) string {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return "@" + path
	}
	const asFlag = "token: name it as @FILE, env:NAME, - or new:FILE; on the command line others can see it"
	missing := filepath.Join(dir, "missing")
	for _, c := range []struct{ spec, stdin, want string }{
		{"", "", asFlag}, {"@", "", asFlag}, {"env:", "", asFlag}, {"new:", "", asFlag}, {countText, "", asFlag}, {"--", "", asFlag},
		{"env:NONE", "", `environment variable "NONE": it is not set`},
		{"env:EMPTY", "", `environment variable "EMPTY": 0 characters, want`},
		{"env:" + strings.Repeat("\u202e", 999), "", `"...: it is not set`},
		{"-", "", `standard input: 0 characters, want`},
		{"-", countText + "\x00" + countText, `standard input: not text in UTF-8`},
		{"-", strings.Repeat("A", 1<<20), `standard input: longer than 1024 bytes`},
		{"@" + missing, "", fmt.Sprintf("file %q: open: ", missing)},
		{"@" + dir, "", fmt.Sprintf("file %q: read: ", dir)},
		{write(countText[:21]), "", fmt.Sprintf("file %q: 21 characters, want", path)},
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
	_, err = ReadToken("@"+missing, env, nil)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want one that is fs.ErrNotExist", err)
	}
	_, err = ReadToken("-", env, iotest.ErrReader(io.ErrClosedPipe))
	if !errors.Is(err, io.ErrClosedPipe) || !strings.HasPrefix(err.Error(), "standard input: ") {
		t.Errorf("got %v, want one that is io.ErrClosedPipe", err)
	}
}

// TestTokenRisk: a token that others may know is reported, but used: it may lie
// where only programs of its own kind are, as in a container.
func TestTokenRisk(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes say nothing there")
	}
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(countText), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, risk := range map[fs.FileMode]bool{0o600: false, 0o440: false, 0o644: true, 0o660: true, 0o604: true} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		got := TokenRisk("@" + path)
		if (got != "") != risk || risk && !strings.Contains(got, "chmod 600 '"+path+"'") {
			t.Errorf("mode %#o: %q", mode, got)
		}
		if _, err := ReadToken("@"+path, nil, nil); err != nil && os.Geteuid() == 0 {
			t.Errorf("mode %#o: %v", mode, err)
		}
	}
	for _, spec := range []string{"-", "env:X", "@" + path + "2", "@" + os.DevNull, "new:" + path} {
		if got := TokenRisk(spec); got != "" {
			t.Errorf("%s: %q", spec, got)
		}
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
	random, err := base64.RawURLEncoding.DecodeString(strings.TrimSuffix(string(content), "\n"))
	if err != nil || len(random) != 32 || bytes.Equal(random, make([]byte, 32)) {
		t.Errorf("the file does not hold a token: %d bytes, %v", len(random), err)
	}
	key := made.key()
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
	// A symbolic link does not lead the token to where somebody else wants
	// it.
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "target"), link); err != nil {
		t.Skip("no symbolic links: ", err)
	}
	if _, err := ReadToken("new:"+link, nil, nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v, want one that is fs.ErrExist", err)
	}
}

func tokenSeeds() []string {
	return []string{
		countHex, countHex[:32], countHex[:33], countHex[:31], countHex[:22], countText, countText[:22], countText[:21], countText[:25],
		"", countText + "=", countText + "\n", "+/" + countText, strings.Repeat("A", maxTokenBytes), strings.Repeat("A", maxTokenBytes+1),
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
			checkText(t, err, 140)
			return
		}
		if n := utf8.RuneCountInString(s); n < minTokenChars || !utf8.ValidString(s) {
			t.Fatalf("%q is taken for a token", s)
		}
		same, err := ParseToken("\t " + s + "\n")
		if err != nil || !bytes.Equal(same.key(), token.key()) {
			t.Fatalf("%q: white space around it matters: %v", s, err)
		}
		other, err := ParseToken(strings.TrimSpace(s) + "x")
		if err == nil && bytes.Equal(other.key(), token.key()) {
			t.Fatalf("%q and one character more are the same", s)
		}
	})
}
