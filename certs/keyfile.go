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

	// maxKeyFile bounds the bytes read of a key file. Ours have about 200.
	maxKeyFile = 16 << 10

	// idLine begins the line before the PEM block, which names the key's
	// server ID. PKCS#8 has no checksum: without this line a damaged key
	// would silently be another identity.
	idLine = "malcolm server ID "

	// mendKeyFile says what to do about a key file that cannot be used.
	mendKeyFile = "; restore it, or move it away to begin with a new server ID"
)

// A KeyFileError says why the identity file cannot be read or made. The file is
// unchanged.
type KeyFileError struct {
	Path   string // of the identity file
	Reason string // what is wrong, and the remedy if there is one
	Err    error  // the cause; nil if it is the file's content or mode
}

func (e *KeyFileError) Error() string { return fmt.Sprintf("identity file %q: %s", e.Path, e.Reason) }

func (e *KeyFileError) Unwrap() error { return e.Err }

// errEmptyKeyFile may also mean that another process has created the file by
// O_EXCL and not written it yet.
var errEmptyKeyFile = errors.New("it is empty")

// LoadOrCreate returns the identity in the file identity.pem of dir. If they do
// not exist it makes the directory (mode 0700) and the file (mode 0600). Calls
// at the same moment, even from several processes, get the same identity. An
// existing file is never changed: if it holds anything but one Ed25519 key, or
// others may read it, that is an error. Errors are [*KeyFileError].
func LoadOrCreate(dir string) (*Identity, error) { return loadOrCreate(dir, os.Link) }

// LoadOrCreateFile is LoadOrCreate for a file of any name: for containers, and
// for machines that share a home but not a vote.
func LoadOrCreateFile(path string) (*Identity, error) { return loadOrCreateFile(path, os.Link) }

func loadOrCreate(dir string, link func(from, to string) error) (*Identity, error) {
	return loadOrCreateFile(filepath.Join(dir, keyFileName), link)
}

// loadOrCreateFile is LoadOrCreateFile. link gives a file its final name
// without replacing another.
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
		return load(path) // another process was quicker: its identity counts
	}
	if err != nil {
		return nil, fileError(path, err)
	}
	return id, nil
}

// create makes the file at path with content, durably. It leaves an existing
// file alone and then returns an error that is [fs.ErrExist].
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
		// The file system has no hard links. Anything else that is
		// wrong with it shows here again.
		if err := createExclusive(path, content); err != nil {
			return err
		}
	}
	return syncDir(dir)
}

// createExclusive is create for file systems without hard links. For an instant
// the file is empty; load waits until it is not.
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

// load reads the identity at path. Errors are *KeyFileError; if the file does
// not exist the error is [fs.ErrNotExist].
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

// readKeyFile returns the content of the file at path if it is a regular file
// of a fitting size that nobody else may read.
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
// line with the server ID may be missing, as in a key from OpenSSL.
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

// fileError wraps the system's error for the identity file at path, or for the
// directories and the temporary file that it needs.
func fileError(path string, err error) error {
	return &KeyFileError{Path: path, Reason: reasonAt(path, err), Err: err}
}

// reasonAt returns the text of the system's error, without the path if that is
// the given one.
func reasonAt(path string, err error) string {
	if pe, ok := errors.AsType[*fs.PathError](err); ok && pe.Path == path {
		return pe.Op + ": " + pe.Err.Error()
	}
	return err.Error()
}

// shellQuote returns path as one word of a POSIX shell.
func shellQuote(path string) string {
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
