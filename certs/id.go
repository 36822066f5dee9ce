package certs

import (
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"strings"
)

// A ServerID names a server: the SHA-256 of the DER SubjectPublicKeyInfo of
// the key that it proves it holds. All virtual servers of one process have the
// same ID. IDs are public and compare with ==.
type ServerID [32]byte

const (
	idAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" // RFC 4648, section 6

	idDataLen  = 52 // base32 characters of 256 bits; the last has 4 unused bits
	idBlockLen = 13 // base32 characters before each check character
	idGroupLen = 7  // characters between dashes
	idLen      = idDataLen + idDataLen/idBlockLen

	// A block with its check character is two groups. Errors name the place
	// of a mistake by them.
	groupsPerBlock = (idBlockLen + 1) / idGroupLen

	// curlPrefix begins the form that curl's --pinnedpubkey takes.
	curlPrefix = "sha256//"

	// maxEcho bounds how much of an input an error repeats, in bytes.
	maxEcho = 80
)

// String returns the ID as people compare it and [ParseServerID] reads it:
// 52 base32 characters in 4 blocks of 13, each followed by its Luhn mod 32
// check character, in 8 groups of 7 joined by dashes.
func (id ServerID) String() string {
	data := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(id[:])
	checked := make([]byte, 0, idLen)
	for block := 0; block < idDataLen; block += idBlockLen {
		part := data[block : block+idBlockLen]
		checked = append(checked, part...)
		checked = append(checked, checkCharacter(part))
	}
	var b strings.Builder
	for at := 0; at < idLen; at += idGroupLen {
		if at > 0 {
			b.WriteByte('-')
		}
		b.Write(checked[at : at+idGroupLen])
	}
	return b.String()
}

// Short returns the first group of [ServerID.String], 7 characters, for status
// lines. Its 35 bits tell servers apart by eye, and prove nothing.
func (id ServerID) Short() string { return id.String()[:idGroupLen] }

// ParseServerID reads an ID in one of two forms:
//
//   - that of [ServerID.String], in either case, with dashes and spaces
//     anywhere or nowhere, and with 0, 1 and 8 read as O, I and B;
//   - "sha256//" and 44 characters of standard base64, as curl's
//     --pinnedpubkey takes it and OpenSSL prints it.
//
// Everything else is refused. A wrong check character names the groups that
// have the mistake. Unused bits must be zero, so that each ID has one spelling.
// Errors repeat at most 80 bytes of s, quoted.
func ParseServerID(s string) (ServerID, error) {
	if encoded, ok := strings.CutPrefix(s, curlPrefix); ok {
		return parseCurlID(s, encoded)
	}
	chars, err := idCharacters(s)
	if err != nil {
		return ServerID{}, err
	}
	data := make([]byte, 0, idDataLen)
	for block := range idDataLen / idBlockLen {
		at := block * (idBlockLen + 1)
		part, check := chars[at:at+idBlockLen], chars[at+idBlockLen]
		if checkCharacter(string(part)) != check {
			first := block*groupsPerBlock + 1
			return ServerID{}, idError(s, "a character is wrong in groups %d to %d", first, first+groupsPerBlock-1)
		}
		data = append(data, part...)
	}
	// 52 characters carry 260 bits. Go's decoder drops the last 4 without
	// checking them.
	if last := strings.IndexByte(idAlphabet, data[idDataLen-1]); last&0x0f != 0 {
		return ServerID{}, idError(s, "its unused last bits are not zero")
	}
	var id ServerID
	if _, err := base32.StdEncoding.WithPadding(base32.NoPadding).Decode(id[:], data); err != nil {
		return ServerID{}, idError(s, "%v", err)
	}
	return id, nil
}

// idCharacters returns the significant characters of s, as members of
// idAlphabet: exactly idLen of them.
func idCharacters(s string) ([]byte, error) {
	chars := make([]byte, 0, idLen)
	for _, r := range s {
		switch {
		case r == '-' || r == ' ':
			continue
		case r >= 'a' && r <= 'z':
			r += 'A' - 'a'
		case r == '0':
			r = 'O'
		case r == '1':
			r = 'I'
		case r == '8':
			r = 'B'
		}
		if !strings.ContainsRune(idAlphabet, r) {
			return nil, idError(s, "%q cannot be part of it", r)
		}
		if len(chars) == idLen {
			return nil, idError(s, "longer than %d characters", idLen)
		}
		chars = append(chars, byte(r))
	}
	if len(chars) < idLen {
		return nil, idError(s, "%d characters, want %d", len(chars), idLen)
	}
	return chars, nil
}

func parseCurlID(s, encoded string) (ServerID, error) {
	var id ServerID
	// The decoder skips line ends; the exact length leaves no room for one.
	if want := base64.StdEncoding.EncodedLen(len(id)); len(encoded) != want {
		return ServerID{}, idError(s, "%d bytes after %q, want %d", len(encoded), curlPrefix, want)
	}
	decoded, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return ServerID{}, idError(s, "%v", err)
	}
	if len(decoded) != len(id) {
		return ServerID{}, idError(s, "%d bytes of hash, want %d", len(decoded), len(id))
	}
	return ServerID(decoded), nil
}

// idError says what is wrong with s, of which it repeats at most maxEcho bytes.
func idError(s, format string, args ...any) error {
	cut := ""
	if len(s) > maxEcho {
		s, cut = s[:maxEcho], "..."
	}
	return fmt.Errorf("server ID %q%s: %s", s, cut, fmt.Sprintf(format, args...))
}

// checkCharacter returns the Luhn mod 32 check character of part, whose bytes
// are members of idAlphabet. Counted from the right, every other character,
// beginning with the last, is doubled and the two base-32 digits of the result
// are added. The check character makes the sum a multiple of 32. It finds every
// single wrong character, and every swap of neighbours except A with 7.
func checkCharacter(part string) byte {
	const n = len(idAlphabet)
	sum := 0
	for i := range len(part) {
		v := strings.IndexByte(idAlphabet, part[i])
		if (len(part)-i)%2 == 1 {
			v *= 2
			v = v/n + v%n
		}
		sum += v
	}
	return idAlphabet[(n-sum%n)%n]
}
