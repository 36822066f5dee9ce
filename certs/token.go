package certs

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"
)

const (
	minTokenChars = 22 // a little over 128 bits if they are random base64
	maxTokenBytes = 1 << 10
	newTokenLen   = 32 // bytes

	exporterLabel = "EXPORTER-malcolm-auth"
	exporterLen   = 32 // bytes
	tokenKeyLabel = "malcolm/1 auth"
	keyNameLabel  = "malcolm/1 key"
	keyNameLen    = 8 // bytes

	redacted = "token(redacted)"
)

// A Token is the secret that admits clients to a server. The zero value is no
// token. Whatever prints, logs or encodes one writes "token(redacted)". Tokens
// do not change; any goroutine may call the methods.
type Token struct {
	// key returns the secret for the proof. It is a function because of
	// structs that keep their Token in an unexported field: fmt does not
	// call Format there, and shows what it finds, even behind pointers.
	key func() []byte
	// name returns what the key is called. It is kept as well as the key:
	// with it, texts can be tried at leisure.
	name func() [keyNameLen]byte
	// link returns the secret for links.
	link func() []byte
}

// newToken makes the keys of a token's text, and the name of that for proofs.
func newToken(text []byte) Token {
	key := derive(text, tokenKeyLabel, sha256.Size)
	name := [keyNameLen]byte(derive(text, keyNameLabel, keyNameLen))
	link := derive(text, linkKeyLabel, sha256.Size)
	return Token{
		key: func() []byte { return key }, name: func() [keyNameLen]byte { return name },
		link: func() []byte { return link },
	}
}

// derive returns n bytes of HKDF-SHA256 (RFC 5869) of a token's text.
func derive(text []byte, label string, n int) []byte {
	key, err := hkdf.Key(sha256.New, text, nil, label, n)
	if err != nil {
		// Only wrong lengths can fail, and they are constant.
		panic("malcolm: internal error: derive the token's key: " + err.Error())
	}
	return key
}

// String returns "token(redacted)".
func (Token) String() string { return redacted }

// GoString returns "token(redacted)".
func (Token) GoString() string { return redacted }

// Format implements [fmt.Formatter]: "token(redacted)" for every verb.
func (Token) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// MarshalText returns "token(redacted)".
func (Token) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue returns "token(redacted)".
func (Token) LogValue() slog.Value { return slog.StringValue(redacted) }

// IsZero reports whether there is no token.
func (t Token) IsZero() bool { return t.key == nil }

// KeyName returns the name of the key with which the token is proved: 8 bytes
// of HKDF of the token's text. By it a server that holds several tokens finds
// the client's. KeyName panics without a token.
func (t Token) KeyName() [8]byte {
	if t.IsZero() {
		panic("malcolm: internal error: key name without token")
	}
	return t.name()
}

// ParseToken makes a token of any text of at least 22 characters and at most
// 1,024 bytes of UTF-8, without control characters. White space around it does
// not count, since nobody sees it. Line ends do not count either, since
// programs that print a key break it into lines. The text should be random: an
// attacker between client and server can record one proof and try texts at
// leisure. The error repeats nothing of s.
func ParseToken(s string) (Token, error) {
	s = strings.TrimSpace(strings.NewReplacer("\r", "", "\n", "").Replace(s))
	switch n := utf8.RuneCountInString(s); {
	case !utf8.ValidString(s), strings.ContainsFunc(s, unicode.IsControl):
		return Token{}, errors.New("token: not text in UTF-8")
	case n < minTokenChars:
		return Token{}, fmt.Errorf("token: %d characters, want at least %d; new:FILE makes a good one, and so does: openssl rand -base64 32", n, minTokenChars)
	case len(s) > maxTokenBytes:
		return Token{}, fmt.Errorf("token: longer than %d bytes", maxTokenBytes)
	}
	return newToken([]byte(s)), nil
}

// A TokenError says why there is no token. It repeats nothing that may be one.
type TokenError struct {
	Source string // where the token should have come from: `file "x"`, "standard input", ...
	Reason string
	Err    error // the system's error; nil if the source is invalid, or holds no token
}

func (e *TokenError) Error() string { return e.Source + ": " + e.Reason }

func (e *TokenError) Unwrap() error { return e.Err }

// ReadToken returns the token that spec names:
//
//	@FILE     in a file, which may also be a pipe
//	env:NAME  in an environment variable
//	-         on standard input, up to its end
//	new:FILE  made here: 32 random bytes in base64url, in a new file of mode
//	          0600; a file that is there already is an error
//
// Errors are [*TokenError]; one about spec itself does not repeat it, as it may
// be the token.
func ReadToken(spec string, lookupEnv func(string) (string, bool), stdin io.Reader) (Token, error) {
	if path, ok := strings.CutPrefix(spec, "@"); ok && path != "" {
		return readTokenFile(path)
	}
	if path, ok := strings.CutPrefix(spec, "new:"); ok && path != "" {
		return newTokenFile(path)
	}
	if name, ok := strings.CutPrefix(spec, "env:"); ok && name != "" {
		source := "environment variable " + quoted(name)
		text, ok := lookupEnv(name)
		if !ok {
			return Token{}, &TokenError{Source: source, Reason: "it is not set"}
		}
		return parseTokenFrom(source, text)
	}
	if spec == "-" {
		return readToken("standard input", stdin)
	}
	return Token{}, &TokenError{
		Source: "token",
		Reason: "name it as @FILE, env:NAME, - or new:FILE; on the command line others can see it",
	}
}

