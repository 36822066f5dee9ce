package partfile

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Attributes are what a file has besides its bytes and times.
type Attributes struct {
	Mode     fs.FileMode // permission bits, and the setuid, setgid and sticky bits
	UID, GID int         // -1 where the system has no such numbers
	Extended map[string][]byte
	Unread   error // why Extended is not known; nil: it is complete
}

// A Lost is something of the replaced file that the finished file lacks.
type Lost struct {
	What string // "owner", "mode", `extended attribute "user.x"`, "group, with its rights,", ...
	Err  error
}

// attributed is an FS whose files have attributes.
type attributed interface {
	Attributes(name string) (Attributes, error)
}

// attributable is a Handle whose attributes can be set.
type attributable interface {
	Attributes() (Attributes, error)
	Chmod(mode fs.FileMode) error
	Chown(uid, gid int) error // -1 leaves what is there
	// SetExtended removes the attribute if value is nil.
	SetExtended(name string, value []byte) error
}

const (
	// ownerMode is added to a part file's mode, so that a later run can
	// open it.
	ownerMode fs.FileMode = 0o600
	// aclName is where Linux keeps the access control list of a file.
	aclName = "system.posix_acl_access"
	// capabilityName holds rights that a program gets. The system takes it
	// from a file that is written to.
	capabilityName = "security.capability"
	// aboveMode are the mode bits that the system takes from a file that is
	// written to or chowned.
	aboveMode = fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
)

// predecessor is what is known of the file to be replaced.
type predecessor struct {
	original *Info // what alone may be replaced; nil: whatever has the name
	lost     []Lost
	late     lateAttributes
}

// beginAttributes gives the unfinished file the attributes of the file that it
// is to replace, so that only those who may read that one can read it. Without
// Options.Original it takes only the attributes that say who may do what. What
// cannot be kept goes to f.old.lost; an error means that others could read it.
// On a file system without attributes it does nothing.
func (f *File) beginAttributes() error {
	fsys, ok := f.fs.(attributed)
	h, can := f.handle.(attributable)
	if !f.replace || !ok || !can {
		return nil
	}
	final, err := lstat(f.fs, f.name)
	if err != nil || final.Kind != Regular {
		return err
	}
	want, err := fsys.Attributes(f.name)
	if err != nil {
		return failure(f.fs, "stat", f.name, err)
	}
	has, err := h.Attributes()
	if err != nil {
		return failure(f.fs, "stat", f.part, err)
	}
	if f.old.original == nil { // other bytes than those that were trusted with more
		want.Mode = want.Mode.Perm()
		maps.DeleteFunc(want.Extended, func(name string, _ []byte) bool { return !isAccess(name) })
	}
	d := likening{h: h, has: has, want: want}
	f.old.lost = nil
	if err := d.begin(); err != nil {
		return failure(f.fs, "chmod", f.part, err)
	}
	f.old.lost, f.old.late = d.lost, d.late()
	return nil
}

// GiveAccessOf gives a new file the attributes of an old one that say who may
// do what. The new file is to replace the old one. What cannot be kept gives
// nobody more rights than before; an error means that it would.
func GiveAccessOf(old, fresh *os.File) error {
	want, err := file{old}.Attributes()
	if err != nil {
		return err
	}
	has, err := file{fresh}.Attributes()
	if err != nil {
		return err
	}
	want.Mode = want.Mode.Perm()
	maps.DeleteFunc(want.Extended, func(name string, _ []byte) bool { return !isAccess(name) })
	l := likening{h: file{fresh}, has: has, want: want}
	return l.begin()
}

// isAccess reports whether an extended attribute says who may do what with the
// file.
func isAccess(name string) bool {
	return strings.HasPrefix(name, "system.") || name == "security.selinux"
}

// Lost is what the finished file lacks of the one that it replaces. Call it
// after Open and after Commit.
func (f *File) Lost() []Lost { return f.old.lost }

// likening gives one file the attributes of another.
type likening struct {
	h         attributable
	has, want Attributes
	mode      fs.FileMode // of the finished file
	lost      []Lost
}

func (d *likening) lose(what string, err error) {
	d.lost = append(d.lost, Lost{What: what, Err: Bare(err)})
}

// begin gives what a file may have while it is written to. Until it is done
// only the owner can use the file.
func (d *likening) begin() error {
	d.mode = d.want.Mode
	extended := d.toSet()
	during := func() fs.FileMode { return d.mode.Perm() | ownerMode }
	if d.has.Mode.Perm() == during() && d.sameOwner() && len(extended) == 0 && d.want.Unread == nil {
		return nil
	}
	if err := d.chmod(ownerMode); err != nil {
		return err
	}
	d.own()
	for _, name := range extended {
		d.set(name)
	}
	if d.want.Unread != nil {
		d.lose("extended attributes, with the rights of others,", d.want.Unread)
		d.mode &^= 0o077 | aboveMode // an access control list may be among them
	}
	return d.h.Chmod(during())
}

