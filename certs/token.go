package certs

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	minTokenChars = 22 // of base64url: 128 bits and a little
	minTokenHex   = 32 // hex digits: 128 bits
	maxTokenChars = 1 << 10
	newTokenLen   = 32 // bytes

	exporterLabel = "EXPORTER-malcolm-auth"
	exporterLen   = 32 // bytes

	redacted = "token(redacted)"
)

// A Token is the secret that admits clients to a server. The zero value is no
// token. Whatever prints, logs or encodes one writes "token(redacted)". Tokens
// do not change; any goroutine may call the methods.
type Token struct {
	// key returns the secret. It is a function because of structs that keep
	// their Token in an unexported field: fmt does not ask Format there, and
	// shows what it finds, also behind pointers.
	key func() []byte
}

func newToken(key []byte) Token { return Token{func() []byte { return key }} }

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

// ParseToken reads a token: at least 32 hex digits, an even number of them, or
// at least 22 characters of base64url (RFC 4648, section 5) without padding.
// What is made of hex digits alone is hex: as base64url, 22 of them would pass
// for more than the 88 bits that they are. At most 1,024 characters. The error
// repeats nothing of s.
func ParseToken(s string) (Token, error) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	onlyHex := strings.Trim(s, "0123456789abcdefABCDEF") == ""
	// The decoder would skip line ends.
	foreign := strings.IndexFunc(s, func(r rune) bool { return !strings.ContainsRune(alphabet, r) })
	switch {
	case foreign >= 0:
		return Token{}, fmt.Errorf("token: byte %d of %d belongs neither to base64url without padding nor to hex", foreign+1, len(s))
	case len(s) < minTokenChars, onlyHex && len(s) < minTokenHex:
		return Token{}, fmt.Errorf("token: %d characters, want at least %d of base64url or %d hex digits", len(s), minTokenChars, minTokenHex)
	case len(s) > maxTokenChars:
		return Token{}, fmt.Errorf("token: longer than %d characters", maxTokenChars)
	case onlyHex:
		key, err := hex.DecodeString(s)
		if err != nil {
			return Token{}, fmt.Errorf("token: an odd number of hex digits: %d", len(s))
		}
		return newToken(key), nil
	}
	key, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return Token{}, fmt.Errorf("token: base64url never has %d characters: one is missing or too many", len(s))
	}
	return newToken(key), nil
}

// A TokenError says why there is no token. It repeats nothing that may be one.
type TokenError struct {
	Source string // where the token should have come from: `file "x"`, "standard input", ...
	Reason string
	Err    error // the system's error; nil when the source is no source, or holds no token
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
// One line end behind a token in a file or on standard input is passed over.
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
		Reason: "it is named as @FILE, env:NAME, - or new:FILE, and never written on the command line, where others can see it",
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
	const limit = maxTokenChars + len("\r\n")
	content, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err != nil {
		return Token{}, tokenFileError(source, err)
	}
	text := string(content)
	if line, ok := strings.CutSuffix(text, "\n"); ok {
		text = strings.TrimSuffix(line, "\r")
	}
	return parseTokenFrom(source, text)
}

func parseTokenFrom(source, text string) (Token, error) {
	t, err := ParseToken(text)
	if err != nil {
		return Token{}, &TokenError{Source: source, Reason: strings.TrimPrefix(err.Error(), "token: ")}
	}
	return t, nil
}

// newTokenFile makes a token and its file, durably.
func newTokenFile(path string) (Token, error) {
	source := fmt.Sprintf("new file %q", path)
	key := make([]byte, newTokenLen)
	rand.Read(key) // never fails
	content := base64.RawURLEncoding.EncodeToString(key) + "\n"
	err := createExclusive(path, []byte(content))
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
	return newToken(key), nil
}

func tokenFileError(source string, err error) error {
	reason := err.Error()
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		reason = pe.Op + ": " + pe.Err.Error()
	}
	return &TokenError{Source: source, Reason: reason, Err: err}
}

// A Role is the side of a connection that proves that it holds the token. One
// side's proof is none for the other.
type Role string

const (
	ClientRole Role = "client"
	ServerRole Role = "server"
)

// TokenExporter returns the 32 bytes that both ends of a finished handshake,
// and nobody else, compute for [Token.Proof]: RFC 8446, section 7.5, with the
// label "EXPORTER-malcolm-auth" and an empty context.
func TokenExporter(cs tls.ConnectionState) ([]byte, error) {
	if !cs.HandshakeComplete || cs.Version != tls.VersionTLS13 {
		return nil, errors.New("export for token: no complete TLS 1.3 handshake")
	}
	exporter, err := cs.ExportKeyingMaterial(exporterLabel, nil, exporterLen)
	if err != nil {
		return nil, fmt.Errorf("export for token: %w", err)
	}
	return exporter, nil
}

// Proof returns what shows the other side of one connection that role holds
// the token: HMAC-SHA256 over the role's name and what [TokenExporter] returned
// for that connection, with the token's bytes as the key. It is of no use on
// another connection or for another role. Without a token there is no proof,
// and to ask for it is a fault that panics.
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
// not.
func (t Token) Verify(exporter []byte, role Role, proof *[32]byte) bool {
	if t.IsZero() || proof == nil {
		return false
	}
	want := t.Proof(exporter, role)
	return hmac.Equal(want[:], proof[:])
}