func readTokenFile(path string) (Token, error) {
	source := fmt.Sprintf("file %q", path)
	f, err := os.Open(path)
	if err != nil {
		return Token{}, tokenFileError(source, err)
	}
	defer f.Close()
	return readToken(source, f)
}

func readToken(source string, r io.Reader) (Token, error) {
	const limit = maxTokenBytes + len("\r\n")
	content, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err != nil {
		return Token{}, tokenFileError(source, err)
	}
	return parseTokenFrom(source, string(content))
}

func parseTokenFrom(source, text string) (Token, error) {
	t, err := ParseToken(text)
	if err != nil {
		return Token{}, &TokenError{Source: source, Reason: strings.TrimPrefix(err.Error(), "token: ")}
	}
	return t, nil
}

// TokenRisk says who else may know the token that spec names, or replace it, as
// far as the mode and the owner of its file tell; empty: no one else. See
// [ReadToken].
func TokenRisk(spec string) string {
	path, ok := strings.CutPrefix(spec, "@")
	if !ok {
		return ""
	}
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return ""
	}
	switch mode := info.Mode().Perm(); {
	case !isOurs(info):
		return fmt.Sprintf("file %q: it belongs to another user, who knows the token", path)
	case mode&0o027 != 0 && runtime.GOOS != "windows": // its group may read it
		return fmt.Sprintf("file %q: others may use the token (mode %#o); run: chmod 600 %s", path, mode, shellQuote(path))
	}
	return ""
}

// newTokenFile makes a token and its file, durably.
func newTokenFile(path string) (Token, error) {
	source := fmt.Sprintf("new file %q", path)
	random := make([]byte, newTokenLen)
	rand.Read(random) // never fails
	text := base64.RawURLEncoding.EncodeToString(random)
	err := createExclusive(path, []byte(text+"\n"))
	if errors.Is(err, fs.ErrExist) {
		return Token{}, &TokenError{Source: source, Reason: "there is one already; to use it, write @ in place of new:", Err: err}
	}
	if err != nil {
		return Token{}, tokenFileError(source, err)
	}
	err = syncDir(filepath.Dir(path))
	if err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return Token{}, tokenFileError(source, err)
	}
	return newToken([]byte(text)), nil
}

func tokenFileError(source string, err error) error {
	reason := err.Error()
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		reason = pe.Op + ": " + pe.Err.Error()
	}
	return &TokenError{Source: source, Reason: reason, Err: err}
}

// A Role is the side of a connection that proves that it holds the token. The
// proof of one side is invalid for the other.
type Role string

const (
	ClientRole Role = "client"
	ServerRole Role = "server"
)

// TokenExporter returns 32 bytes for [Token.Proof] that only the two ends of a
// finished handshake can compute: RFC 8446, section 7.5, with the label
// "EXPORTER-malcolm-auth" and the protocol that was agreed on (ALPN) as
// context.
func TokenExporter(cs tls.ConnectionState) ([]byte, error) {
	if !cs.HandshakeComplete || cs.Version != tls.VersionTLS13 {
		return nil, errors.New("export for token: no complete TLS 1.3 handshake")
	}
	exporter, err := cs.ExportKeyingMaterial(exporterLabel, []byte(cs.NegotiatedProtocol), exporterLen)
	if err != nil {
		return nil, fmt.Errorf("export for token: %w", err)
	}
	return exporter, nil
}

// Proof returns what shows the other side of one connection that role holds the
// token. It is HMAC-SHA256 over the role's name and the result of
// [TokenExporter] for that connection, with HKDF of the token's text as the
// key. It is of no use on another connection or for another role. Proof panics
// without a token.
func (t Token) Proof(exporter []byte, role Role) [32]byte {
	if t.IsZero() || len(exporter) != exporterLen || role != ClientRole && role != ServerRole {
		panic("malcolm: internal error: proof without token, exporter or role")
	}
	mac := hmac.New(sha256.New, t.key())
	io.WriteString(mac, string(role))
	mac.Write(exporter)
	return [32]byte(mac.Sum(nil))
}

// Verify reports whether proof is what [Token.Proof] returns, in a time that
// does not depend on where they differ. Without a proof (nil) or a token it is
// false.
func (t Token) Verify(exporter []byte, role Role, proof *[32]byte) bool {
	if t.IsZero() || proof == nil {
		return false
	}
	want := t.Proof(exporter, role)
	return hmac.Equal(want[:], proof[:])
}
