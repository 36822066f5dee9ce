// Package certs holds a server's identity: a private Ed25519 key, kept in a
// file or made for one run, the self-signed certificate with its public half,
// the server ID computed from it, and the TLS configurations with which a
// server proves its ID and a client checks it.
//
// The key is the identity. Names, chains and dates in certificates are ignored:
// a client only trusts that the server holds the key that its ID names.
package certs

import (
	"crypto"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"time"
)

// commonName is the only name in a certificate and in a ClientHello. It is the
// same for everybody, so it says nothing about the user or the host.
const commonName = "malcolm"

const (
	// certBackdate is how long before now a certificate begins, for peers
	// that check dates and whose clock is behind.
	certBackdate = 24 * time.Hour
	certYears    = 10
)

// derivePrefix keeps subkeys apart from anything else that might ever be
// computed from the same seed by HKDF-SHA256.
const derivePrefix = "malcolm identity: "

// An Identity is a private Ed25519 key and the server ID that it proves. It
// does not change; any goroutine may call its methods. Make one with
// [LoadOrCreate] or [Generate].
type Identity struct {
	key ed25519.PrivateKey
	id  ServerID
}

// Generate makes a new identity in memory only.
func Generate() (*Identity, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate identity: %w", err)
	}
	return newIdentity(key)
}

func newIdentity(key ed25519.PrivateKey) (*Identity, error) {
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	return &Identity{key: key, id: sha256.Sum256(spki)}, nil
}

// ID returns the server ID: what a peer of this identity computes with
// [PeerID].
func (i *Identity) ID() ServerID { return i.id }

// Format implements [fmt.Formatter] for every verb, so that no log line or
// failed test prints the private key.
func (i Identity) Format(f fmt.State, _ rune) {
	io.WriteString(f, "identity "+i.id.Short())
}

// Certificate returns a new self-signed certificate of the identity. It is
// valid from 24 hours before now for 10 years, has a random serial number, and
// its only name is "malcolm".
func (i *Identity) Certificate(now time.Time) (tls.Certificate, error) {
	return selfSigned(i.key, now)
}

// selfSigned returns a new certificate of a key, signed by that key.
func selfSigned(key crypto.Signer, now time.Time) (tls.Certificate, error) {
	from := now.Add(-certBackdate).UTC()
	template := &x509.Certificate{
		// SerialNumber stays nil: CreateCertificate chooses a random
		// one.
		Subject:               pkix.Name{CommonName: commonName},
		DNSNames:              []string{commonName},
		NotBefore:             from,
		NotAfter:              from.AddDate(certYears, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("sign certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("read back certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// Derive returns a secret subkey for the use that label names, by HKDF-SHA256
// (RFC 5869) from the private seed. The same identity and label give the same
// subkey in every run. A subkey reveals nothing of the seed or of other
// subkeys.
func (i *Identity) Derive(label string) [32]byte {
	key, err := hkdf.Key(sha256.New, i.key.Seed(), nil, derivePrefix+label, sha256.Size)
	if err != nil {
		// Only wrong lengths can fail, and they are constant.
		panic("malcolm: internal error: derive subkey: " + err.Error())
	}
	return [32]byte(key)
}
