package certs

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	// localPrefix begins the name of the file with a machine's own secret.
	// The rest names the machine.
	localPrefix = "machine-"
	// localLen is the length of that secret, in bytes.
	localLen = 32
)

// LocalSecret returns a secret that only this machine has, even if several
// machines share dir and an identity. Use it for what must be the same after a
// restart and different on two machines. It lies in dir, in a file named after
// the machine, which is made if it is missing. If the file cannot be read or
// written, the secret is new in every call.
func LocalSecret(dir string) [localLen]byte {
	path := filepath.Join(dir, localPrefix+machineName())
	content, err := readKeyFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		fresh := make([]byte, localLen)
		rand.Read(fresh)
		if err = os.MkdirAll(dir, 0o700); err == nil {
			err = create(path, fresh, os.Link)
		}
		if err == nil {
			return [localLen]byte(fresh)
		}
		content, err = readKeyFile(path) // another process may have been quicker
	}
	if err != nil || len(content) != localLen {
		content = make([]byte, localLen)
		rand.Read(content)
	}
	return [localLen]byte(content)
}

// machineName returns a name that no other machine has, as far as the system
// tells. Its parts cannot be read from it (see machine-id(5)).
func machineName() string {
	mac := hmac.New(sha256.New, []byte("malcolm machine"))
	for _, path := range []string{"/etc/machine-id", "/var/lib/dbus/machine-id"} {
		if id, err := os.ReadFile(path); err == nil && len(id) > 0 {
			mac.Write(id)
			break
		}
	}
	host, _ := os.Hostname()
	mac.Write([]byte(host))
	return hex.EncodeToString(mac.Sum(nil)[:8])
}
