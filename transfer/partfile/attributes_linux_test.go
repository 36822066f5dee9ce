package partfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// accessList is an access control list as Linux keeps it: owner, user 1234,
// group, mask and others.
func accessList(owner, user, group, mask, others uint16) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range []struct {
		tag, perm uint16
		id        uint32
	}{{1, owner, 1<<32 - 1}, {2, user, 1234}, {4, group, 1<<32 - 1}, {16, mask, 1<<32 - 1}, {32, others, 1<<32 - 1}} {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.perm)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return b
}

func setxattr(t *testing.T, path, name string, value []byte) {
	t.Helper()
	if err := unix.Setxattr(path, name, value, 0); err != nil {
		t.Skipf("%s: %v", name, err)
	}
}

func xattr(path, name string) []byte {
	b := make([]byte, 1000)
	n, err := unix.Getxattr(path, name, b)
	if err != nil {
		return nil
	}
	return b[:n]
}

// A repaired file keeps everything it has. A file that replaces another keeps
// who may do what with it.
func TestAttributesAreKept(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	list := accessList(6, 4, 0, 4, 0)
	capability := []byte{1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0} // net_raw, permitted
	for _, repairs := range []bool{true, false} {
		fsys := newTestFS(t)
		path := filepath.Join(fsys.path, "x")
		fsys.put(t, "x", "old")
		if err := errors.Join(os.Chown(path, 1001, 1002), os.Chmod(path, 0o640|fs.ModeSetuid)); err != nil {
			t.Fatal(err)
		}
		setxattr(t, path, aclName, list)
		setxattr(t, path, "user.note", []byte("kept"))
		setxattr(t, path, capabilityName, capability)
		o := Options{Name: "x", Size: 3, ChunkSize: 8, Replace: true}
		if repairs {
			info, err := fsys.FS.Lstat("x")
			if err != nil {
				t.Fatal(err)
			}
			o.Original = &info
		}
		f := openTest(t, fsys.FS, o)
		part := path + PartSuffix
		if got := xattr(part, aclName); !bytes.Equal(got, list) || xattr(part, capabilityName) != nil {
			t.Errorf("the part file has the list %x, want %x, and no capability", got, list)
		}
		put(t, f, 0, []byte("abc"))
		if _, err := f.Commit(); err != nil || len(f.Lost()) != 0 {
			t.Fatal(err, f.Lost())
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		st := info.Sys().(*syscall.Stat_t)
		mode := fs.FileMode(0o640)
		if repairs {
			mode |= fs.ModeSetuid
		}
		if st.Uid != 1001 || st.Gid != 1002 || info.Mode() != mode || !bytes.Equal(xattr(path, aclName), list) {
			t.Errorf("repairs %t: %d:%d, mode %v, list %x", repairs, st.Uid, st.Gid, info.Mode(), xattr(path, aclName))
		}
		if got := xattr(path, "user.note"); (string(got) == "kept") != repairs {
			t.Errorf("repairs %t: the note is %q", repairs, got)
		}
		if got := xattr(path, capabilityName); bytes.Equal(got, capability) != repairs {
			t.Errorf("repairs %t: the capability is %x", repairs, got)
		}
	}
}

// What a directory gives to new files lets nobody read a file that replaces a
// private one.
func TestDirectorysAccessControlListIsNotKept(t *testing.T) {
	fsys := newTestFS(t)
	setxattr(t, fsys.path, "system.posix_acl_default", accessList(7, 7, 7, 7, 7))
	path := filepath.Join(fsys.path, "x")
	fsys.put(t, "x", "old")
	if err := errors.Join(unix.Removexattr(path, aclName), os.Chmod(path, 0o600)); err != nil {
		t.Fatal(err)
	}
	f := openTest(t, fsys.FS, Options{Name: "x", Size: 3, ChunkSize: 8, Replace: true})
	put(t, f, 0, []byte("abc"))
	if got := xattr(path+PartSuffix, aclName); got != nil {
		t.Errorf("the part file has the list %x", got)
	}
	if _, err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	wantMode(t, path, 0o600)
	if got := xattr(path, aclName); got != nil {
		t.Errorf("the file has the list %x", got)
	}
}

// A file that cannot be replaced is refused when the part file is opened.
func TestNotReplaceable(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mark files")
	}
	fsys := newTestFS(t)
	fsys.put(t, "x", "old")
	path := filepath.Join(fsys.path, "x")
	mark := func(flags uint32) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, int(flags)), f.Close())
	}
	if err := mark(unix.STATX_ATTR_IMMUTABLE); err != nil {
		t.Skip(err)
	}
	defer mark(0)
	_, err := Open(t.Context(), fsys.FS, Options{Name: "x", Size: 3, ChunkSize: 8, Replace: true})
	if e := wantReason(t, err, System); !errors.Is(e, errImmutable) {
		t.Errorf("error %v, want that it is immutable", e)
	}
	fsys.wantNames(t, "x")
	if calls := fsys.onlyCalls("create"); slices.Contains(calls, "create journal") {
		t.Error("a journal was made")
	}
}
