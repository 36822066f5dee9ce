//go:build !linux && !darwin

package partfile

import (
	"errors"
	"os"
)

func extendedOf(*os.File) (map[string][]byte, error) { return nil, nil }

func setExtended(*os.File, string, []byte) error { return errors.ErrUnsupported }
