package certs

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

const (
	keyFileName = "identity.pem"
	keyPEMType  = "PRIVATE KEY" // PKCS#8, RFC 5208

	// maxKeyFile bounds what is read of a key file, in bytes. Ours have about
	// 200.
	maxKeyFile = 16 << 10

	// idLine begins the line before the PEM block, which names the key's
	// server ID. PKCS#8 has no checksum: without this line a damaged key would
	// silently be another identity.
	idLine = "malcolm server ID "

	// mendKeyFile is what can be done about a key file that cannot be used.
	mendKeyFile = "; restore it, or move it away to begin with a new server ID"
)

// A KeyFileError says why the identity file cannot be read or made. The file
// is as it was.
type KeyFileError struct {
	Path   string // of the identity file
	Reason string // what is wrong and, where there is a remedy, the remedy
	Err    error  // the cause; nil when the file's content or mode is the cause
}

func (e *KeyFileError) Error() string { return fmt.Sprintf("identity file %q: %s", e.Path, e.Reason) }

func (e *KeyFileError) Unwrap() error { return e.Err }

// errEmptyKeyFile is also what a file looks like that another process has
// created by O_EXCL and not written yet.
var errEmptyKeyFile = errors.New("it is empty")

// LoadOrCreate returns the identity in the file identity.pem of dir, and makes
// directory (mode 0700) and file (mode 0600) when they do not exist. Calls at
// the same moment, also from several processes, get the same identity. An
// existing file is never changed: when it holds anything but one Ed25519 key,
// or others may read it, that is an error. Errors are [*KeyFileError].
func LoadOrCreate(dir string) (*Identity, error) { return loadOrCreate(dir, os.Link) }

// LoadOrCreateFile does the same with a file of any name: for containers, and
// for machines that share a home but are not to share a vote.
func LoadOrCreateFile(path string) (*Identity, error) { return loadOrCreateFile(path, os.Link) }

func loadOrCreate(dir string, link func(from, to string) error) (*Identity, error) {
	return loadOrCreateFile(filepath.Join(dir, keyFileName), link)
}

// loadOrCreateFile takes the call that gives a file its final name without
// replacing another.
func loadOrCreateFile(path string, link func(from, to string) error) (*Identity, error) {
	id, err := load(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return id, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fileError(path, err)
	}
	id, err = Generate()
	if err != nil {
		return nil, fileError(path, err)
	}
	content, err := id.encode()
	if err != nil {
		return nil, fileError(path, err)
	}
	err = create(path, content, link)
	if errors.Is(err, fs.ErrExist) {
		return load(path) // somebody was quicker: theirs is the identity
	}
	if err != nil {
		return nil, fileError(path, err)
	}
	return id, nil
}

// create makes the file at path with content, durably, or leaves an existing
// one alone and returns an error that is [fs.ErrExist].
func create(path string, content []byte, link func(from, to string) error) error {
	dir := filepath.Dir(path)
	temp, err := os.CreateTemp(dir, keyFileName+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	if err := writeAndClose(temp, content); err != nil {
		return err
	}
	switch err := link(temp.Name(), path); {
	case errors.Is(err, fs.ErrExist):
		return err
	case err != nil:
		// The file system has no hard links. Whatever else is wrong with it
		// shows here again.
		if err := createExclusive(path, content); err != nil {
			return err
		}
	}
	return syncDir(dir)
}

// createExclusive is create for file systems without hard links: for an
// instant the file is there and empty, which load waits out.
func createExclusive(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := writeAndClose(f, content); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

func writeAndClose(f *os.File, content []byte) error {
	_, err := f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncDir makes a new name in dir durable. Windows has no such call.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// load reads the identity at path. Errors are *KeyFileError; the one for a
// file that does not exist is [fs.ErrNotExist].
func load(path string) (*Identity, error) {
	const tries, pause = 50, 10 * time.Millisecond
	for try := 1; ; try++ {
		content, err := readKeyFile(path)
		if errors.Is(err, errEmptyKeyFile) && try < tries {
			time.Sleep(pause)
			continue
		}
		if err != nil {
			return nil, err
		}
		id, reason := decode(content)
		if reason != "" {
			return nil, &KeyFileError{Path: path, Reason: reason + mendKeyFile}
		}
		return id, nil
	}
}

// readKeyFile returns the content of the file at path once it is known to be
// a regular file of a fitting size that nobody else may read.
func readKeyFile(path string) ([]byte, error) {
	content, err := readRegular(path, maxKeyFile+1, func(info fs.FileInfo) error {
		switch mode := info.Mode().Perm(); {
		case !isOurs(info):
			return &KeyFileError{Path: path, Reason: "it belongs to another user" + mendKeyFile}
		case mode&0o077 != 0 && runtime.GOOS != "windows":
			return &KeyFileError{
				Path:   path,
				Reason: fmt.Sprintf("others may use it (mode %#o); run: chmod 600 %s", mode, shellQuote(path)),
			}
		}
		return nil
	})
	switch {
	case errors.As(err, new(*KeyFileError)):
		return nil, err
	case errors.Is(err, errNotRegular):
		return nil, &KeyFileError{Path: path, Reason: err.Error()}
	case err != nil:
		return nil, fileError(path, err)
	case len(content) == 0:
		return nil, &KeyFileError{Path: path, Reason: errEmptyKeyFile.Error() + mendKeyFile, Err: errEmptyKeyFile}
	case len(content) > maxKeyFile:
		return nil, &KeyFileError{Path: path, Reason: fmt.Sprintf("longer than %d bytes", maxKeyFile) + mendKeyFile}
	}
	return content, nil
}

// encode returns the content of the key file.
func (i *Identity) encode() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err != nil {
		return nil, fmt.Errorf("encode private key: %w", err)
	}
	head := []byte(idLine + i.id.String() + "\n")
	return append(head, pem.EncodeToMemory(&pem.Block{Type: keyPEMType, Bytes: der})...), nil
}

// decode reads the content of a key file, or says what is wrong with it. The
// line with the server ID may be missing, as in a key that OpenSSL made.
func decode(content []byte) (id *Identity, reason string) {
	block, rest := pem.Decode(content)
	if block == nil {
		return nil, "it holds no whole PEM block"
	}
	if block.Type != keyPEMType {
		return nil, fmt.Sprintf("it holds %.40q, not %q (PKCS#8)", block.Type, keyPEMType)
	}
	if len(bytes.TrimSpace(rest)) != 0 {
		return nil, "it holds more than one key"
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Sprintf("it holds no PKCS#8 key (%v)", err)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Sprintf("it holds a key of type %T, not Ed25519", parsed)
	}
	id, err = newIdentity(key)
	if err != nil {
		return nil, err.Error()
	}
	first, _, _ := bytes.Cut(content, []byte("\n"))
	if named, ok := strings.CutPrefix(string(first), idLine); ok && strings.TrimSpace(named) != id.id.String() {
		return nil, "it is damaged: its key is not the one of the server ID in its first line"
	}
	return id, ""
}

// fileError wraps what the system said of the identity file at path, or of
// the directories and the temporary file that it needs.
func fileError(path string, err error) error {
	reason := err.Error()
	if pe, ok := errors.AsType[*fs.PathError](err); ok && pe.Path == path {
		reason = pe.Op + ": " + pe.Err.Error()
	}
	return &KeyFileError{Path: path, Reason: reason, Err: err}
}

// shellQuote returns path as one word of a POSIX shell.
func shellQuote(path string) string {
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
