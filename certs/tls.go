package certs

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// ServerTLS returns the configuration with which a server proves this identity:
// TLS 1.3 only, the one protocol alpn, no session tickets, and a certificate
// made with [Identity.Certificate] as of now. A client that does not ask for
// alpn is refused.
func (i *Identity) ServerTLS(now time.Time, alpn string) (*tls.Config, error) {
	cert, err := i.Certificate(now)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{alpn},
		Certificates:           []tls.Certificate{cert},
		SessionTicketsDisabled: true,
		// crypto/tls lets a client without any ALPN pass, except over
		// QUIC.
		VerifyConnection: func(cs tls.ConnectionState) error { return requireALPN(cs, alpn) },
	}, nil
}

// ClientTLS returns the configuration with which a client demands a server ID:
// TLS 1.3 only, the one protocol alpn, one certificate with an Ed25519 key, and
// no resumption, so that every handshake is checked in full.
//
// check is called once in each handshake with the ID that the server claims;
// nil accepts every ID. Its error stops the handshake and is found in the
// handshake's error by [errors.Is] and [errors.As]. check runs *before* the
// server's signature has shown that it holds the key: it may refuse an ID, but
// must not record or count one. For that, ask [PeerID] after the handshake. If
// several connections use the configuration, check may be called from several
// goroutines at once.
//
// All connections send the same server name. quic-go's TokenStore files tokens
// under that name, so it must stay unset.
func ClientTLS(alpn string, check func(ServerID) error) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{alpn},
		// Without a name quic-go sends the host that the user typed, in
		// clear.
		ServerName:             commonName,
		SessionTicketsDisabled: true,
		// Chain, name and dates mean nothing for a self-signed key;
		// VerifyConnection decides by the key alone.
		InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			if err := requireALPN(cs, alpn); err != nil {
				return err
			}
			id, err := claimedID(cs)
			if err != nil {
				return err
			}
			if check == nil {
				return nil
			}
			return check(id)
		},
	}
}

// PeerID returns the ID that the peer of a finished handshake proved. It fails
// if the handshake is not finished, or if the peer did not show exactly one
// certificate with an Ed25519 key.
func PeerID(cs tls.ConnectionState) (ServerID, error) {
	if !cs.HandshakeComplete {
		return ServerID{}, errors.New("peer has not proved its key: handshake not complete")
	}
	return claimedID(cs)
}

// claimedID computes the ID from the peer's certificate. Within
// VerifyConnection the peer has not proved yet that it holds its key.
func claimedID(cs tls.ConnectionState) (ServerID, error) {
	if n := len(cs.PeerCertificates); n != 1 {
		return ServerID{}, fmt.Errorf("peer sent %d certificates, want 1", n)
	}
	cert := cs.PeerCertificates[0]
	key, ok := cert.PublicKey.(ed25519.PublicKey)
	if !ok {
		return ServerID{}, fmt.Errorf("peer's key is of type %v, want Ed25519", cert.PublicKeyAlgorithm)
	}
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return ServerID{}, fmt.Errorf("encode peer's key: %w", err)
	}
	// A second encoding of the same key would be a second ID, and a second
	// vote, for one holder.
	if !bytes.Equal(spki, cert.RawSubjectPublicKeyInfo) {
		return ServerID{}, errors.New("peer's key is not encoded as DER demands")
	}
	return sha256.Sum256(spki), nil
}

func requireALPN(cs tls.ConnectionState, alpn string) error {
	if cs.NegotiatedProtocol == "" {
		return fmt.Errorf("peer did not agree on a protocol, want %q", alpn)
	}
	if cs.NegotiatedProtocol != alpn {
		return fmt.Errorf("peer chose a protocol other than %q", alpn)
	}
	return nil
}