func (d *likening) chmod(mode fs.FileMode) error {
	if d.has.Mode.Perm() == mode {
		return nil
	}
	return d.h.Chmod(mode)
}

func (d *likening) sameOwner() bool { return d.has.UID == d.want.UID && d.has.GID == d.want.GID }

// own gives owner and group. If the group cannot be kept, another group gets
// its rights, reduced to those that everybody has.
func (d *likening) own() {
	if d.sameOwner() || d.h.Chown(d.want.UID, d.want.GID) == nil {
		return
	}
	if d.has.GID != d.want.GID {
		if err := d.h.Chown(-1, d.want.GID); err != nil {
			d.lose("group, with its rights,", err)
			d.mode &= ^fs.FileMode(0o070) | d.mode.Perm()<<3&0o070
			d.mode &^= fs.ModeSetgid
		}
	}
	if d.has.UID != d.want.UID {
		if err := d.h.Chown(d.want.UID, -1); err != nil {
			d.lose("owner", err)
			d.mode &^= fs.ModeSetuid
		}
	}
}

// toSet returns, in order, the names of extended attributes to set or remove
// now. An access control list that a new file inherited from its directory is
// removed; its other attributes stay.
func (d *likening) toSet() []string {
	var names []string
	for name, value := range d.want.Extended {
		if now, ok := d.has.Extended[name]; name != capabilityName && (!ok || !bytes.Equal(now, value)) {
			names = append(names, name)
		}
	}
	if _, ok := d.want.Extended[aclName]; !ok && d.want.Unread == nil && d.has.Extended[aclName] != nil {
		names = append(names, aclName)
	}
	slices.Sort(names)
	return names
}

// set sets one extended attribute. A file that lacks its access control list is
// its owner's alone.
func (d *likening) set(name string) {
	err := d.h.SetExtended(name, d.want.Extended[name])
	switch {
	case err == nil:
	case name == aclName:
		d.lose("access control list, with the rights of others,", err)
		d.mode &^= 0o077
	default:
		d.lose("extended attribute "+strconv.Quote(name), err)
	}
}

// late is what only a finished file may have.
func (d *likening) late() lateAttributes {
	l := lateAttributes{mode: d.mode, capability: d.want.Extended[capabilityName]}
	l.set = l.mode.Perm() != l.mode.Perm()|ownerMode || l.mode&aboveMode != 0 || l.capability != nil
	return l
}

// lateAttributes are those that the system would take from a file that is
// written to, or that would keep its owner from writing.
type lateAttributes struct {
	set        bool // there are any
	mode       fs.FileMode
	capability []byte
}

// finishAttributes takes back from the finished file what it was given only for
// writing, and gives it the rest. It has its final name. What cannot be done
// goes to f.old.lost.
func (f *File) finishAttributes() {
	h, ok := f.handle.(attributable)
	if !ok || !f.old.late.set {
		return
	}
	if err := h.Chmod(f.old.late.mode); err != nil {
		f.old.lost = append(f.old.lost, Lost{What: "mode", Err: Bare(err)})
	}
	if f.old.late.capability != nil {
		if err := h.SetExtended(capabilityName, f.old.late.capability); err != nil {
			f.old.lost = append(f.old.lost, Lost{What: "extended attribute " + strconv.Quote(capabilityName), Err: Bare(err)})
		}
	}
	if err := f.synced(f.handle.Sync()); err != nil && len(f.old.lost) == 0 {
		f.old.lost = append(f.old.lost, Lost{What: "mode", Err: Bare(err)})
	}
}

var errNotOriginal = errors.New("changed while it was being repaired")

// checkOriginal fails with Changed unless the file under the final name is
// Options.Original.
func (f *File) checkOriginal() error {
	if f.old.original == nil {
		return nil
	}
	final, err := lstat(f.fs, f.name)
	if err != nil {
		return err
	}
	before := *f.old.original
	if final.Kind == Regular && final.ID != before.ID {
		unsteady, err := isUnsteady(f.fs, f.name, final)
		if err != nil {
			return err
		}
		if unsteady { // the other fields must be enough
			before.ID = final.ID
		}
	}
	if final.Kind != Regular || !final.Unchanged(before) {
		return reasoned(f.fs, "replace", f.name, Changed, errNotOriginal)
	}
	return nil
}
