package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"strconv"
	"time"
)

// browserKeyLabel names the subkey of [Identity.BrowserCertificate].
const browserKeyLabel = "certificate on P-256"

// BrowserCertificate returns a new self-signed certificate for clients that
// take no Ed25519, as browsers do. Its key is on P-256 (NIST FIPS 186-5) and
// derived from the identity: it is the same in every run. In all else the
// certificate is like that of [Identity.Certificate]. Malcolm's clients never
// accept it.
func (i *Identity) BrowserCertificate(now time.Time) (tls.Certificate, error) {
	return selfSigned(i.browserKey(), now)
}

// BrowserPin returns the SHA-256 of the public key (SPKI) of
// [Identity.BrowserCertificate]: what curl's --pinnedpubkey compares.
func (i *Identity) BrowserPin() [sha256.Size]byte {
	spki, err := x509.MarshalPKIXPublicKey(i.browserKey().Public())
	if err != nil {
		// Only kinds of keys can fail, and this one is known.
		panic("malcolm: internal error: encode public key: " + err.Error())
	}
	return sha256.Sum256(spki)
}

// browserKey returns the first subkey that is a number from 1 to below the
// order of P-256. About one subkey in 2^32 is not such a number.
func (i *Identity) browserKey() *ecdsa.PrivateKey {
	for n := 0; ; n++ {
		secret := i.Derive(browserKeyLabel + " " + strconv.Itoa(n))
		if key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), secret[:]); err == nil {
			return key
		}
	}
}
